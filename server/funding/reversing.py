"""Money that a provider takes back leaves the credits, and comes in again if it gives it back.

What was told of a charge is kept; here the credits are brought to what it comes to, step by step:
each step is a request like a caller's, of a name of its own, so that it moves nothing twice, and
the next one is decided when it has come back through the archive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from server.archive import tables
from server.funding.applying import Kind
from server.funding.charge_rows import (
    ChargeRow,
    ChargeState,
    find_charge,
    find_charge_of,
    save_charge,
)
from server.funding.errors import FundingBusy, FundingRefused, FundingReused
from server.funding.funding_rows import hold_funding, save_funding
from server.funding.passing import Round
from server.funding.providers import PaymentEvent, Reversal, ReversalKind
from server.funding.request_rows import (
    FundingRequest,
    RequestState,
    count_of_reference,
    lots_archived,
    movements_archived,
    of_reference,
)
from server.funding.requests import Asked, FundingRequests
from server.funding.reversal_rows import (
    ReversalRow,
    add_reversal,
    charges_to_reverse,
    forget_strangers,
    note_settled,
    reversals_of,
    taken_back_micros,
)
from server.ledger import TakeBack
from server.ledger.requests import REFUND_LIFETIME_MS
from server.notices import outbox
from server.notices.outbox import Notice, NoticeKind
from server.storage.sql.audit import Audited
from server.storage.sql.database import Database

# Who asks: the provider, in the audit trail.
IDENTITY = "payments"
STRANGERS_KEPT_MS = 30 * 24 * 60 * 60 * 1_000
_AT_ONCE = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the credits of a charge are: what to ask next, or what to write down."""

    charge: ChargeRow
    rows: list[ReversalRow]
    reversed_micros: int
    shortfall_micros: int
    # Nothing of it is held by running calls any more.
    settled: bool
    number: int
    kind: Kind | None = None
    micros: int = 0
    lot_id: str = ""


