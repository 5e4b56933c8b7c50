"""What the archive knows of a call that a ledger may have forgotten: what it paid, how it ended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Select, func, select

from server.archive import tables
from server.archive.book import CallRow, UseRow, read_call
from server.archive.changes import ArchivedPurse, CallState
from server.ledger.journal.past import ArchivedEntry
from server.storage.sql.rows import plain_row

# The decision that began the call of an entry, as the ledger writes it down.
_OPENED = re.compile(r"^opened=(.+)$", re.MULTILINE)
# A call in one of these ended by a report of its own.
_ENDED = frozenset({CallState.SETTLED, CallState.RELEASED})


class SoughtCall(NamedTuple):
    """Which call is sought.

    `decision_id` names any decision by which it was granted. Where that is empty, or the archive
    has lost it, the newest call of this id and gateway is meant that was reported on at
    `since_ms` or later.
    """

    tenant_id: str
    gateway_id: str
    call_id: str
    decision_id: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class ArchivedUse:
    """What one purse paid of a call, the connection fee included."""

    purse: ArchivedPurse
    seconds: int
    micros: int


@dataclass(frozen=True, slots=True)
class ArchivedCall:
    """What was debited for a call so far.

    `ending` is the entry by which it ended, where that was by a report of its own and the journal
    still has it.
    """

    opened_id: str
    state: CallState
    used_seconds: int
    uses: tuple[ArchivedUse, ...]
    ending: ArchivedEntry | None = None
    began_ms: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it was settled or released, rather than lapsed, lost, or refused more."""
        return self.state in _ENDED


def find_call(connection: Connection, sought: SoughtCall) -> ArchivedCall | None:
    """Find a call, whatever became of it."""
    call = _by_decision(connection, sought) or _by_id(connection, sought)
    if call is None:
        return None
    return ArchivedCall(
        call.opened_id,
        call.state,
        call.used_seconds,
        tuple(_paid(connection, call)),
        _ending(connection, call) if call.state in _ENDED else None,
        min(call.start_ms, call.report_ms - call.used_seconds * 1_000),
    )


def _by_decision(connection: Connection, sought: SoughtCall) -> CallRow | None:
    if not sought.decision_id:
        return None
    calls = tables.CALLS.c
    query = _calls_of(sought)
    began = _first(connection, query.where(calls.opened_id == sought.decision_id))
    if began is not None:
        return began
    # It may be that of a later grant.
    for opened_id in _opened_by(connection, sought):
        went_on = _first(connection, query.where(calls.opened_id == opened_id))
        if went_on is not None:
            return went_on
    return None


def _opened_by(connection: Connection, sought: SoughtCall) -> Iterator[str]:
    accounts, journal = tables.ACCOUNTS.c, tables.JOURNAL.c
    partition = connection.scalar(
        select(accounts.partition).where(accounts.tenant_id == sought.tenant_id)
    )
    bodies = select(journal.body).where(
        journal.partition == partition,
        journal.nonce == sought.decision_id,
        journal.tenant_id == sought.tenant_id,
    )
    for body in connection.scalars(bodies):
        opened = _OPENED.search(body)
        if opened:
            yield opened[1]


def _by_id(connection: Connection, sought: SoughtCall) -> CallRow | None:
    calls = tables.CALLS.c
    query = _calls_of(sought).where(calls.report_ms >= sought.since_ms)
    return _first(connection, query.order_by(calls.start_ms.desc()).limit(1))


def _calls_of(sought: SoughtCall) -> Select[tuple[object, ...]]:
    calls = tables.CALLS.c
    return select(tables.CALLS).where(
        calls.tenant_id == sought.tenant_id,
        calls.call_id == sought.call_id,
        calls.gateway_id == sought.gateway_id,
    )


def _first(connection: Connection, query: Select[tuple[object, ...]]) -> CallRow | None:
    found = connection.execute(query).mappings().first()
    return None if found is None else read_call(plain_row(found))


def _paid(connection: Connection, call: CallRow) -> Iterator[ArchivedUse]:
    """Say what the purses of a call paid, those before the last ones included.

    Usage records have all that was paid but what the last purses paid since; of the last purses
    the whole is known, also where records were deleted.
    """
    uses = tables.CALL_USES
    rows = select(uses).where(
        uses.c.tenant_id == call.tenant_id,
        uses.c.opened_id == call.opened_id,
        uses.c.part == call.part,
    )
    last = [
        UseRow(**plain_row(row))
        for row in connection.execute(rows.order_by(uses.c.purse_index)).mappings()
    ]
    recorded = list(_recorded(connection, call)) if call.part else []
    since = [(use, use.seconds - use.recorded_seconds) for use in last]
    in_records = sum(use.seconds for use in recorded) + sum(seconds for _, seconds in since)
    if in_records <= sum(use.seconds for use in last):
        for use in last:
            yield ArchivedUse(call.facts.purses[use.purse_index], use.seconds, use.micros)
        return
    yield from recorded
    for use, seconds in since:
        micros = use.micros - use.recorded_micros
        yield ArchivedUse(call.facts.purses[use.purse_index], seconds, micros)


def _recorded(connection: Connection, call: CallRow) -> Iterator[ArchivedUse]:
    records = tables.USAGE_RECORDS.c
    named = (records.purse, records.pool_id, records.period, records.capability)
    query = (
        select(*named, func.sum(records.duration_seconds), func.sum(records.charge_micros))
        .where(records.tenant_id == call.tenant_id, records.opened_id == call.opened_id)
        .group_by(*named)
    )
    for kind, pool_id, period, capability, seconds, micros in connection.execute(query):
        purse = ArchivedPurse(kind, capability=capability, pool_id=pool_id, period=period)
        yield ArchivedUse(_same_of(call.facts.purses, purse), int(seconds), int(micros))


def _same_of(purses: Sequence[ArchivedPurse], recorded: ArchivedPurse) -> ArchivedPurse:
    """Find the purse of a record among those that pay now: they are known in full."""
    for purse in purses:
        if (purse.kind, purse.pool_id, purse.period) == (
            recorded.kind,
            recorded.pool_id,
            recorded.period,
        ):
            return purse
    return recorded


def _ending(connection: Connection, call: CallRow) -> ArchivedEntry | None:
    journal = tables.JOURNAL.c
    query = select(*(journal[name] for name in ArchivedEntry.__slots__)).where(
        journal.tenant_id == call.tenant_id,
        journal.time_ms == call.report_ms,
        journal.kind == call.state.value,
        journal.body.contains(f"\nopened={call.opened_id}\n", autoescape=True),
    )
    found = connection.execute(query.order_by(journal.epoch.desc(), journal.n.desc())).first()
    return None if found is None else ArchivedEntry(*found)
