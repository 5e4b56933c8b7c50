"""One charge from its intent to the money in the ledger: each step safe to take again.

intent -> charging -> charged -> credited. The row is written before the provider hears of it, its
id is the provider's idempotency key, and the lot that the money becomes is named after it: so
whoever goes on after a crash, or beside somebody else, takes and credits nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from server.funding.applying import in_time
from server.funding.charge_rows import RECHARGE, ChargeRow, ChargeState, find_charge, save_charge
from server.funding.errors import Why
from server.funding.funding_rows import FundingRow, hold_funding, read_funding, save_funding
from server.funding.providers import (
    Charge,
    Charged,
    Declined,
    Payments,
    PaymentsUnavailable,
    Pending,
    Result,
)
from server.ledger import Ledger, LotDue, TopUp
from server.notices import outbox
from server.notices.outbox import Notice, NoticeKind
from server.storage.sql.database import Database

# An answer of the provider is waited for so long; nobody else asks for the same charge meanwhile.
ANSWER_SECONDS = 20.0
_CLAIM_MS = 30_000
# Between two questions about a charge of which nothing is known; doubled each time.
_FIRST_RETRY_MS, _LONGEST_RETRY_MS = 2_000, 300_000
_PENDING_RETRY_MS = 60_000
# Providers forget idempotency keys after a day: asked later, one might take the money again.
ASKED_FOR_MS = 20 * 60 * 60 * 1_000
_LONGEST_EXPONENT = 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long a tenant's auto-recharge rests after declines in a row: doubled each time."""

    first_ms: int = 60 * 60 * 1_000
    longest_ms: int = 24 * 60 * 60 * 1_000

    def rest_ms(self, declines: int) -> int:
        """Say how long it rests after so many declines."""
        doublings = max(0, min(declines - 1, _LONGEST_EXPONENT))
        return min(self.longest_ms, self.first_ms << doublings)


