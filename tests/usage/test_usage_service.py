"""Usage through an engine: every sum is that of the records, every page joins, nobody else's."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import html
import io
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from callgate.command.commands import callgate
from callgate.v1 import authorization_pb2 as calls_pb
from callgate.v1 import usage_pb2 as pb
from callgate.v1.money_pb2 import Money
from callgate.v1.usage_pb2_grpc import UsageServiceStub
from engines import Engine, failure_of, running_engine, wait_until
from identities import TOKENS, identity
from server.app.reports import Outbox
from server.archive.tables import TALLIES, USAGE_RECORDS
from server.ledger.keys import pool_field
from server.storage.sql.database import Database
from server.usage.reports.sending import Reports
from usage_rows import a_usage

CONTOSO_ZONE = "UTC"
DAY_MS = 86_400_000
START_MS = int(datetime(2026, 9, 20, tzinfo=ZoneInfo("UTC")).timestamp()) * 1_000
_PROBES = 400


def bearer(name: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {TOKENS[name]}"),)


def some_rows(count: int = 600) -> list[dict[str, Any]]:
    """60 days of calls of contoso and of fabrikam, corrections included."""
    random = Random(16)
    rows = []
    for number in range(count):
        book_ms = START_MS + random.randrange(60 * DAY_MS)
        tenant = random.choice(("contoso", "contoso", "fabrikam"))
        purse = random.choice(("credits", "pool", "free"))
        rows.append(
            a_usage(
                book_ms,
                random.randrange(2_000_000) if purse == "credits" else 0,
                usage_id=f"usage-{number:05d}",
                tenant_id=tenant,
                opened_id=f"opened-{random.randrange(count)}",
                account_id=random.choice(("adele", "o'neill_live.com#EXT#@contoso", "=1+1")),
                external_country=random.choice(("IT", "GB", "")),
                call_direction=random.choice(("inbound", "outbound")),
                destination_number=random.choice(("+442079460001", "+390612345678")),
                caller_id="+14255550100",
                duration_seconds=random.choice((-5, 0, 60, 3_000)),
                purse=purse,
                correction=random.random() < 0.1,
            )
        )
    # Booked at the same moment: the order goes on by their ids.
    rows += [{**rows[0], "usage_id": f"same-{number}"} for number in range(5)]
    return rows


ROWS = some_rows()
OURS = sorted(
    (row for row in ROWS if row["tenant_id"] == "contoso"),
    key=lambda row: (row["book_ms"], row["usage_id"]),
)


@dataclass(frozen=True, slots=True)
class House:
    engine: Engine
    usage: UsageServiceStub

    def ask(self, method: str, question: Any, who: str = "reader") -> Any:
        return getattr(self.usage, method)(question, metadata=bearer(who), timeout=20)

    def pages(self, page_size: int, **filters: Any) -> list[pb.UsageRecord]:
        found: list[pb.UsageRecord] = []
        question = pb.ListUsageRequest(
            tenant_id="contoso", page_size=page_size, filter=pb.UsageFilter(**filters)
        )
        while True:
            page = self.ask("ListUsage", question)
            found += page.records
            if not page.next_page_token:
                return found
            question.page_token = page.next_page_token

    def command(self, *arguments: str) -> Result:
        typed = [*arguments, "--tenant", "contoso", "--address", self.engine.address]
        return CliRunner().invoke(callgate, [*typed, "--token", TOKENS["reader"]])

    def file(self, form: Any = 0, token: str = "", **filters: Any) -> list[pb.ExportUsageResponse]:
        question = pb.ExportUsageRequest(
            tenant_id="contoso", format=form, resume_token=token, filter=pb.UsageFilter(**filters)
        )
        return list(self.ask("ExportUsage", question))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("engine")
    path = folder / "identities.toml"
    path.write_text(
        identity("reader", "reader", tenants='["contoso"]')
        + identity("administrator", "tenant-administrator", tenants='["contoso"]')
        + identity("nobody", "reader", tenants='["fabrikam"]')
        + identity("bridge", "bridge", tenants='["contoso"]')
    )

    async def write(engine: Engine) -> None:
        database = Database(f"sqlite:///{engine.folder}/data/archive.sqlite")
        await database.write(lambda c: c.execute(insert(USAGE_RECORDS), ROWS))
        await database.close()

    with (
        running_engine(folder, identities=path, run_keeper=True) as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        asyncio.run(write(engine))
        yield House(engine, UsageServiceStub(channel))


def test_pages_join_without_gap_or_repetition(house: House) -> None:
    for size in (7, 1_000):
        assert [each.usage_id for each in house.pages(size)] == [row["usage_id"] for row in OURS]


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"account_ids": ["adele"]}, lambda row: row["account_id"] == "adele"),
        ({"countries": ["it"]}, lambda row: row["external_country"] == "IT"),
        ({"purses": [calls_pb.PURSE_KIND_POOL]}, lambda row: row["purse"] == "pool"),
        ({"direction": 1}, lambda row: row["call_direction"] == "inbound"),
        ({"corrections": 1}, lambda row: row["correction"]),
        ({"corrections": 2}, lambda row: not row["correction"]),
        ({"least_charge_micros": 1_000_000}, lambda row: row["charge_micros"] >= 1_000_000),
        (
            {"number_prefix": "+4420"},
            lambda row: (
                row["call_direction"] == "outbound"
                and row["destination_number"].startswith("+4420")
            ),
        ),
        (
            {"start_date": "2026-10-01", "end_date": "2026-10-31"},
            lambda row: START_MS + 11 * DAY_MS <= row["book_ms"] < START_MS + 42 * DAY_MS,
        ),
    ],
)
def test_each_filter_leaves_what_it_says(
    house: House, filters: dict[str, Any], fits: Callable[[dict[str, Any]], bool]
) -> None:
    wanted = [row["usage_id"] for row in OURS if fits(row)]

    assert wanted
    assert [each.usage_id for each in house.pages(1_000, **filters)] == wanted


def _day(row: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(row["book_ms"] / 1_000, ZoneInfo(CONTOSO_ZONE))


KEYS: dict[int, Callable[[dict[str, Any]], str]] = {
    pb.USAGE_GROUP_USER: lambda row: row["account_id"],
    pb.USAGE_GROUP_COUNTRY: lambda row: row["external_country"],
    pb.USAGE_GROUP_CALL_TYPE: lambda row: row["call_type"],
    pb.USAGE_GROUP_PURSE: lambda row: row["purse"],
    pb.USAGE_GROUP_DAY: lambda row: f"{_day(row):%Y-%m-%d}",
    pb.USAGE_GROUP_WEEK: lambda row: f"{_day(row) - timedelta(_day(row).weekday()):%Y-%m-%d}",
    pb.USAGE_GROUP_MONTH: lambda row: f"{_day(row):%Y-%m}",
    pb.USAGE_GROUP_GATEWAY: lambda row: row["gateway_id"],
}


@pytest.mark.parametrize(
    "groups", [*([group] for group in KEYS), [1, 4], [5, 4], [4, 6], [7, 2], [8, 5]]
)
def test_every_sum_is_that_of_the_records(
    house: House, groups: list[pb.UsageGroup.ValueType]
) -> None:
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in OURS:
        each = sums[tuple(KEYS[group](row) for group in groups)]
        for at, figure in enumerate((1, row["duration_seconds"], row["charge_micros"])):
            each[at] += figure

    told = house.ask(
        "SummarizeUsage", pb.SummarizeUsageRequest(tenant_id="contoso", group_by=groups)
    )

    assert {
        tuple(each.keys): [each.records, each.duration.seconds, each.charge.micros]
        for each in told.sums
    } == sums
    (total,) = told.totals
    assert total.charge == Money(
        micros=sum(row["charge_micros"] for row in OURS), currency_code="USD"
    )
    assert total.calls == len({row["opened_id"] for row in OURS})


def test_a_file_has_each_record_once_also_where_it_is_taken_up_again(house: House) -> None:
    whole = house.file(pb.USAGE_FORMAT_CSV_ALL)
    rest = house.file(pb.USAGE_FORMAT_CSV_ALL, whole[0].resume_token)

    data = b"".join(chunk.data for chunk in whole)
    assert whole[0].data + b"".join(chunk.data for chunk in rest) == data
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert [row["UsageId"] for row in rows] == [row["usage_id"] for row in OURS]
    assert sum(int(row["charge_micros"]) for row in rows) == sum(
        row["charge_micros"] for row in OURS
    )
    assert (whole[-1].records, whole[0].total_records) == (len(OURS), len(OURS))
    assert {row["account_id"] for row in rows} >= {"'=1+1"}


def test_lines_of_json_say_micros(house: House) -> None:
    data = b"".join(chunk.data for chunk in house.file(pb.USAGE_FORMAT_JSON_LINES))

    told = [json.loads(line) for line in data.splitlines()]
    assert [(row["usage_id"], row["charge_micros"]) for row in told] == [
        (row["usage_id"], row["charge_micros"]) for row in OURS
    ]


def test_the_command_tells_sums_and_draws_them(house: House) -> None:
    told = house.command("usage", "--by", "country", "--chart")

    charged = sum(row["charge_micros"] for row in OURS) // 1_000_000
    assert told.exit_code == 0, told.output
    assert re.search(rf"total .* {charged:,}\.\d+ USD", told.output)
    assert "█" in told.output
    assert "Complete until" in told.output
    assert house.command("pools", "--chart").exit_code == 0
    assert house.command("attempts").exit_code == 0


def test_the_command_names_the_option_of_a_mistake(house: House) -> None:
    told = house.command("usage", "--from", "2026-13-01")

    assert told.exit_code == 2
    assert "start_date" in told.output


def test_the_command_writes_files(house: House, tmp_path: Path) -> None:
    for name in ("november.csv", "november.jsonl"):
        told = house.command("usage", "--output", str(tmp_path / name), "--columns", "2021")
        assert told.exit_code == 0, told.output
    table = (tmp_path / "november.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["UsageId"] for row in rows] == [row["usage_id"] for row in OURS]
    assert "Operator" not in rows[0]
    assert len((tmp_path / "november.jsonl").read_text().splitlines()) == len(OURS)
    assert house.command("usage", "--output", "november.pdf").exit_code == 2
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def cells(book: zipfile.ZipFile, title: str) -> list[list[str]]:
    """Read a sheet by its title: its cells as texts."""
    titles = re.findall(r'<sheet name="([^"]*)"', book.read("xl/workbook.xml").decode())
    text = book.read(f"xl/worksheets/sheet{titles.index(title) + 1}.xml").decode()
    return [
        [
            html.unescape(re.sub(r"<[^>]*>", "", cell))
            for cell in re.findall(r"<c [^>]*>(.*?)</c>", row)
        ]
        for row in re.findall(r"<row [^>]*>(.*?)</row>", text)
    ]


def test_the_command_writes_a_workbook_in_which_no_text_is_a_formula(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "november.xlsx"

    told = house.command("usage", "--output", str(path))

    assert told.exit_code == 0, told.output
    with zipfile.ZipFile(path) as book:
        sheets = [name for name in book.namelist() if "worksheets/sheet" in name]
        assert not [name for name in sheets if b"<f>" in book.read(name)]
        assert len([name for name in book.namelist() if "charts/chart" in name]) == 2
        assert b"pane" in book.read(sheets[0])
        assert b"autoFilter" in book.read(sheets[0])
        records, users = cells(book, "usage"), cells(book, "by user")
        assert {"pools", "attempts", "by purse", "by country", "dictionary"} <= set(
            re.findall(r'sheet name="([^"]*)"', book.read("xl/workbook.xml").decode())
        )
    charge = sum(row["charge_micros"] for row in OURS)
    head = records[0].index("charge")
    assert round(sum(float(row[head]) for row in records[1:]) * 1_000_000) == charge
    assert round(sum(float(row[4]) for row in users[1:]) * 1_000_000) == charge
    assert "=1+1" in {row[0] for row in users}
    # A day since 1900, not a text.
    assert 46_000 < float(records[1][1]) < 47_000


def test_a_file_of_nothing_has_its_header(house: House) -> None:
    (chunk,) = house.file(end_date="2020-01-01")

    assert chunk.data.startswith(b"UsageId,")
    assert chunk.data.count(b"\r\n") == 1


def test_a_call_is_there_once_it_is_over_and_its_refusal_among_the_attempts(house: House) -> None:
    stub, who = house.engine.stub, bearer("bridge")

    def ask(call: str, to: str) -> calls_pb.AuthorizeCallResponse:
        question = calls_pb.AuthorizeCallRequest(
            tenant_id="contoso", gateway_id="sbc-1", call_id=call, sequence=1
        )
        question.user_call.user_id, question.called_number = "adele", to
        return stub.AuthorizeCall(question, metadata=who, timeout=10)

    granted = ask("fresh@test", "+14255550123")
    refused = ask("refused@test", "12")
    end = calls_pb.SettleCallRequest(
        tenant_id="contoso", gateway_id="sbc-1", call_id="fresh@test", sequence=2
    )
    end.used_duration.FromSeconds(1)
    stub.SettleCall(end, metadata=who, timeout=10)

    assert granted.HasField("grant")
    assert refused.HasField("refusal")
    wait_until(lambda: house.pages(10, call_id="fresh@test"))
    (record,) = house.pages(10, call_id="fresh@test")
    assert (record.account_id, record.duration.seconds) == ("adele", 1)
    question = pb.ListAttemptsRequest(tenant_id="contoso")
    wait_until(lambda: house.ask("ListAttempts", question).attempts)
    (attempt,) = house.ask("ListAttempts", question).attempts
    assert attempt.decision.call_id == "refused@test"
    assert attempt.decision.reason == refused.refusal.reason
    assert attempt.remedy
    complete = pb.ListUsageRequest(tenant_id="contoso", page_size=1)
    wait_until(
        lambda: (
            house.ask("ListUsage", complete).complete_time.ToMilliseconds()
            > record.book_time.ToMilliseconds()
        )
    )


def test_pools_say_how_full_they_are(house: House) -> None:
    month = "2026-10"

    async def write() -> None:
        database = Database(f"sqlite:///{house.engine.folder}/data/archive.sqlite")
        field = pool_field("contoso", month, counter="domestic", pool_id="US:MCOPSTN1")
        tally = {"tenant_id": "contoso", "field": field, "done": 7_200}
        used = [
            a_usage(
                START_MS + (11 + day) * DAY_MS,
                0,
                tenant_id="contoso",
                account_id=account,
                purse="pool",
                pool_id="US:MCOPSTN1",
                period=month,
                duration_seconds=seconds,
            )
            for day, account, seconds in ((0, "adele", 1_200), (1, "dan", 6_000))
        ]
        await database.write(lambda c: c.execute(insert(TALLIES), tally))
        await database.write(lambda c: c.execute(insert(USAGE_RECORDS), used))
        await database.close()

    asyncio.run(write())

    told = house.ask("GetPools", pb.GetPoolsRequest(tenant_id="contoso", month=month))

    (pool,) = [each for each in told.pools if each.used.seconds]
    assert (pool.pool_id, pool.counter, pool.used.seconds) == ("US:MCOPSTN1", "domestic", 7_200)
    assert [each.seconds for each in pool.daily_used] == [1_200, 6_000, *[0] * 29]
    assert [(each.account_id, each.used.seconds) for each in pool.users] == [
        ("dan", 6_000),
        ("adele", 1_200),
    ]


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("ListUsage", {"filter": pb.UsageFilter(start_date="2026-13-01")}, "filter.start_date"),
        (
            "ListUsage",
            {"filter": pb.UsageFilter(start_date="2026-02-01", end_date="2026-01-01")},
            "filter.end_date",
        ),
        ("ListUsage", {"page_token": "x"}, "page_token"),
        ("ListUsage", {"filter": pb.UsageFilter(number_prefix="44")}, "filter.number_prefix"),
        ("SummarizeUsage", {"group_by": [1, 2, 3]}, "group_by"),
        ("SummarizeUsage", {"group_by": [5, 7]}, "group_by"),
        ("SummarizeUsage", {"group_by": [99]}, "group_by"),
        ("ListAttempts", {"start_date": "yesterday"}, "start_date"),
        ("GetPools", {"month": "2026-00"}, "month"),
        ("GetPools", {"month": "9999-01"}, "month"),
    ],
)
def test_a_mistake_is_named(house: House, method: str, fields: dict[str, Any], field: str) -> None:
    question = getattr(pb, f"{method}Request")(tenant_id="contoso", **fields)

    failed = failure_of(lambda: house.ask(method, question))

    assert (failed.code, failed.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_a_resume_token_of_another_file_is_named(house: House) -> None:
    token = house.file()[0].resume_token

    failed = failure_of(lambda: house.file(pb.USAGE_FORMAT_JSON_LINES, token))

    assert failed.metadata["field"] == "resume_token"


def test_nobody_reads_what_is_not_theirs(house: House) -> None:
    methods = ("ListUsage", "SummarizeUsage", "ExportUsage", "ListAttempts", "GetPools")

    def ask(method: str, who: str, tenant: str) -> Any:
        answer = house.ask(method, getattr(pb, f"{method}Request")(tenant_id=tenant), who)
        return list(answer) if method == "ExportUsage" else answer

    for number in range(_PROBES):
        for method in methods:
            tenant = ("contoso", f"nobody-{number}")[number % 2]
            failed = failure_of(partial(ask, method, "nobody", tenant))
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "TENANT_FORBIDDEN",
            )
    for method in methods:
        assert failure_of(partial(ask, method, "bridge", "contoso")).reason == "ROLE_MISSING"
    ours = {row["usage_id"] for row in OURS}
    told = ask("ListUsage", "nobody", "fabrikam")
    assert told.records
    assert not ours.intersection(each.usage_id for each in told.records)


def test_a_report_is_saved_listed_written_and_deleted_by_the_command(
    house: House, tmp_path: Path
) -> None:
    def command(*arguments: str, who: str = "administrator") -> Result:
        typed = [*arguments, "--tenant", "contoso", "--address", house.engine.address]
        return CliRunner().invoke(callgate, ["reports", *typed, "--token", TOKENS[who]])

    chosen = ("--country", "IT", "--corrections", "none", "--columns", "jsonl")
    assert "ROLE_MISSING" in command("save", "italy", *chosen, who="reader").output
    assert command("save", "italy", *chosen, "--every", "monthly").exit_code == 0
    assert "REPORT_EXISTS" in command("save", "italy").output
    assert "report.name" in command("save", "../italy").output
    saved = json.loads(command("list", "--json", who="reader").output)["reports"]
    path = tmp_path / "italy.jsonl"
    days = ("--from", "2026-10-01", "--to", "2026-10-31")
    written = command("run", "italy", *days, "--output", str(path), who="reader")
    assert written.exit_code == 0, written.output
    assert command("delete", "italy").exit_code == 0
    assert "REPORT_UNKNOWN" in command("delete", "italy").output

    (report,) = saved
    assert report["filter"] == {"countries": ["IT"], "corrections": "CORRECTION_FILTER_NONE"}
    assert report["schedule"] == "REPORT_SCHEDULE_MONTHLY"
    assert [json.loads(line)["usage_id"] for line in path.read_text().splitlines()] == [
        row["usage_id"]
        for row in OURS
        if row["external_country"] == "IT"
        and not row["correction"]
        and START_MS + 11 * DAY_MS <= row["book_ms"] < START_MS + 42 * DAY_MS
    ]


def test_the_file_of_a_closed_month_has_the_checksum_that_was_written_down(
    house: House,
) -> None:
    now_ms = START_MS + 100 * DAY_MS

    async def complete_ms(_tenant_id: str) -> int:
        return now_ms

    async def close() -> None:
        database = Database(f"sqlite:///{house.engine.folder}/data/archive.sqlite")
        await Reports(database, Outbox(), complete_ms, lambda: now_ms).close()
        await database.close()

    def closed() -> Any:
        asyncio.run(close())
        return house.ask("ListClosedMonths", pb.ListClosedMonthsRequest(tenant_id="contoso")).months

    wait_until(closed)
    (month,) = [each for each in closed() if each.month == "2026-10"]
    chunks = house.file(start_date="2026-10-01", end_date="2026-10-31")
    text = b"".join(chunk.data for chunk in chunks)

    assert month.records == chunks[-1].records > 0
    assert month.sha256 == hashlib.sha256(text).hexdigest()
