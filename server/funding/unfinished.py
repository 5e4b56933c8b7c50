"""What a crash, or a store that lost its tail, left behind: applied again until it is archived."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from server.archive import tables
from server.funding.applying import (
    FREEZING_KINDS,
    LIMITING_KINDS,
    Kind,
    all_changes_of,
    changes_of,
    in_time,
    return_of,
)
from server.funding.charge_rows import IN_FLIGHT, ChargeRow, credited_not_archived, save_charge
from server.funding.errors import FundingBusy, FundingRefused, Why
from server.funding.funding_rows import due_lots
from server.funding.passing import Round
from server.funding.request_rows import (
    FundingRequest,
    RequestState,
    changes_archived,
    claim_request,
    is_ruled_out,
    left_behind,
    lots_archived,
    not_archived,
    note_archived,
    put_off,
)
from server.funding.requests import CLAIM_MS, FundingRequests, require_newest
from server.funding.tables import CHARGES, FUNDING_REQUESTS
from server.ledger import BalanceTooLarge, Ledger, TopUp
from server.storage.sql.database import Database

# What was applied is archived long before; if not, the store may have lost it.
SETTLED_MS = 5_000
# Between two attempts to put in again what a store had lost.
RETRY_MS = 10_000
_AT_ONCE = 100
_CLAIM_BYTES = 8

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class MoneyFigures:
    """Plain numbers, as they were counted last."""

    # Charges under way, by state.
    charges: Counter[str] = field(default_factory=Counter)
    # Charges of which the provider took back more than was left of their credits.
    short: int = 0
    # Requests that were accepted and are not in the ledger yet.
    waiting: int = 0
    # Requests and charges that a store had lost, and that were put in again.
    put_in_again: int = 0

    def something_waits(self) -> bool:
        """Tell whether a request or a charge waits, for somebody or for its time."""
        return bool(self.waiting or self.charges.total())

    def families(self) -> Iterator[Metric]:
        """Build every family anew."""
        charges = GaugeMetricFamily(
            "callgate_charges",
            "Charges of tenants' means of payment that are under way; unresolved: somebody has to "
            "look.",
            labels=("state",),
        )
        for state in IN_FLIGHT:
            charges.add_metric((state,), self.charges[state])
        yield charges
        yield GaugeMetricFamily(
            "callgate_funding_requests_waiting",
            "Requests for money to move that were accepted and are not done yet.",
            value=self.waiting,
        )
        yield GaugeMetricFamily(
            "callgate_charges_short",
            "Charges that were taken back when their credits had been spent: somebody owes them.",
            value=self.short,
        )
        yield CounterMetricFamily(
            "callgate_money_put_in_again",
            "Requests and charges that a store had lost before they were archived.",
            value=self.put_in_again,
        )


@dataclass(frozen=True, slots=True)
class Finishing:
    """Finishes requests. Raises `ArchiveUnavailable` and what the ledger raises."""

    database: Database
    funding_requests: FundingRequests
    ledger: Ledger
    now_ms: Callable[[], int]
    figures: MoneyFigures = field(default_factory=MoneyFigures)

    async def work(self) -> None:
        """Do one round."""
        now_ms, round_ = self.now_ms(), Round()
        before_ms = now_ms - SETTLED_MS
        left = await self.database.read(lambda c: left_behind(c, now_ms, limit=_AT_ONCE))
        for request in round_.among(left):
            with round_.passing_over(request.request_id, request.tenant_id):
                await self._finish(request)
        applied = await self.database.read(
            lambda c: not_archived(c, before_ms, now_ms=now_ms, limit=_AT_ONCE)
        )
        for request in round_.among(applied):
            with round_.passing_over(request.request_id, request.tenant_id):
                await self._confirm(request)
        charges = await self.database.read(
            lambda c: credited_not_archived(c, before_ms, now_ms=now_ms, limit=_AT_ONCE)
        )
        for charge in round_.among(charges):
            with round_.passing_over(charge.charge_id, charge.tenant_id):
                await self._confirm_charge(charge)
        counted = await self.database.read(count_money)
        self.figures.charges, self.figures.waiting, self.figures.short = counted

    async def expire_lots(self) -> None:
        """Let lots that are due expire, also of accounts that nobody asks anything of."""
        round_ = Round()
        due = await self.database.read(lambda c: due_lots(c, self.now_ms()))
        for tenant_id in round_.among(due, str):
            with round_.passing_over("What is due", tenant_id):
                async with in_time():
                    await self.ledger.read_balance(tenant_id)

    async def _finish(self, request: FundingRequest) -> None:
        claim = secrets.token_hex(_CLAIM_BYTES)
        now_ms = self.now_ms()
        taken = await self.database.write(
            lambda c: claim_request(c, request, claim, until_ms=now_ms + CLAIM_MS, now_ms=now_ms)
        )
        if not taken:
            return
        # Somebody else may have taken it over meanwhile.
        with suppress(FundingBusy):
            await self.funding_requests.go_on(request, claim)

    async def _confirm(self, request: FundingRequest) -> None:
        if not await self.database.read(lambda c: _is_archived(c, request)):
            _log.warning("%s of %s is applied again.", request.request_id, request.tenant_id)
            # What cannot be done stands in nobody's way.
            until_ms = self.now_ms() + RETRY_MS
            await self.database.write(lambda c: put_off(c, request, until_ms))
            self.figures.put_in_again += 1
            try:
                if await self._is_done_again(request):
                    return
            except FundingRefused as refused:
                if refused.why is Why.MAX_BALANCE:
                    # It came in once and is the tenant's: it waits until it fits.
                    raise BalanceTooLarge from refused
                _log.error(
                    "%s of %s was lost by the store and cannot be had again: %s",
                    request.request_id,
                    request.tenant_id,
                    refused,
                )
        await self.database.write(lambda c: note_archived(c, request))

    async def _is_done_again(self, request: FundingRequest) -> bool:
        """Have the ledger do anew what it had done; False where it did otherwise meanwhile."""
        made = await self.database.read(lambda c: changes_archived(c, all_changes_of(request)))
        applying = replace(self.funding_requests.applying, made=made, answered=True)
        async with in_time():
            if request.state is RequestState.APPLIED:
                await applying.apply(request)
                return True
            return await applying.undo(request)

    async def _confirm_charge(self, charge: ChargeRow) -> None:
        lot = {(charge.tenant_id, charge.lot_id)}
        if await self.database.read(lambda c: lots_archived(c, lot)):
            charge.archived = True
            await self.database.write(lambda c: save_charge(c, charge))
            return
        _log.warning("Charge %s of %s is credited again.", charge.charge_id, charge.tenant_id)
        charge.next_try_ms = self.now_ms() + RETRY_MS
        await self.database.write(lambda c: save_charge(c, charge))
        self.figures.put_in_again += 1
        async with in_time():
            await self.ledger.top_up(
                TopUp(charge.tenant_id, charge.lot_id, charge.micros, charge.expire_ms)
            )


def _is_archived(connection: Connection, request: FundingRequest) -> bool:
    """Say whether all that an ended request did has come back through the journal."""
    if request.state is RequestState.REFUSED:
        return _has_come_back(connection, request)
    if request.kind == Kind.VOID_LOT:
        return _is_voided(connection, request.tenant_id, request.body["lot_id"])
    changes = changes_of(request)
    if not changes:
        return _stands(connection, request)
    return len(changes_archived(connection, changes)) == len(changes)


def _has_come_back(connection: Connection, request: FundingRequest) -> bool:
    """Say whether a refused transfer never left, or came back."""
    left = changes_of(request)[0]
    there_and_back = (left, return_of(request))
    return is_ruled_out(connection, left) or (
        len(changes_archived(connection, there_and_back)) == len(there_and_back)
    )


def _is_voided(connection: Connection, tenant_id: str, lot_id: str) -> bool:
    lots = tables.LOTS.c
    query = select(lots.voided).where(lots.tenant_id == tenant_id, lots.lot_id == lot_id)
    return connection.scalar(query) is True


def _stands(connection: Connection, request: FundingRequest) -> bool:
    """Say whether an account is as the newest request of a kind says; older ones are past."""
    accounts, tenant_id = tables.ACCOUNTS.c, request.tenant_id
    if request.kind in FREEZING_KINDS:
        column, wanted = accounts.frozen, request.body["frozen"]
    elif request.kind in LIMITING_KINDS:
        column, wanted = accounts.credit_limit_micros, request.body["micros"]
    else:
        return True
    try:
        require_newest(connection, request)
    except FundingRefused:
        return True
    found = connection.scalar(select(column).where(accounts.tenant_id == tenant_id))
    return bool(found == wanted)


def count_money(connection: Connection) -> tuple[Counter[str], int, int]:
    """Count charges under way by their state, requests that wait, and charges that are short."""
    charges = select(CHARGES.c.state, func.count()).where(CHARGES.c.state.in_(IN_FLIGHT))
    found = connection.execute(charges.group_by(CHARGES.c.state))
    waiting = select(func.count()).where(
        ~FUNDING_REQUESTS.c.archived, FUNDING_REQUESTS.c.state == RequestState.ACCEPTED.value
    )
    short = select(func.count()).where(CHARGES.c.shortfall_micros > 0)
    return (
        Counter({row[0]: row[1] for row in found}),
        connection.scalar(waiting) or 0,
        connection.scalar(short) or 0,
    )
