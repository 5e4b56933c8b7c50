"""Sending reports and closing months, once each, when their period is over and archived whole.

A report goes on to its next period in the transaction that hands it over to be sent. So one that
was interrupted before is made anew, to the same bytes, and one that was handed over is the
outbox's: docs/notices.md tells what becomes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from server.ledger import LedgerUnavailable
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.usage.export import HIDDEN_DIGITS
from server.usage.periods import day_at
from server.usage.records import Filter
from server.usage.reports.closing import (
    CLOSED_FORM,
    ClosedMonth,
    close_month,
    month_to_close,
    tenants_with_usage,
)
from server.usage.reports.files import PeriodFile, write_file
from server.usage.reports.saved import SavedReport, due_reports, turn_over

# A period is over for so long before it is told: clocks of engines differ a little.
SETTLE_MS = 60_000
# A file up to this size goes with the mail; of a longer one the mail tells how to write it.
MOST_ATTACHED_BYTES = 1 << 20
_PAGE_REPORTS = 100

_log = logging.getLogger(__name__)


class Home(NamedTuple):
    """Where a tenant is at home."""

    zone: str
    country: str


class MadeReport(NamedTuple):
    """A report of a period that is over, to be told."""

    report: SavedReport
    first_day: str
    last_day: str
    file: PeriodFile


class Mailbox(Protocol):
    """What is asked of whoever tells tenants."""

    def home_of(self, connection: Connection, tenant_id: str) -> Home | None:
        """Say where a tenant is at home; None while that is not written down."""

    def tell(self, connection: Connection, made: MadeReport, now_ms: int) -> None:
        """Take a report to be sent, once however often it is handed over."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Makes what is due. Several may work at once. `complete_ms` is until when all is archived.

    All methods raise `ArchiveUnavailable` and, where `complete_ms` does, `LedgerUnavailable`.
    """

    database: Database
    mailbox: Mailbox
    complete_ms: Callable[[str], Awaitable[int | None]]
    now_ms: Callable[[], int]

    async def send(self) -> None:
        """Hand over each report whose period is over."""
        before_ms, after = self.now_ms() - SETTLE_MS, ("", "")
        while True:
            due = await self.database.read(
                partial(due_reports, before_ms=before_ms, after=after, limit=_PAGE_REPORTS)
            )
            for report in due:
                after = (report.wanted.tenant_id, report.name)
                await self._for_itself(report, before_ms)
            if len(due) < _PAGE_REPORTS:
                return

    async def close(self) -> None:
        """Close each month that is over."""
        before_ms = self.now_ms() - SETTLE_MS
        for tenant_id in await self.database.read(tenants_with_usage):
            while await self._close_next(tenant_id, before_ms):
                pass

    async def _for_itself(self, report: SavedReport, before_ms: int) -> None:
        """Hand one over; what nobody foresaw about it is told, and keeps no other one waiting."""
        try:
            # After days without a keeper several of its periods are over.
            while report.wanted.to_ms <= before_ms and await self._complete(report.wanted):
                following = await self._make(report)
                if following is None:
                    return
                report = following
        except (ArchiveUnavailable, LedgerUnavailable):
            raise
        except Exception:  # noqa: BLE001 -- It is told, and others go on.
            _log.exception("Report %s of %s broke.", report.name, report.wanted.tenant_id)

    async def _make(self, report: SavedReport) -> SavedReport | None:
        """Hand over one period, and give the report as it goes on."""
        home = await self.database.read(lambda c: self.mailbox.home_of(c, report.wanted.tenant_id))
        if home is None:
            return None
        wanted = replace(report.wanted, hidden_digits=HIDDEN_DIGITS.get(home.country, 0))
        keep = MOST_ATTACHED_BYTES
        file = await write_file(self.database, wanted, report.form, keep=keep)
        first = day_at(wanted.from_ms, home.zone).isoformat()
        last = day_at(wanted.to_ms - 1, home.zone).isoformat()
        made = MadeReport(report, first, last, file)

        def work(connection: Connection) -> SavedReport | None:
            following = turn_over(connection, report, home.zone)
            if following is not None:
                self.mailbox.tell(connection, made, self.now_ms())
            return following

        return await self.database.write(work)

    async def _close_next(self, tenant_id: str, before_ms: int) -> bool:
        home = await self.database.read(lambda c: self.mailbox.home_of(c, tenant_id))
        if home is None:
            return False
        span = await self.database.read(lambda c: month_to_close(c, tenant_id, home.zone))
        if span is None or span.to_ms > before_ms:
            return False
        hidden = HIDDEN_DIGITS.get(home.country, 0)
        wanted = Filter(tenant_id, span.from_ms, span.to_ms, hidden_digits=hidden)
        if not await self._complete(wanted):
            return False
        file = await write_file(self.database, wanted, CLOSED_FORM, keep=0)
        month = ClosedMonth(*span, file.records, file.sha256, self.now_ms())
        return await self.database.write(lambda c: close_month(c, tenant_id, month))

    async def _complete(self, wanted: Filter) -> bool:
        until_ms = await self.complete_ms(wanted.tenant_id)
        return until_ms is not None and until_ms >= wanted.to_ms
