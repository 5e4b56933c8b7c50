"""Usage records of a period as calls to be played, page by page, in the order they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, func, select, tuple_

from server.archive.tables import ACCOUNTS, USAGE_RECORDS
from server.storage.sql.database import Database
from server.usage.back_test import Part, PlayedCall

PAGE_ROWS: Final = 20_000

_R = USAGE_RECORDS.c
_COLUMNS = (
    *(_R.end_ms, _R.opened_id, _R.usage_id, _R.account_id, _R.call_type, _R.caller_id),
    *(_R.destination_number, _R.external_country, _R.start_ms, _R.currency, _R.purse),
    *(_R.duration_seconds, _R.charge_micros, _R.correction),
)
_Place = tuple[int, str, str]


class Span(msgspec.Struct, frozen=True):
    """Usage that ended from one instant until before another, of some tenants (None for all).

    `rates_at_ms` is when the rates are looked up that it is played with.
    """

    from_ms: int
    until_ms: int
    rates_at_ms: int
    tenants: list[str] | None = None


class Period:
    """The records of a span."""

    def __init__(self, database: Database, span: Span) -> None:
        self._database = database
        self._from_ms = span.from_ms
        self._until_ms = span.until_ms
        self._tenants = span.tenants

    async def calls(
        self, progress: Callable[[int, int], None] = lambda *_: None
    ) -> AsyncIterator[list[PlayedCall]]:
        """Yield pages of calls. Raises `ArchiveUnavailable`."""
        tenants = await self._database.read(self._tenant_ids)
        total, done = await self._database.read(self._count), 0
        for tenant_id in tenants:
            place: _Place | None = None
            while True:
                page, before = await self._database.read(partial(self._page, tenant_id, place))
                if not page:
                    break
                # The last call may go on in the next page.
                whole = _whole(page) if len(page) == PAGE_ROWS else page
                place = (whole[-1].end_ms, whole[-1].opened_id, whole[-1].usage_id)
                done += len(whole)
                yield _as_calls(tenant_id, whole, before)
                progress(done, total)
                if len(page) < PAGE_ROWS:
                    break

    def _tenant_ids(self, connection: Connection) -> list[str]:
        statement = select(ACCOUNTS.c.tenant_id).order_by(ACCOUNTS.c.tenant_id)
        if self._tenants is not None:
            statement = statement.where(ACCOUNTS.c.tenant_id.in_(self._tenants))
        return list(connection.scalars(statement))

    def _count(self, connection: Connection) -> int:
        statement = select(func.count()).select_from(USAGE_RECORDS).where(self._in_time())
        if self._tenants is not None:
            statement = statement.where(_R.tenant_id.in_(self._tenants))
        return connection.scalar(statement) or 0

    def _in_time(self) -> Any:
        return and_(_R.end_ms >= self._from_ms, _R.end_ms < self._until_ms)

    def _page(
        self, tenant_id: str, after: _Place | None, connection: Connection
    ) -> tuple[Sequence[Row[Any]], dict[tuple[str, str], int]]:
        statement = select(*_COLUMNS).where(_R.tenant_id == tenant_id, self._in_time())
        if after is not None:
            # Named apart, for the index knows the end alone.
            key = tuple_(_R.end_ms, _R.opened_id, _R.usage_id)
            statement = statement.where(_R.end_ms >= after[0], key > after)
        order = (_R.end_ms, _R.opened_id, _R.usage_id)
        page: Any = connection.execute(statement.order_by(*order).limit(PAGE_ROWS)).all()
        corrected = {row.opened_id for row in page if row.correction}
        return page, _seconds_before(connection, tenant_id, corrected)


def _seconds_before(
    connection: Connection, tenant_id: str, corrected: Collection[str]
) -> dict[tuple[str, str], int]:
    """Sum what earlier records say of the calls that this page corrects, by record."""
    found: dict[tuple[str, str], int] = {}
    for opened_id in corrected:
        rows = connection.execute(
            select(_R.usage_id, _R.purse, _R.duration_seconds)
            .where(_R.tenant_id == tenant_id, _R.opened_id == opened_id)
            .order_by(_R.end_ms, _R.correction, _R.usage_id)
        ).all()
        so_far: dict[str, int] = {}
        for row in rows:
            found[opened_id, row.usage_id] = so_far.get(row.purse, 0)
            so_far[row.purse] = so_far.get(row.purse, 0) + row.duration_seconds
    return found


def _whole(page: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    last = page[-1].opened_id
    whole = [row for row in page if row.opened_id != last]
    # A call of a page's length is none: nothing would ever be yielded.
    return whole or page


def _as_calls(
    tenant_id: str, rows: Sequence[Row[Any]], before: dict[tuple[str, str], int]
) -> list[PlayedCall]:
    calls = []
    for _, group in groupby(rows, key=lambda row: row.opened_id):
        # Minutes come before credits within a call.
        records = sorted(group, key=lambda row: row.purse == "credits")
        first = records[0]
        parts = tuple(
            Part(
                row.purse,
                row.duration_seconds,
                row.charge_micros,
                before.get((row.opened_id, row.usage_id), 0) if row.correction else 0,
            )
            for row in records
        )
        calls.append(
            PlayedCall(
                tenant_id,
                first.account_id,
                first.call_type,
                first.caller_id,
                first.destination_number,
                first.external_country,
                first.start_ms,
                first.currency,
                parts,
            )
        )
    return calls
