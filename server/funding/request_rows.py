"""What callers asked to move: written before the ledger is asked, answered alike ever after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from server.archive import tables
from server.archive.book import RULED_OUT
from server.funding.tables import FUNDING_REQUESTS


class RequestState(StrEnum):
    """Where a request is: written down, done, or refused for good."""

    ACCEPTED = "accepted"
    APPLIED = "applied"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class FundingRequest:
    """One request. `body` is what the ledger is asked, `outcome` what was answered in the end.

    One that is accepted and has an outcome is being refused: it is never applied any more.
    """

    tenant_id: str
    request_id: str
    kind: str
    fingerprint: str
    body: Mapping[str, Any]
    state: RequestState
    outcome: Mapping[str, Any]
    identity_id: str
    accept_ms: int
    finish_ms: int = 0
    claim: str = ""
    claim_until_ms: int = 0
    archived: bool = False
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, and when; whether something that had left came back."""

    state: RequestState
    outcome: Mapping[str, Any]
    time_ms: int
    came_back: bool = False


_REQUESTS = FUNDING_REQUESTS.c


def find_request(connection: Connection, tenant_id: str, request_id: str) -> FundingRequest | None:
    """Find what was asked by this id."""
    query = select(FUNDING_REQUESTS).where(
        _REQUESTS.tenant_id == tenant_id, _REQUESTS.request_id == request_id
    )
    found = connection.execute(query).mappings().first()
    return None if found is None else _read(found)


def add_request(connection: Connection, request: FundingRequest) -> None:
    """Write a new request down."""
    values = {name: getattr(request, name) for name in FundingRequest.__slots__}
    values["body"] = json.dumps(request.body, sort_keys=True)
    values["outcome"] = json.dumps(request.outcome, sort_keys=True)
    values["state"] = request.state.value
    connection.execute(insert(FUNDING_REQUESTS), values)


def claim_request(
    connection: Connection, request: FundingRequest, claim: str, *, until_ms: int, now_ms: int
) -> bool:
    """Take over a request that nobody works on; False where somebody does, or it is finished."""
    taken = connection.execute(
        update(FUNDING_REQUESTS)
        .where(
            _REQUESTS.tenant_id == request.tenant_id,
            _REQUESTS.request_id == request.request_id,
            _REQUESTS.state == RequestState.ACCEPTED.value,
            _REQUESTS.claim_until_ms <= now_ms,
        )
        .values(claim=claim, claim_until_ms=until_ms)
    )
    return taken.rowcount == 1


def note_refusal(
    connection: Connection, request: FundingRequest, *, claim: str, outcome: Mapping[str, Any]
) -> FundingRequest:
    """Write down that a request that one works on is going to be refused, before that is seen to.

    Returns it as it stands; where somebody else works on it by now, nothing is written.
    """
    connection.execute(
        update(FUNDING_REQUESTS)
        .where(
            _REQUESTS.tenant_id == request.tenant_id,
            _REQUESTS.request_id == request.request_id,
            _REQUESTS.state == RequestState.ACCEPTED.value,
            _REQUESTS.claim == claim,
        )
        .values(outcome=json.dumps(outcome, sort_keys=True))
    )
    found = find_request(connection, request.tenant_id, request.request_id)
    assert found is not None
    return found


def finish_request(
    connection: Connection, request: FundingRequest, *, claim: str, end: Ending
) -> FundingRequest:
    """Write the end of a request that one works on; returns it as it stands.

    Where somebody else finished it meanwhile, that end stands.
    """
    connection.execute(
        update(FUNDING_REQUESTS)
        .where(
            _REQUESTS.tenant_id == request.tenant_id,
            _REQUESTS.request_id == request.request_id,
            _REQUESTS.state == RequestState.ACCEPTED.value,
            _REQUESTS.claim == claim,
        )
        .values(
            state=end.state.value,
            outcome=json.dumps(end.outcome, sort_keys=True),
            finish_ms=end.time_ms,
            claim_until_ms=0,
            # What was refused moved nothing that could be lost, unless it came back.
            archived=end.state is RequestState.REFUSED and not end.came_back,
        )
    )
    found = find_request(connection, request.tenant_id, request.request_id)
    assert found is not None
    return found


def left_behind(connection: Connection, now_ms: int, *, limit: int) -> list[FundingRequest]:
    """List requests that somebody accepted and nobody works on any more, the oldest first."""
    query = (
        select(FUNDING_REQUESTS)
        .where(
            ~_REQUESTS.archived,
            _REQUESTS.state == RequestState.ACCEPTED.value,
            _REQUESTS.claim_until_ms <= now_ms,
        )
        .order_by(_REQUESTS.accept_ms)
        .limit(limit)
    )
    return list(map(_read, connection.execute(query).mappings()))


