"""Reports that are sent when their period is over, and months that are closed, each once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from sqlalchemy import insert

from couriers import BILLING, PostRoom, post_room, work
from engines import ROOT
from mail_sinks import MailSink, mail_sink
from server.app.reports import Outbox
from server.archive.tables import USAGE_RECORDS
from server.notices.preferences import NoticeSettings
from server.usage.periods import Period, span_at
from server.usage.records import Filter
from server.usage.reports.closing import list_months
from server.usage.reports.saved import SavedReport, list_reports, save_report
from server.usage.reports.sending import MOST_ATTACHED_BYTES, SETTLE_MS, Reports
from usage_rows import a_usage

ZONE = "Europe/Rome"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WANTED = Filter("contoso", 0, 0, purses=["credits"])


def at(text: str) -> int:
    """Say when it is so late in Rome."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * 1_000


@dataclass(slots=True)
class Desk:
    """An outbox, and what makes reports for it."""

    room: PostRoom
    # Until when everything is archived; None: until now.
    complete_ms: int | None = None

    def reports(self) -> Reports:
        async def complete_ms(_tenant_id: str) -> int | None:
            return self.complete_ms or self.room.clock.now_ms()

        return Reports(self.room.database, Outbox(), complete_ms, self.room.clock.now_ms)

    def turn_to(self, time_ms: int) -> None:
        self.room.clock.time_ms = time_ms

    async def save(self, every: Period, form: str = "2025", wanted: Filter = WANTED) -> None:
        _, from_ms, to_ms = span_at(every, ZONE, self.room.clock.now_ms())
        wanted = replace(wanted, from_ms=from_ms, to_ms=to_ms)
        report = SavedReport(f"each-{every}", wanted, form, every)
        await self.room.database.write(lambda c: save_report(c, report))

    async def book(self, *times_ms: int, micros: int = 1_500_000, **changes: Any) -> None:
        rows = [a_usage(time_ms, micros, **changes) for time_ms in times_ms]
        await self.room.database.write(lambda c: c.execute(insert(USAGE_RECORDS), rows))

    async def send(self) -> None:
        await self.reports().send()
        await work(self.room.courier())


@pytest.fixture
async def sink() -> AsyncIterator[MailSink]:
    async with mail_sink() as running:
        yield running


@pytest.fixture
async def desk(archive_url: str, sink: MailSink) -> AsyncIterator[Desk]:
    room = await post_room(archive_url)
    room.port = sink.port
    await room.settle_on(NoticeSettings(recipients=(BILLING,), time_zone=ZONE, country="IT"))
    yield Desk(room)
    await room.database.close()


def attached(sink: MailSink) -> list[tuple[str, bytes]]:
    files: list[Any] = [file for mail in sink.mails for file in mail.iter_attachments()]
    return [(file.get_filename(), file.get_payload(decode=True)) for file in files]


def plain_text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_the_report_of_a_day_comes_once_by_mail_with_that_day_s_records(
    desk: Desk, sink: MailSink
) -> None:
    desk.turn_to(at("2026-11-30T10:00"))
    await desk.save(Period.DAY)
    first, last = at("2026-11-30T00:00"), at("2026-12-01T00:00") - 1
    far: dict[str, Any] = {"destination_number": "+442079460123", "call_direction": "outbound"}
    await desk.book(first, last, display_name="Adèle Niño", **far)
    await desk.book(first - 1, last + 1)
    await desk.book(first + 1, purse="pool")

    desk.turn_to(last + SETTLE_MS)
    await desk.send()
    assert sink.mails == []
    for _ in range(3):
        desk.turn_to(desk.room.clock.now_ms() + 1_000)
        await desk.send()

    (mail,) = sink.of(BILLING)
    ((name, text),) = attached(sink)
    assert mail["Subject"] == "contoso: usage report each-day, 2026-11-30 to 2026-11-30"
    assert name == "each-day-2026-11-30.csv"
    assert text.decode().count("\r\n") == 3
    # Italy hides the last three digits.
    assert "Adèle Niño" in text.decode()
    assert "+442079460***" in text.decode()
    told = plain_text(mail)
    assert hashlib.sha256(text).hexdigest() in told
    assert "3.00 USD" in told


@pytest.mark.parametrize(
    ("every", "saved", "begin", "end", "hours"),
    [
        (Period.DAY, "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00", 25),
        (Period.DAY, "2027-03-28T12:00", "2027-03-28T00:00", "2027-03-29T00:00", 23),
        (Period.WEEK, "2026-10-22T12:00", "2026-10-19T00:00", "2026-10-26T00:00", 7 * 24 + 1),
        (Period.MONTH, "2027-03-05T12:00", "2027-03-01T00:00", "2027-04-01T00:00", 31 * 24 - 1),
    ],
)
async def test_a_period_has_the_hours_that_it_has_in_the_tenant_s_zone(
    desk: Desk, sink: MailSink, every: Period, saved: str, begin: str, end: str, hours: int
) -> None:
    desk.turn_to(at(saved))
    await desk.save(every, form="jsonl")
    begin_ms, end_ms = at(begin), at(end)
    assert end_ms - begin_ms == hours * HOUR_MS
    await desk.book(*range(begin_ms - HOUR_MS // 2, end_ms + HOUR_MS, HOUR_MS))

    desk.turn_to(end_ms + SETTLE_MS)
    await desk.send()

    ((_, text),) = attached(sink)
    assert len(text.splitlines()) == hours


async def test_days_without_a_keeper_are_made_up_for_one_by_one(desk: Desk, sink: MailSink) -> None:
    desk.turn_to(at("2026-11-27T10:00"))
    await desk.save(Period.DAY)
    desk.turn_to(at("2026-11-30T10:00"))
    await desk.send()

    days = sorted(name for name, _ in attached(sink))
    assert days == [f"each-day-2026-11-{day}.csv" for day in (27, 28, 29)]


async def test_nothing_is_sent_while_the_archive_is_behind(desk: Desk, sink: MailSink) -> None:
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY)
    desk.turn_to(at("2026-11-30T10:00"))
    desk.complete_ms = at("2026-11-30T00:00") - 1
    await desk.send()
    assert sink.mails == []

    desk.complete_ms += 1
    await desk.send()
    assert len(sink.mails) == 1


async def test_two_keepers_at_once_send_a_report_once(desk: Desk, sink: MailSink) -> None:
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY)
    desk.turn_to(at("2026-11-30T10:00"))
    await asyncio.gather(*(desk.reports().send() for _ in range(4)))
    await work(desk.room.courier())

    assert len(sink.mails) == 1


