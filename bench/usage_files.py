"""What files of usage cost: a million records as CSV, as lines of JSON and as a workbook.

    python -m bench.usage_files [--records N] [--keep FOLDER]

Starts an engine with that many records in its archive, and asks for each file by the command, in a
process of its own. Prints seconds and the largest memory of the process that wrote.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine, insert

from server.archive.tables import USAGE_RECORDS

_ROOT = Path(__file__).parents[1]
_PIECE = 10_000
_START_MS = 1_790_000_000_000
_MEBIBYTE = 1_024
_TEXTS = (
    *("conference_id", "object_id", "upn", "display_name", "number_type", "operator"),
    *("duration_source", "administrative_units", "pool_id", "period"),
)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.usage_files")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="where the files are left")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usage-files-") as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data = Path(name) / "data"
        settings = {"CALLGATE_LISTEN": "127.0.0.1:0", "CALLGATE_DATA_FOLDER": str(data)}
        log = Path(name) / "log"
        with log.open("wb") as output:
            engine = subprocess.Popen(
                [sys.executable, "-m", "server"],
                cwd=_ROOT,
                env={**os.environ, **settings},
                stdout=output,
                stderr=output,
            )
        try:
            address = _address(log, engine)
            _fill(data / "archive.sqlite", given.records)
            for ending in ("csv", "jsonl", "xlsx"):
                _measure(folder / f"usage.{ending}", address, given.records)
        finally:
            engine.terminate()
            engine.wait()
    return 0


def _address(log: Path, engine: subprocess.Popen[bytes]) -> str:
    while engine.poll() is None:
        text = log.read_text(errors="replace")
        if "Listening on " in text:
            return text.partition("Listening on ")[2].split()[0]
        time.sleep(0.1)
    raise SystemExit(log.read_text(errors="replace"))


def _fill(path: Path, count: int) -> None:
    database = create_engine(f"sqlite:///{path}")
    rows = _rows(count)
    while piece := list(islice(rows, _PIECE)):
        with database.begin() as connection:
            connection.execute(insert(USAGE_RECORDS), piece)
    database.dispose()


def _rows(count: int) -> Iterator[dict[str, Any]]:
    random = Random(1)
    for number in range(count):
        book_ms = _START_MS - (count - number) * 1_000
        seconds = random.randrange(1, 1_800)
        yield {
            **dict.fromkeys(_TEXTS, ""),
            "usage_id": f"00000000-0000-4000-8000-{number:012d}",
            "tenant_id": "contoso",
            "opened_id": f"{number:020d}",
            "gateway_id": "sbc-1",
            "call_id": f"{random.getrandbits(64):016x}@192.0.2.7",
            "account_id": f"user-{random.randrange(200)}@contoso.example",
            "user_location": "US",
            "caller_id": "+14255550100",
            "call_type": "user_out",
            "call_direction": "outbound",
            "domestic": "International",
            "destination_dialed": "Italy",
            "destination_number": f"+3906{random.randrange(10**8):08d}",
            "external_country": "IT",
            "start_ms": book_ms - seconds * 1_000,
            "end_ms": book_ms,
            "duration_seconds": seconds,
            "connection_fee_micros": 0,
            "charge_micros": seconds * 333,
            "currency": "USD",
            "capability": "MCOPSTNPP",
            "purse": "credits",
            "correction": False,
            "book_ms": book_ms,
        }


def _measure(path: Path, address: str, count: int) -> None:
    started = time.monotonic()
    command = (
        *(sys.executable, "-c", "from callgate.command import main; main()"),
        *("usage", "--tenant", "contoso"),
        *("--output", str(path), "--columns", "all", "--address", address),
    )
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"{path.name}: exit status {status}")
    sys.stdout.write(
        f"{path.suffix[1:]:>6}: {count:,} records in {seconds:.1f} s, "
        f"{used.ru_maxrss // _MEBIBYTE} MiB at the most, {path.stat().st_size:,} bytes\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
