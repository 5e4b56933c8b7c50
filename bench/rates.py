"""How long a deck of 250,000 rows takes to import, and 1,000,000 usage records to be played.

`python -m bench.rates [--rows N] [--records N]`: both in processes of their own, as an engine has
them, with an archive of SQLite. Told are the time that passed and that of the processor (a busy
machine stretches the first alone), and the most memory that any of the processes had so far.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import Connection, insert

from callgate.command.charts import Pair, pairs_svg
from server.archive.tables import ACCOUNTS, USAGE_RECORDS
from server.facts.catalogue import read_catalogue
from server.facts.decks import DeckOptions
from server.facts.files.problems import Problems
from server.storage.sql.database import Database
from server.usage import back_test_process, rates_process
from server.usage.reading import Span
from server.usage.working import Cost

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data"
MS = 1_000
PILE = 20_000
PLOTTED = b"Code;Rate (USD)\n442;0,21\n447;0,08\n39;0,02\n1425;0,12\n"
_TOLD: msgspec.json.Decoder[rates_process.Message] = msgspec.json.Decoder(rates_process.Message)
_TEXTS = (
    *("conference_id", "object_id", "upn", "display_name", "caller_id", "number_type"),
    *("destination_dialed", "operator", "duration_source", "administrative_units", "pool_id"),
    *("period", "user_location", "domestic"),
)
NUMBERS = (("+4420712", "GB"), ("+3906123", "IT"), ("+1425555", "US"), ("+4474001", "GB"))


def deck(rows: int) -> Iterator[str]:
    """Write a deck of so many prefixes of five countries, each at a price of its own."""
    yield "Destination;Code;Rate (USD);Billing;Effective Date\n"
    for n in range(rows):
        code = ("49", "39", "33", "34", "44")[n % 5]
        yield f"Some place {n};{code}{100_000 + n};0,{n % 9_000 + 1:04};60/60;15.01.2027\n"


def records(count: int, from_ms: int, span_ms: int) -> Iterator[dict[str, object]]:
    """Make usage of ten users, even over a month."""
    for n in range(count):
        begin, country = NUMBERS[n % len(NUMBERS)]
        end_ms = from_ms + n * span_ms // count
        yield dict.fromkeys(_TEXTS, "") | {
            "usage_id": f"{n:036}",
            "tenant_id": "contoso",
            "opened_id": f"{n:012}",
            "gateway_id": "sbc",
            "call_id": f"call-{n}",
            "account_id": "adele",
            "call_type": "user_out",
            "call_direction": "outbound",
            "destination_number": f"{begin}{n % 5_000:05}",
            "external_country": country,
            "start_ms": end_ms - 90_000,
            "end_ms": end_ms,
            "duration_seconds": 90,
            "connection_fee_micros": 0,
            "charge_micros": 200_000,
            "currency": "USD",
            "capability": "MCOPSTNPP",
            "purse": "credits",
            "correction": False,
        }


async def fill(url: str, count: int, span: Span) -> None:
    """Make an archive with so much usage."""
    database = Database(url)
    await database.migrate()
    made = records(count, span.from_ms, span.until_ms - span.from_ms)

    def write(connection: Connection) -> None:
        sums = [column.name for column in ACCOUNTS.c if column.name.endswith("_micros")]
        plain = {"tenant_id": "contoso", "partition": 0, "currency": "USD", "digest": ""}
        flags = {"version": 1, "prepaid": True, "frozen": False, "has_balance": True}
        connection.execute(insert(ACCOUNTS), [dict.fromkeys(sums, 0) | plain | flags])
        for _ in range(0, count, PILE):
            connection.execute(insert(USAGE_RECORDS), list(islice(made, PILE)))

    await database.write(write)
    await database.close()


def timed(module: str, work: object, content: bytes) -> tuple[tuple[float, float], list[bytes]]:
    """Run a process on a file; say how long it took, and of the processor, and what it told."""
    begin, cpu = time.perf_counter(), cpu_seconds()
    ran = subprocess.run(
        [sys.executable, "-m", module],
        input=msgspec.json.encode(work) + b"\n" + content,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    return (time.perf_counter() - begin, cpu_seconds() - cpu), ran.stdout.splitlines()


def cpu_seconds() -> float:
    """Say what all processes that were waited for took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = ArgumentParser()
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, help="Only draw what a month would have cost.")
    asked = parser.parse_args()
    now = datetime(2026, 12, 1, tzinfo=UTC)
    now_ms = int(now.timestamp()) * MS
    span = Span(int((now - timedelta(days=30)).timestamp()) * MS, now_ms, now_ms)
    with TemporaryDirectory() as name:
        folder, url = Path(name), f"sqlite:///{name}/archive.sqlite"
        catalogue = Path(copytree(SAMPLE / "catalogue", folder / "catalogue"))
        asyncio.run(fill(url, asked.records, span))
        work = rates_process.Work(
            archive_url=url,
            catalogue_folder=str(catalogue),
            file_name="deck.csv",
            who="bench",
            keep_others=False,
            with_tables=False,
            expected_version=read_catalogue(catalogue, Problems()).catalogue.version,
            span=None,
            options=DeckOptions(now_ms),
        )
        if asked.plot is not None:
            # A deck that rates what was called, each country otherwise.
            looking = msgspec.structs.replace(work, expected_version="", span=span)
            _, told = timed("server.usage.rates_process", looking, PLOTTED)
            asked.plot.write_text(picture(told), "utf-8")
            return
        content = "".join(deck(asked.rows)).encode()
        seconds, told = timed("server.usage.rates_process", work, content)
        report(f"deck of {asked.rows:,} rows put in use", seconds, told)
        looking = msgspec.structs.replace(work, expected_version="", span=span)
        seconds, told = timed("server.usage.rates_process", looking, content)
        report(f"the same looked at, with {asked.records:,} records priced", seconds, told)
        played = back_test_process.Work(
            archive_url=url,
            catalogue_folder=str(SAMPLE / "catalogue"),
            file_name="contoso.toml",
            tenant_id="contoso",
            span=msgspec.structs.replace(span, tenants=["contoso"]),
        )
        tenant = (SAMPLE / "directory" / "contoso.toml").read_bytes()
        seconds, told = timed("server.usage.back_test_process", played, tenant)
        report(f"{asked.records:,} records played by the rules", seconds, told)


def picture(told: list[bytes]) -> str:
    """Draw the countries of a cost."""
    cost = next(each for each in map(_TOLD.decode, told) if isinstance(each, Cost))
    rows = [Pair(one.country, one.charged_micros, one.would_micros) for one in cost.countries]
    title = "What November 2026 would have cost by another deck, by country (USD)"
    return pairs_svg(title, ("charged", "would have cost"), rows)


def report(what: str, seconds: tuple[float, float], told: list[bytes]) -> None:
    """Print a line, and what it ended with where that was no success."""
    ended = told[-1] if told else b""
    if not ended.startswith((b'{"type":"finished"', b'{"type":"cost"')):
        sys.exit(f"{what}: {ended.decode()[:500]}")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    sys.stdout.write(
        f"{what}: {seconds[0]:.1f} s, {seconds[1]:.1f} s of the processor; {memory:,} MB\n"
    )


if __name__ == "__main__":
    main()