async def test_a_keeper_that_is_killed_anywhere_sends_it_once_all_the_same(
    tmp_path: Path, sink: MailSink
) -> None:
    room = await post_room(f"sqlite:///{tmp_path}/archive.sqlite")
    room.port = sink.port
    await room.settle_on(NoticeSettings(recipients=(BILLING,), time_zone=ZONE, country="IT"))
    desk = Desk(room)
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY)
    desk.turn_to(at("2026-11-30T10:00"))

    program = ROOT / "tests" / "support" / "killed_reporter.py"
    for moment in ("before", "after"):
        arguments = [str(tmp_path), str(desk.room.clock.now_ms()), moment]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(program), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
            timeout=60,
        )
        assert done.returncode == -9
    for _ in range(2):
        await desk.send()
    await room.database.close()

    assert [name for name, _ in attached(sink)] == ["each-day-2026-11-29.csv"]


async def test_a_long_file_is_named_with_the_command_that_writes_it(
    desk: Desk, sink: MailSink
) -> None:
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY, form="jsonl")
    long: dict[str, Any] = {
        "destination_dialed": "x" * 60,
        "display_name": "x" * 120,
        "upn": "y" * 120,
    }
    count = MOST_ATTACHED_BYTES // 700
    await desk.book(*range(at("2026-11-29T11:00"), at("2026-11-29T11:00") + count), **long)
    desk.turn_to(at("2026-11-30T10:00"))
    await desk.send()

    (mail,) = sink.mails
    assert attached(sink) == []
    written = " ".join(plain_text(mail).split())
    assert "callgate reports run each-day --tenant contoso --from 2026-11-29 --to 2026-11-29" in (
        written
    )


async def test_a_webhook_is_told_what_the_file_is(desk: Desk) -> None:
    taken: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(json.loads(await request.read()))
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await desk.room.settle_on(NoticeSettings(webhook_url=url, time_zone=ZONE, country="IT"))
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY)
    await desk.book(at("2026-11-29T11:00"))
    desk.turn_to(at("2026-11-30T10:00"))
    for _ in range(2):
        await desk.send()
    await runner.cleanup()

    (event,) = taken
    data = event["data"]
    assert event["type"] == "usage_report"
    assert (data["report"], data["records"], data["charge_micros"]) == ("each-day", 1, 1_500_000)
    assert (data["from_ms"], data["to_ms"]) == (at("2026-11-29T00:00"), at("2026-11-30T00:00"))


async def test_a_correction_is_in_the_month_in_which_it_came_and_a_closed_one_stays(
    desk: Desk,
) -> None:
    database = desk.room.database
    october, november = at("2026-10-31T23:59"), at("2026-11-02T09:00")
    await desk.book(october, opened_id="call-1")
    desk.turn_to(at("2026-11-01T00:00") + SETTLE_MS)
    await desk.reports().close()
    (closed,) = await database.read(partial(list_months, tenant_id="contoso"))
    assert (closed.month, closed.records) == ("2026-10", 1)

    await desk.book(october, micros=-500_000, opened_id="call-1", book_ms=november, correction=True)
    desk.turn_to(at("2026-12-01T00:00") + SETTLE_MS)
    for _ in range(2):
        await desk.reports().close()

    latest, before = await database.read(partial(list_months, tenant_id="contoso"))
    assert before == closed
    assert (latest.month, latest.records, latest.from_ms) == ("2026-11", 1, closed.to_ms)
    assert latest.sha256 != closed.sha256


async def test_months_join_when_the_tenant_moves_to_another_zone(desk: Desk) -> None:
    await desk.book(at("2026-10-10T12:00"))
    desk.turn_to(at("2026-11-01T12:00"))
    await desk.reports().close()
    await desk.room.settle_on(NoticeSettings(time_zone="UTC", country="IT"))
    desk.turn_to(at("2027-01-02T12:00"))
    await desk.reports().close()

    months = await desk.room.database.read(partial(list_months, tenant_id="contoso"))
    assert [month.month for month in months] == ["2026-12", "2026-11", "2026-10"]
    assert [month.from_ms for month in months[:2]] == [month.to_ms for month in months[1:]]
    assert months[1].to_ms == at("2026-12-01T01:00")


async def test_a_tenant_of_whom_nothing_is_known_waits(desk: Desk, sink: MailSink) -> None:
    desk.turn_to(at("2026-11-29T10:00"))
    await desk.save(Period.DAY, wanted=replace(WANTED, tenant_id="fabrikam"))
    await desk.save(Period.DAY)
    desk.turn_to(at("2026-11-30T10:00"))
    await desk.send()

    assert len(sink.mails) == 1
    (waiting,) = await desk.room.database.read(partial(list_reports, tenant_id="fabrikam"))
    assert waiting.wanted.to_ms == at("2026-11-30T00:00")