@dataclass(frozen=True, slots=True)
class Reversing:
    """Brings credits to what was told. Raises `ArchiveUnavailable` and what the ledger raises."""

    database: Database
    funding_requests: FundingRequests
    now_ms: Callable[[], int]

    async def work(self) -> None:
        """Do one round."""
        round_ = Round()
        for charge_id in await self.database.read(lambda c: charges_to_reverse(c, limit=_AT_ONCE)):
            with round_.passing_over("What was taken back", charge_id):
                await self.advance(charge_id)

    async def tidy(self) -> None:
        """Forget what was told long ago of charges that are not ours."""
        before_ms = self.now_ms() - STRANGERS_KEPT_MS
        await self.database.write(lambda c: forget_strangers(c, before_ms))

    async def advance(self, charge_id: str) -> None:
        """Do the next step of one charge, if there is one that can be done now."""
        plan = await self.database.read(lambda c: self._plan(c, charge_id))
        if plan is None:
            return
        if plan.kind is None:
            await self.database.write(lambda c: self._note(c, plan))
            return
        try:
            await self.funding_requests.ask(self._asked(plan, plan.kind))
        except (FundingBusy, FundingReused, FundingRefused):
            # Somebody else does this step, or did another one, or it is to be asked for anew; the
            # next round sees which.
            return

    def told(self, connection: Connection, event: PaymentEvent, reversal: Reversal) -> str | None:
        """Write down what a provider told; name the charge, if it is one of ours."""
        charge = find_charge_of(connection, event.charge_id, event.reference)
        row = ReversalRow(
            event_id=event.event_id,
            charge_id=event.charge_id,
            provider_reference=event.reference,
            kind=reversal.kind,
            name=reversal.name,
            micros=reversal.micros,
            currency=reversal.currency,
            time_ms=reversal.time_ms,
            note_ms=self.now_ms(),
        )
        if not add_reversal(connection, row) or charge is None:
            return None
        if reversal.currency != charge.currency:
            _log.error(
                "%s of charge %s is in %s and not in %s: it changes nothing; look at the provider.",
                *(reversal.kind.value, charge.charge_id, reversal.currency, charge.currency),
            )
        if reversal.kind is ReversalKind.TAKEN:
            self._stop_recharging(connection, charge)
        return charge.charge_id

    def _stop_recharging(self, connection: Connection, charge: ChargeRow) -> None:
        """Charge nobody again by ourselves who disputes that we did."""
        row = hold_funding(connection, charge.tenant_id)
        if not row.recharge_enabled:
            return
        row.recharge_enabled = False
        save_funding(connection, row)
        self.funding_requests.audit.record(
            connection,
            IDENTITY,
            Audited("UpdateFunding", f"tenants/{charge.tenant_id}/funding", charge.tenant_id),
            before={"recharge_enabled": True},
            after={"recharge_enabled": False},
        )
        _log.warning("Auto-recharge of %s is off: a charge was taken back.", charge.tenant_id)

    def _plan(self, connection: Connection, charge_id: str) -> _Plan | None:
        """Look where a charge is; None where something of it is still under way."""
        charge = find_charge(connection, charge_id)
        if charge is None or charge.state is not ChargeState.CREDITED:
            return None
        done = of_reference(connection, charge.tenant_id, _reference(charge))
        takings = [request for request in done if request.kind == Kind.REVERSAL]
        given = [request for request in done if request.kind == Kind.RESTORATION]
        if not _is_archived(connection, charge, takings=takings, given=given):
            return None
        rows = reversals_of(connection, charge)
        wanted = taken_back_micros(row for row in rows if row.currency == charge.currency)
        wanted = min(charge.micros, wanted)
        gone, held = _set_apart(connection, charge, takings)
        gone -= sum(request.body["micros"] for request in given)
        missing = wanted - gone - held
        number = 1 + count_of_reference(connection, charge.tenant_id, _reference(charge))
        plan = _Plan(charge, rows, wanted, max(0, missing), held == 0, number)
        lot_id: str | None = charge.lot_id
        if takings or self._is_over(connection, charge):
            lot_id = self._lot_with_more(connection, charge, given)
        if missing > 0 and lot_id is not None:
            return replace(plan, kind=Kind.REVERSAL, micros=missing, lot_id=lot_id)
        if missing < 0 < gone:
            return replace(plan, kind=Kind.RESTORATION, micros=min(-missing, gone))
        return plan

    def _is_over(self, connection: Connection, charge: ChargeRow) -> bool:
        lots = tables.LOTS.c
        query = select(lots.expire_ms).where(
            lots.tenant_id == charge.tenant_id, lots.lot_id == charge.lot_id
        )
        expire_ms = connection.scalar(query)
        return expire_ms is not None and expire_ms <= self.now_ms()

    def _lot_with_more(
        self, connection: Connection, charge: ChargeRow, given: list[FundingRequest]
    ) -> str | None:
        """Name a lot that still has some of the charge's money, also of what came in again."""
        lots = tables.LOTS.c
        usable = (lots.left_micros > 0, ~lots.voided, lots.expire_ms > self.now_ms())
        names = [charge.lot_id, *(request.body["lot_id"] for request in given)]
        query = select(lots.lot_id).where(
            lots.tenant_id == charge.tenant_id, lots.lot_id.in_(names), *usable
        )
        return connection.scalar(query.order_by(lots.expire_ms, lots.lot_id).limit(1))

    def _asked(self, plan: _Plan, kind: Kind) -> Asked:
        charge, name = plan.charge, f"reversal:{plan.charge.charge_id}:{plan.number}"
        body: dict[str, object] = {"taking_id": name, "lot_id": plan.lot_id}
        if kind is Kind.RESTORATION:
            expire_ms = max(charge.expire_ms, self.now_ms() + REFUND_LIFETIME_MS)
            lot_id = f"restored:{charge.charge_id}:{plan.number}"
            body = {"lot_id": lot_id, "expire_ms": expire_ms}
        body["micros"] = plan.micros
        return Asked(
            tenant_id=charge.tenant_id,
            request_id=name,
            kind=kind,
            identity_id=IDENTITY,
            content={"charge_id": charge.charge_id, "micros": str(plan.micros)},
            settle=lambda _connection, _row: body,
            reference=_reference(charge),
        )

    def _note(self, connection: Connection, plan: _Plan) -> None:
        """Write down how a charge stands, and tell of it where that is news."""
        charge = find_charge(connection, plan.charge.charge_id, hold=True)
        assert charge is not None
        before = (charge.reversed_micros, charge.shortfall_micros)
        after = (plan.reversed_micros, plan.shortfall_micros)
        if plan.settled:
            note_settled(connection, charge, plan.rows)
        if before == after:
            return
        charge.reversed_micros, charge.shortfall_micros = after
        save_charge(connection, charge)
        names = ("reversed_micros", "shortfall_micros")
        self.funding_requests.audit.record(
            connection,
            IDENTITY,
            Audited("Reversal", f"charges/{charge.charge_id}", charge.tenant_id),
            before=dict(zip(names, before, strict=True)),
            after=dict(zip(names, after, strict=True)),
        )
        outbox.add(connection, self._notice(charge, before[0], told_of=len(plan.rows)))
        if charge.shortfall_micros:
            _log.error(
                "Of charge %s of %s the provider took back %d micros %s, of which %d were spent.",
                *(charge.charge_id, charge.tenant_id, charge.reversed_micros, charge.currency),
                charge.shortfall_micros,
            )

    def _notice(self, charge: ChargeRow, before_micros: int, *, told_of: int) -> Notice:
        risen = charge.reversed_micros >= before_micros
        facts = {
            "charge_id": charge.charge_id,
            "currency": charge.currency,
            "amount_micros": charge.micros,
            "reversed_micros": charge.reversed_micros,
            "shortfall_micros": charge.shortfall_micros,
        }
        return Notice(
            NoticeKind.PAYMENT_REVERSED if risen else NoticeKind.PAYMENT_RESTORED,
            charge.tenant_id,
            f"{charge.charge_id}:{told_of}:{charge.reversed_micros}:{charge.shortfall_micros}",
            self.now_ms(),
            facts,
        )


def _reference(charge: ChargeRow) -> str:
    return f"charge:{charge.charge_id}"


def _is_archived(
    connection: Connection,
    charge: ChargeRow,
    *,
    takings: list[FundingRequest],
    given: list[FundingRequest],
) -> bool:
    """Say whether every step so far was done and has come back through the journal."""
    if any(request.state is not RequestState.APPLIED for request in takings + given):
        return False
    moved = {(charge.tenant_id, request.body["taking_id"]) for request in takings}
    lots = {(charge.tenant_id, request.body["lot_id"]) for request in given}
    return movements_archived(connection, moved) == len(moved) and (
        lots_archived(connection, lots) == len(lots)
    )


def _set_apart(
    connection: Connection, charge: ChargeRow, takings: list[FundingRequest]
) -> tuple[int, int]:
    """Say how much has gone of what was set apart, and how much running calls hold of it yet."""
    apart = [
        TakeBack(charge.tenant_id, request.body["taking_id"], "", 0).apart_id for request in takings
    ]
    lots = tables.LOTS.c
    query = select(lots.taken_micros, lots.left_micros).where(
        lots.tenant_id == charge.tenant_id, lots.lot_id.in_(apart)
    )
    found = connection.execute(query).all()
    return sum(row[0] for row in found), sum(row[1] for row in found)
