"""Joining reports with what tells tenants, and with how far the archive is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from sqlalchemy import Connection

from server.archive.keeper.keeper import KeeperParts
from server.ledger.keys import partition_of
from server.notices import outbox
from server.notices.outbox import Notice, NoticeFile, NoticeKind
from server.notices.preferences import read_settings
from server.usage.records import archived_until, was_archived
from server.usage.reports.sending import Home, MadeReport, Reports

_SEND_ROUND_SECONDS = 15.0
_CLOSE_ROUND_SECONDS = 600.0


class Outbox:
    """Sends reports as notices."""

    def home_of(self, connection: Connection, tenant_id: str) -> Home | None:
        """Say where a tenant is at home, as its engine wrote it down."""
        settings = read_settings(connection, [tenant_id]).get(tenant_id)
        if settings is None or not settings.country:
            return None
        return Home(settings.time_zone, settings.country)

    def tell(self, connection: Connection, made: MadeReport, now_ms: int) -> None:
        """Write the notice of a report with its file, once for each report and period."""
        wanted = made.report.wanted
        key = f"{made.report.report_id}/{wanted.from_ms}"
        notice = Notice(NoticeKind.USAGE_REPORT, wanted.tenant_id, key, now_ms, facts_of(made))
        if outbox.add(connection, notice) and made.file.body is not None:
            file = NoticeFile(_file_name(made), bytes(made.file.body))
            outbox.add_file(connection, notice, file)


def facts_of(made: MadeReport) -> outbox.Facts:
    """Say what is told of a report; the sum is left out where there are several currencies."""
    file, name, tenant_id = made.file, made.report.name, made.report.wanted.tenant_id
    days = f"--from {made.first_day} --to {made.last_day}"
    sums = file.charged_micros
    charged: dict[str, str | int] = {}
    if len(sums) == 1:
        ((currency, micros),) = sums.items()
        charged = {"currency": currency, "charge_micros": micros}
    return {
        **charged,
        "report": name,
        "first_day": made.first_day,
        "last_day": made.last_day,
        "from_ms": made.report.wanted.from_ms,
        "to_ms": made.report.wanted.to_ms,
        "records": file.records,
        "file": _file_name(made),
        "bytes": file.size,
        "sha256": file.sha256,
        "command": f"callgate reports run {name} --tenant {tenant_id} {days}",
    }


def _file_name(made: MadeReport) -> str:
    days = (
        made.first_day if made.first_day == made.last_day else f"{made.first_day}-{made.last_day}"
    )
    return f"{made.report.name}-{days}.{'jsonl' if made.report.form == 'jsonl' else 'csv'}"


def make_reports(parts: KeeperParts) -> Reports:
    """Build what a keeper sends reports with."""
    database = parts.archive.database

    async def complete_ms(tenant_id: str) -> int | None:
        partition, now_ms = partition_of(tenant_id), parts.now_ms()
        last = await parts.journal.last(partition)
        if last is None:
            # No journal and nothing archived of one: nothing was ever booked.
            known = await database.read(lambda c: was_archived(c, partition))
            return None if known else now_ms
        place = (partition, last.epoch, last.n)
        return await database.read(lambda c: archived_until(c, place, now_ms))

    return Reports(database, Outbox(), complete_ms, parts.now_ms)


def report_duties(reports: Reports) -> Iterator[tuple[Callable[[], Awaitable[None]], float]]:
    """List what is done, each with the seconds between two rounds."""
    yield reports.send, _SEND_ROUND_SECONDS
    yield reports.close, _CLOSE_ROUND_SECONDS
