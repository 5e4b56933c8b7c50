"""Auto-recharge: one charge for each time that a balance falls below its trigger, and no more.

Who decides has read the tenant's row first, then the balance, and decides in a transaction that
requires the row not to have moved since: a keeper that slept in between, or works beside another
one, decides nothing on what is past.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from policy.funding_play import closing_charge_micros
from server.funding.applying import in_time
from server.funding.charge_rows import (
    RECHARGE,
    ChargeRow,
    ChargeState,
    add_charge,
    charges_to_go_on_with,
    has_charge_in_flight,
    last_attempt,
    recharged_since,
)
from server.funding.charging import Charging, charge_notice
from server.funding.errors import FundingRefused, Why
from server.funding.funding_rows import (
    Candidate,
    FundingRow,
    hold_funding,
    recharge_candidates,
    save_funding,
)
from server.funding.passing import Round
from server.funding.purchase_rules import PurchaseRules, require_purchase
from server.funding.request_rows import pending_top_ups
from server.ledger import AccountUnknown, Balance, LedgerError
from server.notices import outbox
from server.notices.outbox import NoticeKind
from server.notices.preferences import NoticeSettings, read_settings
from server.storage.sql.database import Database

MS_PER_DAY = 86_400_000
_MS = 1_000
_CHARGE_ID_BYTES = 12
# Charges that a keeper takes on at once: one slow provider holds no other tenant up.
_AT_ONCE = 16


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Burst:
    """So many recharges of one tenant within a time are ordinary; one more is a runaway."""

    most: int = 3
    within_ms: int = 60 * 60 * 1_000


@dataclass(slots=True)
class Recharging:
    """Begins recharges and takes charges on. Raises `ArchiveUnavailable` and the ledger's."""

    database: Database
    charging: Charging
    now_ms: Callable[[], int]
    rules: PurchaseRules
    burst: Burst = Burst()

    async def work(self) -> None:
        """Do one round: begin what has to begin, take on what nobody works on."""
        now_ms = self.now_ms()
        round_ = Round()
        candidates = await self.database.read(lambda c: recharge_candidates(c, now_ms))
        for candidate in round_.among(candidates):
            with round_.passing_over("A recharge", candidate.tenant_id):
                await self.consider(candidate)
        found = await self.database.read(
            lambda c: charges_to_go_on_with(c, self.now_ms(), limit=_AT_ONCE)
        )
        await asyncio.gather(*map(self._advance, found))

    async def _advance(self, charge_id: str) -> None:
        # It is tried again later than others, whatever its account's trouble is.
        try:
            await self.charging.advance(charge_id)
        except LedgerError as error:
            _log.error("Charge %s is passed over: %r", charge_id, error)

    async def consider(self, candidate: Candidate) -> str | None:
        """Begin a recharge if the balance is strictly below its trigger; give its id."""
        try:
            async with in_time():
                balance = await self.charging.ledger.read_balance(candidate.tenant_id)
        except AccountUnknown:
            # Nobody has opened it since the store was filled.
            return None
        return await self.database.write(lambda c: self._decide(c, candidate, balance))

    def _decide(self, connection: Connection, candidate: Candidate, balance: Balance) -> str | None:
        row = hold_funding(connection, candidate.tenant_id)
        if row.version != candidate.version or not row.recharge_enabled or row.closed:
            return None
        now_micros = balance.balance_micros or 0
        pending = pending_top_ups(connection, row.tenant_id)
        if now_micros + pending >= row.trigger_micros:
            if not row.armed:
                row.armed = True
                save_funding(connection, row)
            return None
        if row.rest_until_ms > self.now_ms() or has_charge_in_flight(connection, row.tenant_id):
            return None
        return self._begin(connection, row, now_micros + pending, currency=balance.currency)

    def _begin(
        self, connection: Connection, row: FundingRow, balance_micros: int, *, currency: str
    ) -> str:
        if row.armed:
            row.armed, row.crossing = False, row.crossing + 1
        now_ms = self.now_ms()
        charge = ChargeRow(
            charge_id=secrets.token_hex(_CHARGE_ID_BYTES),
            tenant_id=row.tenant_id,
            purpose=RECHARGE,
            state=ChargeState.INTENT,
            micros=closing_charge_micros(
                balance_micros,
                row.trigger_micros,
                row.amount_micros,
                most_micros=self.charging.payments.counting.most_micros(currency),
            ),
            currency=currency,
            payment_customer=row.payment_customer,
            expire_ms=self.rules.lot_life.expire_ms(now_ms, _zone_of(connection, row.tenant_id)),
            create_ms=now_ms,
            crossing=row.crossing,
            attempt=last_attempt(connection, row.tenant_id, row.crossing) + 1,
        )
        try:
            require_purchase(
                row, charge.micros, balance_micros, currency=currency, rules=self.rules
            )
            self._require_limits(connection, row, charge.micros)
        except FundingRefused as refused:
            self._refuse(connection, row, charge, refused=refused)
        add_charge(connection, charge)
        save_funding(connection, row)
        return charge.charge_id

    def _require_limits(self, connection: Connection, row: FundingRow, micros: int) -> None:
        now_ms = self.now_ms()
        lately = recharged_since(connection, row.tenant_id, now_ms - self.burst.within_ms)
        if len(lately) >= self.burst.most:
            until_ms = lately[-self.burst.most][0] + self.burst.within_ms
            text = f"{len(lately)} recharges lately are as many as may follow each other."
            raise FundingRefused(Why.RECHARGE_BURST, text, {"until_ms": str(until_ms + 1)})
        limit = row.monthly_limit_micros
        begin_ms, end_ms = month_of(now_ms, _zone_of(connection, row.tenant_id))
        this_month = recharged_since(connection, row.tenant_id, begin_ms)
        if limit is not None and sum(each for _, each in this_month) + micros > limit:
            text = "The month's limit of what is recharged is reached."
            raise FundingRefused(Why.RECHARGE_LIMIT, text, {"until_ms": str(end_ms)})

    def _refuse(
        self,
        connection: Connection,
        row: FundingRow,
        charge: ChargeRow,
        *,
        refused: FundingRefused,
    ) -> None:
        now_ms = self.now_ms()
        charge.state, charge.finish_ms, charge.archived = ChargeState.REFUSED, now_ms, True
        charge.reason, charge.detail = refused.why.value, str(refused)
        # Told once and looked at again when it may have changed, or at once with new settings.
        row.rest_until_ms = int(refused.metadata.get("until_ms", now_ms + MS_PER_DAY))
        outbox.add(connection, charge_notice(charge, NoticeKind.RECHARGE_FAILED, row.rest_until_ms))


def _zone_of(connection: Connection, tenant_id: str) -> str:
    """Say in which zone a tenant is, as its facts were written down last."""
    return read_settings(connection, {tenant_id}).get(tenant_id, NoticeSettings()).time_zone


def month_of(now_ms: int, zone: str) -> tuple[int, int]:
    """Say when the month of a time begins, and when the next one does, in a zone."""
    now = datetime.fromtimestamp(now_ms / _MS, ZoneInfo(zone))
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    months = begin.year * 12 + begin.month
    following = begin.replace(year=months // 12, month=months % 12 + 1)
    return int(begin.timestamp() * _MS), int(following.timestamp() * _MS)
