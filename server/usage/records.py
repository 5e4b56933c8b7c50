"""Usage records of a tenant, found and added up by the time at which they were booked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_

from server.archive.tables import JOURNAL, USAGE_RECORDS
from server.archive.tables import PARTITIONS as POSITIONS
from server.storage.sql.rows import plain_row
from server.usage.periods import Period, spans

MOST_GROUPS = 10_000
# By the name of what is grouped by; periods are not columns.
GROUPS: Mapping[str, str] = {
    "user": "account_id",
    "country": "external_country",
    "call_type": "call_type",
    "purse": "purse",
    "gateway": "gateway_id",
}
# By the name of a filter's list.
_LISTS: Mapping[str, str] = {
    "account_ids": "account_id",
    "call_types": "call_type",
    "countries": "external_country",
    "purses": "purse",
    "capabilities": "capability",
    "gateway_ids": "gateway_id",
}
_USAGE = USAGE_RECORDS.c


class TooManyGroups(Exception):
    """There are more groups than one answer tells."""


class Place(NamedTuple):
    """Which record."""

    book_ms: int
    usage_id: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records of a tenant, booked from a time on and before another.

    What is empty is not looked at. `hidden_digits` of far ends are not compared with the prefix.
    """

    tenant_id: str
    from_ms: int
    to_ms: int
    account_ids: Sequence[str] = ()
    call_types: Sequence[str] = ()
    direction: str = ""
    countries: Sequence[str] = ()
    number_prefix: str = ""
    hidden_digits: int = 0
    purses: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    gateway_ids: Sequence[str] = ()
    least_charge_micros: int = 0
    corrections: bool | None = None
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Sum:
    """What some records add up to."""

    keys: tuple[str, ...]
    currency: str
    records: int
    calls: int
    seconds: int
    fee_micros: int
    charge_micros: int


def list_records(
    connection: Connection, wanted: Filter, *, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    """List records in the order of booking, those after one of an earlier page."""
    query = select(USAGE_RECORDS).where(*_conditions(wanted))
    if after is not None:
        # Both, so that the index on the time is of use.
        order = tuple_(_USAGE.book_ms, _USAGE.usage_id)
        query = query.where(_USAGE.book_ms >= after.book_ms, order > after)
    query = query.order_by(_USAGE.book_ms, _USAGE.usage_id).limit(limit)
    return list(map(plain_row, connection.execute(query).mappings()))


def count_records(connection: Connection, wanted: Filter, *, after: Place | None) -> int:
    """Count the records after one."""
    query = select(func.count()).select_from(USAGE_RECORDS).where(*_conditions(wanted))
    if after is not None:
        order = tuple_(_USAGE.book_ms, _USAGE.usage_id)
        query = query.where(_USAGE.book_ms >= after.book_ms, order > after)
    return int(connection.execute(query).scalar_one())


def sum_records(
    connection: Connection, wanted: Filter, groups: Sequence[str], *, zone: str
) -> list[Sum]:
    """Add records up by these groups, ordered by their keys.

    Raises `TooManyGroups` and `TooManyPeriods`.
    """
    periods = [Period(group) for group in groups if group not in GROUPS]
    if not periods:
        return _sums(connection, wanted, groups, named={})
    assert len(periods) == 1, "a service lets no two periods pass"
    found: list[Sum] = []
    booked = _booked(connection, wanted)
    if booked is None:
        return found
    for span in spans(periods[0], zone, from_ms=booked[0], to_ms=booked[1] + 1):
        within = replace(wanted, from_ms=span.from_ms, to_ms=span.to_ms)
        found += _sums(connection, within, groups, named={periods[0]: span.name})
        if len(found) > MOST_GROUPS:
            raise TooManyGroups
    return sorted(found, key=lambda each: (each.keys, each.currency))


def _booked(connection: Connection, wanted: Filter) -> tuple[int, int] | None:
    """Say when the first and the last of the records were booked."""
    query = select(func.min(_USAGE.book_ms), func.max(_USAGE.book_ms)).where(*_conditions(wanted))
    first, last = connection.execute(query).one()
    return None if first is None else (int(first), int(last))


def _sums(
    connection: Connection, wanted: Filter, groups: Sequence[str], *, named: Mapping[str, str]
) -> list[Sum]:
    columns = [_USAGE[GROUPS[group]] for group in groups if group in GROUPS]
    query = (
        select(
            *columns,
            _USAGE.currency,
            func.count(),
            func.count(_USAGE.opened_id.distinct()),
            func.sum(_USAGE.duration_seconds),
            func.sum(_USAGE.connection_fee_micros),
            func.sum(_USAGE.charge_micros),
        )
        .where(*_conditions(wanted))
        .group_by(*columns, _USAGE.currency)
        .limit(MOST_GROUPS + 1)
    )
    found = [_sum(groups, named, row) for row in connection.execute(query)]
    if len(found) > MOST_GROUPS:
        raise TooManyGroups
    return sorted(found, key=lambda each: (each.keys, each.currency))


def _sum(groups: Sequence[str], named: Mapping[str, str], row: Any) -> Sum:
    values = iter(row)
    keys = tuple(named[group] if group in named else next(values) for group in groups)
    currency, *figures = values
    return Sum(keys, currency, *map(int, figures))


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    yield _USAGE.tenant_id == wanted.tenant_id
    yield _USAGE.book_ms >= wanted.from_ms
    yield _USAGE.book_ms < wanted.to_ms
    for name, column in _LISTS.items():
        if values := getattr(wanted, name):
            yield _USAGE[column].in_(values)
    if wanted.direction:
        yield _USAGE.call_direction == wanted.direction
    if wanted.number_prefix:
        yield _begins(wanted.number_prefix, wanted.hidden_digits)
    if wanted.least_charge_micros:
        yield _USAGE.charge_micros >= wanted.least_charge_micros
    if wanted.corrections is not None:
        yield _USAGE.correction == wanted.corrections
    if wanted.call_id:
        yield _USAGE.call_id == wanted.call_id


def _begins(prefix: str, hidden_digits: int) -> ColumnElement[bool]:
    """Tell whether the far end begins so, by what is shown of it alone."""
    ways = (("inbound", _USAGE.caller_id), ("outbound", _USAGE.destination_number))
    return or_(
        *(
            and_(
                _USAGE.call_direction == direction,
                func.length(number) >= len(prefix) + hidden_digits,
                func.substr(number, 1, len(prefix)) == prefix,
            )
            for direction, number in ways
        )
    )


def archived_until(
    connection: Connection, place: tuple[int, int, int] | None, now_ms: int
) -> int | None:
    """Say up to when records are complete; `place` is where the journal stood at `now_ms`.

    It is a partition, an epoch and a number; None where that is not known. None where nothing was
    archived.
    """
    if place is None:
        return None
    partition, epoch, n = place
    query = select(POSITIONS.c.epoch, POSITIONS.c.n).where(POSITIONS.c.partition == partition)
    row = connection.execute(query).first()
    if row is None or (row[0], row[1]) < (epoch, n):
        return None if row is None else _time_of(connection, (partition, row[0], row[1]))
    return now_ms


def was_archived(connection: Connection, partition: int) -> bool:
    """Say whether anything of a partition was ever archived."""
    query = select(POSITIONS.c.n).where(POSITIONS.c.partition == partition)
    return connection.execute(query).first() is not None


def _time_of(connection: Connection, place: tuple[int, int, int]) -> int | None:
    query = select(JOURNAL.c.time_ms).where(
        tuple_(JOURNAL.c.partition, JOURNAL.c.epoch, JOURNAL.c.n) == place
    )
    return connection.execute(query).scalar()
