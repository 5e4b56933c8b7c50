"""What a refund gives back: the lots that paid, the last one first, as far as they did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from server.archive import tables
from server.archive.book import CallFacts
from server.archive.calls import SoughtCall, find_call
from server.funding.errors import FundingRefused, NotArchivedYet, Why
from server.funding.request_rows import RequestState, find_request, of_reference
from server.funding.statement import entry_of
from server.ledger.journal import CALL_KINDS, Movement

# (lot id, micros) as a debit took them, the first one first; no lot id where no lot had the money.
Paid = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a refund is of: a debit by its request's id, or a call by the decision that began it."""

    kind: str
    name: str

    @property
    def text(self) -> str:
        """How a refund's request names it."""
        return f"{self.kind}:{self.name}"


DEBIT, CALL = "debit", "call"


def refund_parts(
    connection: Connection, tenant_id: str, reference: Reference, *, micros: int | None
) -> Paid:
    """Split a refund into what goes back to which lot; `micros` None for all that is left.

    Raises `FundingRefused` where there was no such debit or less of it is left, and
    `NotArchivedYet`.
    """
    paid = _paid(connection, tenant_id, reference)
    refunded = sum(
        sum(part[2] for part in request.body["parts"])
        for request in of_reference(connection, tenant_id, reference.text)
    )
    left = sum(part for _, part in paid) - refunded
    wanted = left if micros is None else micros
    if not 0 < wanted <= left:
        raise FundingRefused(
            Why.REFUND_TOO_LARGE,
            f"Of {reference.text} nothing more than {left} micros can be given back.",
            {"left_micros": str(left)},
        )
    return list(_newest(paid, refunded, wanted))


def paid_how(connection: Connection, tenant_id: str, reference: Reference) -> dict[str, Any]:
    """Say how what a refund is of was paid: whether invoiced, and for which spend limit it counts.

    A debit without a call is neither.
    """
    if reference.kind != CALL:
        return {}
    facts, moves = _moves_of_call(connection, tenant_id, reference.name)
    tallies = [purse.tally for purse in facts.purses if purse.kind == "credits" and purse.tally]
    return {
        "invoiced": any(move.fields["unfunded"] == "1" for move in moves),
        "spend_field": tallies[0] if tallies else "",
    }


def _newest(paid: Paid, skipped: int, wanted: int) -> Iterator[tuple[str, int]]:
    """Walk from the last payment back: past what was given back before, then what is wanted."""
    for lot_id, micros in reversed(paid):
        passed = min(micros, skipped)
        skipped -= passed
        part = min(micros - passed, wanted)
        wanted -= part
        if part:
            yield lot_id, part


def _paid(connection: Connection, tenant_id: str, reference: Reference) -> Paid:
    if reference.kind == DEBIT:
        return _paid_by_debit(connection, tenant_id, reference.name)
    return _paid_by_call(connection, tenant_id, reference.name)


def _paid_by_debit(connection: Connection, tenant_id: str, request_id: str) -> Paid:
    request = find_request(connection, tenant_id, request_id)
    if request is None or request.kind != DEBIT or request.state is not RequestState.APPLIED:
        raise FundingRefused(Why.DEBIT_UNKNOWN, f"No debit was made by the request {request_id}.")
    debit_id = request.body["debit_id"]
    moves = tables.MOVEMENTS.c
    time_ms = connection.scalar(
        select(moves.time_ms).where(moves.tenant_id == tenant_id, moves.movement_id == debit_id)
    )
    if time_ms is None:
        raise NotArchivedYet
    found = _movements(connection, tenant_id, ("debited",), span=(time_ms, time_ms))
    return _sum_up(move for move in found if move.reference_id == debit_id)


def _paid_by_call(connection: Connection, tenant_id: str, decision_id: str) -> Paid:
    told = _sum_up(_moves_of_call(connection, tenant_id, decision_id)[1])
    # A store that had lost its tail may have told of some of it twice; it was debited once.
    twice = max(0, sum(micros for _, micros in told) - _cost(connection, tenant_id, decision_id))
    paid: Paid = []
    for lot_id, micros in told:
        passed = min(micros, twice)
        twice -= passed
        if micros > passed:
            paid.append((lot_id, micros - passed))
    return paid


def _cost(connection: Connection, tenant_id: str, decision_id: str) -> int:
    calls = tables.CALLS.c
    gateway_id, call_id = connection.execute(
        select(calls.gateway_id, calls.call_id).where(
            calls.tenant_id == tenant_id, calls.opened_id == decision_id
        )
    ).one()
    call = find_call(connection, SoughtCall(tenant_id, gateway_id, call_id, decision_id, 0))
    return sum(use.micros for use in call.uses) if call else 0


def _moves_of_call(
    connection: Connection, tenant_id: str, decision_id: str
) -> tuple[CallFacts, list[Movement]]:
    calls = tables.CALLS.c
    call = connection.execute(
        select(calls.start_ms, calls.report_ms, calls.facts).where(
            calls.tenant_id == tenant_id, calls.opened_id == decision_id
        )
    ).first()
    if call is None:
        raise FundingRefused(Why.DEBIT_UNKNOWN, f"No call is known that {decision_id} began.")
    kinds, span = tuple(sorted(CALL_KINDS)), (call.start_ms, call.report_ms)
    found = _movements(connection, tenant_id, kinds, span=span)
    facts = msgspec.json.decode(call.facts, type=CallFacts)
    return facts, [move for move in found if move.fields["opened"] == decision_id]


def _movements(
    connection: Connection, tenant_id: str, kinds: tuple[str, ...], *, span: tuple[int, int]
) -> Iterator[Movement]:
    journal = tables.JOURNAL.c
    query = (
        select(tables.JOURNAL)
        .where(
            journal.tenant_id == tenant_id,
            journal.kind.in_(kinds),
            journal.time_ms.between(*span),
        )
        .order_by(journal.time_ms, journal.epoch, journal.n)
    )
    for row in connection.execute(query).mappings():
        yield Movement(entry_of(row))


def _sum_up(movements: Iterable[Movement]) -> Paid:
    """List what each entry took of which lot; what no lot had was owed, or is invoiced."""
    paid: Paid = []
    for movement in movements:
        lots = movement.paid
        owed = movement.debited_micros - sum(micros for _, micros in lots)
        paid += lots + ([("", owed)] if owed > 0 else [])
    return paid