def not_archived(
    connection: Connection, before_ms: int, *, now_ms: int, limit: int
) -> list[FundingRequest]:
    """List requests that ended before a time and are not known to be archived."""
    query = (
        select(FUNDING_REQUESTS)
        .where(
            ~_REQUESTS.archived,
            _REQUESTS.state != RequestState.ACCEPTED.value,
            _REQUESTS.finish_ms <= before_ms,
            _REQUESTS.claim_until_ms <= now_ms,
        )
        .order_by(_REQUESTS.finish_ms)
        .limit(limit)
    )
    return list(map(_read, connection.execute(query).mappings()))


def put_off(connection: Connection, request: FundingRequest, until_ms: int) -> None:
    """Look at an applied request again at a time, so that others are looked at meanwhile."""
    connection.execute(
        update(FUNDING_REQUESTS)
        .where(_REQUESTS.tenant_id == request.tenant_id, _REQUESTS.request_id == request.request_id)
        .values(claim_until_ms=until_ms)
    )


def note_archived(connection: Connection, request: FundingRequest) -> None:
    """Note that all that a request moved has come back through the journal."""
    connection.execute(
        update(FUNDING_REQUESTS)
        .where(_REQUESTS.tenant_id == request.tenant_id, _REQUESTS.request_id == request.request_id)
        .values(archived=True)
    )


def pending_top_ups(connection: Connection, tenant_id: str) -> int:
    """Sum up what was accepted for a tenant and is not in the ledger yet, in micros."""
    query = select(FUNDING_REQUESTS).where(
        _REQUESTS.tenant_id == tenant_id,
        _REQUESTS.kind == "top_up",
        _REQUESTS.state == RequestState.ACCEPTED.value,
    )
    return sum(_read(row).body["micros"] for row in connection.execute(query).mappings())


def newest_of(
    connection: Connection, tenant_id: str, kinds: tuple[str, ...]
) -> FundingRequest | None:
    """Find the request of these kinds that was accepted last and not refused."""
    query = (
        select(FUNDING_REQUESTS)
        .where(
            _REQUESTS.tenant_id == tenant_id,
            _REQUESTS.kind.in_(kinds),
            _REQUESTS.state != RequestState.REFUSED.value,
        )
        .order_by(_REQUESTS.accept_ms.desc(), _REQUESTS.finish_ms.desc())
        .limit(1)
    )
    found = connection.execute(query).mappings().first()
    return None if found is None else _read(found)


def of_reference(connection: Connection, tenant_id: str, reference: str) -> list[FundingRequest]:
    """List requests about one debit or call that were not refused."""
    query = select(FUNDING_REQUESTS).where(
        _REQUESTS.tenant_id == tenant_id,
        _REQUESTS.reference == reference,
        _REQUESTS.state != RequestState.REFUSED.value,
    )
    return list(map(_read, connection.execute(query).mappings()))


def count_of_reference(connection: Connection, tenant_id: str, reference: str) -> int:
    """Count all requests about one debit, call or charge, those that were refused as well."""
    query = select(func.count()).where(
        _REQUESTS.tenant_id == tenant_id, _REQUESTS.reference == reference
    )
    return connection.scalar(query) or 0


def lots_archived(connection: Connection, lots: set[tuple[str, str]]) -> int:
    """Count which of these lots, named by tenant and id, the archive knows."""
    return sum(
        connection.scalar(
            select(func.count())
            .select_from(tables.LOTS)
            .where(tables.LOTS.c.tenant_id == tenant_id, tables.LOTS.c.lot_id == lot_id)
        )
        or 0
        for tenant_id, lot_id in lots
    )


def changes_archived(
    connection: Connection, changes: Iterable[tuple[str, str]]
) -> frozenset[tuple[str, str]]:
    """Say which of these lots, debits and refunds, named by tenant and id, the archive knows."""
    return frozenset(
        change
        for change in changes
        if lots_archived(connection, {change}) or movements_archived(connection, {change})
    )


def is_ruled_out(connection: Connection, change: tuple[str, str]) -> bool:
    """Say whether the archive knows that something is never made."""
    rows = tables.MOVEMENTS.c
    query = select(rows.text).where(rows.tenant_id == change[0], rows.movement_id == change[1])
    return connection.scalar(query) == RULED_OUT


def movements_archived(connection: Connection, movements: set[tuple[str, str]]) -> int:
    """Count which of these debits and refunds, named by tenant and id, the archive knows."""
    rows = tables.MOVEMENTS.c
    return sum(
        connection.scalar(
            select(func.count())
            .select_from(tables.MOVEMENTS)
            .where(
                rows.tenant_id == tenant_id,
                rows.movement_id == movement_id,
                rows.text != RULED_OUT,
            )
        )
        or 0
        for tenant_id, movement_id in movements
    )


def _read(found: Mapping[Any, Any]) -> FundingRequest:
    values = {str(name): value for name, value in found.items()}
    values["body"] = json.loads(values["body"])
    values["outcome"] = json.loads(values["outcome"])
    values["state"] = RequestState(values["state"])
    return FundingRequest(**values)