@dataclass(frozen=True, slots=True)
class Charging:
    """Takes charges on. Raises `ArchiveUnavailable` and what the ledger raises."""

    database: Database
    ledger: Ledger
    payments: Payments
    now_ms: Callable[[], int]
    back_off: BackOff = BackOff()

    async def advance(self, charge_id: str) -> ChargeRow | None:
        """Take a charge as far as it goes now; None where there is no such charge."""
        charge = await self.database.write(lambda c: self._begin(c, charge_id))
        if charge is None:
            return await self.database.read(lambda c: find_charge(c, charge_id))
        if charge.state is ChargeState.CHARGING:
            result = await self._ask(charge)
            charge = await self.told(charge_id, result)
        if charge is not None and charge.state is ChargeState.CHARGED:
            charge = await self.credit(charge)
        return charge

    async def told(self, charge_id: str, result: Result | None) -> ChargeRow | None:
        """Write down what the provider said, in its answer or an event; None: it said nothing."""
        return await self.database.write(lambda c: self.note(c, charge_id, result))

    async def credit(self, charge: ChargeRow) -> ChargeRow:
        """Put what was charged into the ledger; it becomes a lot of the charge's name, once."""
        try:
            await self._add_lot(charge)
        except LotDue:
            # It was taken so long ago that it would be over: it lives as long, from now on.
            charge = await self.database.write(lambda c: self._renewed(c, charge))
            await self._add_lot(charge)
        return await self.database.write(lambda c: self._credited(c, charge.charge_id))

    async def _add_lot(self, charge: ChargeRow) -> None:
        lot = TopUp(charge.tenant_id, charge.lot_id, charge.micros, charge.expire_ms)
        async with in_time():
            await self.ledger.top_up(lot)

    def _renewed(self, connection: Connection, seen: ChargeRow) -> ChargeRow:
        charge = find_charge(connection, seen.charge_id, hold=True)
        assert charge is not None
        if charge.expire_ms == seen.expire_ms:
            charge.expire_ms += self.now_ms() - charge.create_ms
            save_charge(connection, charge)
        return charge

    def note(
        self, connection: Connection, charge_id: str, result: Result | None
    ) -> ChargeRow | None:
        """Do what `told` does in a transaction of the caller's."""
        charge = find_charge(connection, charge_id, hold=True)
        if charge is None:
            return None
        match result:
            case Charged():
                self._charged(charge, result)
            case Declined() if charge.state is ChargeState.CHARGING:
                self._declined(connection, charge, result)
            case Pending() if charge.state is ChargeState.CHARGING:
                charge.provider_reference = result.reference
                charge.next_try_ms = self.now_ms() + _PENDING_RETRY_MS
            case None if charge.state is ChargeState.CHARGING:
                pause_ms = _FIRST_RETRY_MS << min(charge.tries, _LONGEST_EXPONENT)
                charge.next_try_ms = self.now_ms() + min(pause_ms, _LONGEST_RETRY_MS)
            case _:
                # What comes late, or twice, changes nothing any more.
                return charge
        save_charge(connection, charge)
        return charge

    def _begin(self, connection: Connection, charge_id: str) -> ChargeRow | None:
        """Claim a charge; None where somebody works on it, or nothing is left to do."""
        charge = find_charge(connection, charge_id, hold=True)
        now_ms = self.now_ms()
        if charge is None or charge.next_try_ms > now_ms:
            return None
        if charge.state is ChargeState.CHARGED:
            # What cannot be put in stands in nobody's way.
            charge.next_try_ms = now_ms + _CLAIM_MS
            save_charge(connection, charge)
            return charge
        if charge.state not in {ChargeState.INTENT, ChargeState.CHARGING}:
            return None
        if self._is_stopped(connection, charge):
            save_charge(connection, charge)
            return None
        charge.state = ChargeState.CHARGING
        charge.tries += 1
        charge.next_try_ms = now_ms + _CLAIM_MS
        save_charge(connection, charge)
        return charge

    def _is_stopped(self, connection: Connection, charge: ChargeRow) -> bool:
        """Say whether the provider must not be asked (again); the charge then says why."""
        now_ms = self.now_ms()
        row = read_funding(connection, charge.tenant_id)
        is_off = charge.purpose == RECHARGE and not row.recharge_enabled
        if charge.state is ChargeState.INTENT and (is_off or row.closed):
            charge.state, charge.finish_ms, charge.archived = ChargeState.REFUSED, now_ms, True
            charge.reason = Why.ACCOUNT_CLOSED.value if row.closed else Why.RECHARGE_OFF.value
            charge.detail = "Nobody was asked for it."
        elif charge.state is ChargeState.CHARGING and now_ms - charge.create_ms > ASKED_FOR_MS:
            _unresolve(charge, "no answer for a day")
        elif (is_off or row.closed) and not charge.provider_reference:
            # Asked again it might be taken only now. What the provider has taken up goes its way.
            charge.next_try_ms = now_ms + _LONGEST_RETRY_MS
        else:
            return False
        return True

    async def _ask(self, charge: ChargeRow) -> Result | None:
        asked = Charge(
            charge.charge_id,
            charge.tenant_id,
            charge.micros,
            charge.currency,
            charge.payment_customer,
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.payments.charge(asked)
        except (PaymentsUnavailable, TimeoutError) as error:
            _log.warning("Charge %s has no answer yet: %r", charge.charge_id, error)
            return None

    def _charged(self, charge: ChargeRow, result: Charged) -> None:
        if charge.state in {ChargeState.CHARGED, ChargeState.CREDITED}:
            return
        charge.provider_reference = result.reference
        if (result.micros, result.currency) != (charge.micros, charge.currency):
            _unresolve(charge, f"{result.micros} micros {result.currency} were taken")
            return
        # Also of one that was declined or given up: the provider has the money.
        charge.state, charge.next_try_ms, charge.reason = ChargeState.CHARGED, 0, ""

    def _declined(self, connection: Connection, charge: ChargeRow, result: Declined) -> None:
        charge.state, charge.reason, charge.detail = (
            ChargeState.DECLINED,
            result.code,
            result.text,
        )
        charge.finish_ms = self.now_ms()
        if charge.purpose != RECHARGE:
            return
        row = hold_funding(connection, charge.tenant_id)
        row.declines += 1
        row.rest_until_ms = charge.finish_ms + self.back_off.rest_ms(row.declines)
        save_funding(connection, row)
        outbox.add(connection, charge_notice(charge, NoticeKind.RECHARGE_FAILED, row.rest_until_ms))

    def _credited(self, connection: Connection, charge_id: str) -> ChargeRow:
        charge = find_charge(connection, charge_id, hold=True)
        assert charge is not None
        if charge.state is ChargeState.CREDITED:
            return charge
        charge.state, charge.finish_ms, charge.next_try_ms = (
            ChargeState.CREDITED,
            self.now_ms(),
            0,
        )
        save_charge(connection, charge)
        row = hold_funding(connection, charge.tenant_id)
        if charge.purpose == RECHARGE:
            _rearm(row)
            outbox.add(connection, charge_notice(charge, NoticeKind.RECHARGE_SUCCEEDED, 0))
        save_funding(connection, row)
        return charge


def charge_notice(charge: ChargeRow, kind: NoticeKind, rest_until_ms: int) -> Notice:
    """Tell how a recharge went; each attempt is told once."""
    facts = {
        "charge_id": charge.charge_id,
        "amount_micros": charge.micros,
        "currency": charge.currency,
        "reason": charge.reason,
        "detail": charge.detail,
        "next_try_ms": rest_until_ms,
        "expire_ms": charge.expire_ms,
    }
    return Notice(kind, charge.tenant_id, charge.charge_id, charge.finish_ms, facts)


def _rearm(row: FundingRow) -> None:
    row.armed, row.declines, row.rest_until_ms = True, 0, 0


def _unresolve(charge: ChargeRow, why: str) -> None:
    charge.state, charge.detail = ChargeState.UNRESOLVED, why
    _log.error("Charge %s of %s is unresolved: %s.", charge.charge_id, charge.tenant_id, why)
