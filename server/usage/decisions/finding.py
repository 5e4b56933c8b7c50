"""Finding decision records again: of one tenant, the newest first, by indexes of each day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, or_, select, true, tuple_

from server.usage.decisions.tables import day_of, list_days, table_of


class DecisionUnknown(Exception):
    """The archive has no record of this decision of the tenant."""


class Place(NamedTuple):
    """Which record: its time, the file it was carried from, its place there."""

    time_ms: int
    source: str
    place: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Which records of a tenant: all that is said has to hold; what is empty is not looked at.

    `hashes` are those of one number, in each way it may have been dialled; `accounts` are names and
    hashes of one account; `outcomes` are any of several. From a time on and before another.
    """

    tenant_id: str
    from_ms: int
    to_ms: int
    hashes: Sequence[str] = ()
    accounts: Sequence[str] = ()
    call_id: str = ""
    gateway_id: str = ""
    decision_id: str = ""
    reason: str = ""
    outcome: str = ""
    outcomes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FoundDecision:
    """One record: where it stands, and what it says."""

    place: Place
    record: dict[str, Any]
    text: str


def find_decisions(
    connection: Connection, sought: Sought, *, after: Place | None, limit: int
) -> list[FoundDecision]:
    """Find records that are older than one of an earlier page, the newest first."""
    found: list[FoundDecision] = []
    newest, oldest = day_of(sought.to_ms), day_of(sought.from_ms)
    if after is not None:
        newest = min(newest, day_of(after.time_ms))
    for day in list_days(connection):
        if oldest <= day <= newest and len(found) < limit:
            left = limit - len(found)
            found += _of_day(connection, table_of(day), sought, after=after, limit=left)
    return found


def _of_day(
    connection: Connection, table: Table, sought: Sought, *, after: Place | None, limit: int
) -> list[FoundDecision]:
    """Find the newest of a day: what may stand in several columns is looked for in each of them.

    So each question has an index that finds its rows in their order.
    """
    columns = table.c
    order = (columns.time_ms, columns.source, columns.place)
    query = select(*order, columns.body).where(*_conditions(table, sought))
    if after is not None:
        # Both, so that an index on the time is of use.
        query = query.where(columns.time_ms <= after.time_ms, tuple_(*order) < after)
    query = query.order_by(*(column.desc() for column in order)).limit(limit)
    found = {
        Place(*row[:3]): row[3]
        for way in _ways(table, sought)
        for row in connection.execute(query.where(way))
    }
    return [
        FoundDecision(place, msgspec.json.decode(found[place]), found[place])
        for place in sorted(found, reverse=True)[:limit]
    ]


def _ways(table: Table, sought: Sought) -> Iterator[ColumnElement[bool]]:
    """List the ways in which a record may have the number, else the account, that is sought."""
    columns = table.c
    numbers = (columns.far_hash, columns.dialled_hash, columns.calling_hash)
    accounts = (columns.account_id, columns.payer_id)
    among = (sought.hashes, numbers) if sought.hashes else (sought.accounts, accounts)
    if not among[0]:
        yield true()
    for text, column in product(*among):
        yield column == text


def _conditions(table: Table, sought: Sought) -> Iterator[ColumnElement[bool]]:
    columns = table.c
    yield columns.tenant_id == sought.tenant_id
    yield columns.time_ms >= sought.from_ms
    yield columns.time_ms < sought.to_ms
    if sought.hashes and sought.accounts:
        accounts = (columns.account_id, columns.payer_id)
        yield or_(*(column.in_(sought.accounts) for column in accounts))
    for name in ("call_id", "gateway_id", "decision_id", "reason", "outcome"):
        if wanted := getattr(sought, name):
            yield columns[name] == wanted
    if sought.outcomes:
        yield columns.outcome.in_(sought.outcomes)
