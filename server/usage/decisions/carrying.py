"""Carrying decision records into the archive: from the files of a spool, each of them once.

Files are read as far as whole lines stand in them and removed once nobody writes to them and all of
them is committed. A record is named by its file and its place there: whoever carries it again,
after a crash or beside another keeper, writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from server.observability.spool import SUFFIX, is_complete
from server.storage.sql.database import Database
from server.usage.decisions.tables import DECISIONS, day_of, drop_day, list_days, make_day, table_of

# Records of one transaction: on SQLite the money's archive waits behind it.
BATCH = 500
# Batches of one round, all files together; then whoever else waits for the archive has a turn.
_MOST_BATCHES = 20
# Looks at the files for each round that is done in any case.
_LOOKS_A_ROUND = 10
_BATCH_BYTES = 4 * 1_024 * 1_024
# Between two pieces of a day that is dropped: others write then.
_DROP_PAUSE_SECONDS = 0.02
# Later than any day: nothing is kept.
_NEVER = 99_999_999
_MS, _MS_PER_DAY = 1_000, 86_400_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class CarryingFigures:
    """What was carried, and how far it is behind. Plain numbers."""

    now_ms: Callable[[], int]
    carried: int = 0
    unreadable: int = 0
    waiting_bytes: int = 0
    # The time of the oldest record that waits; None where none does.
    oldest_ms: int | None = None

    def families(self) -> Iterator[Metric]:
        """Build every family anew."""
        lag_ms = 0 if self.oldest_ms is None else max(0, self.now_ms() - self.oldest_ms)
        yield GaugeMetricFamily(
            "callgate_decision_records_lag_seconds",
            "Age of the oldest decision record that is not in the archive yet.",
            value=lag_ms / _MS,
        )
        yield GaugeMetricFamily(
            "callgate_decision_records_waiting_bytes",
            "Decision records of this machine that are not in the archive yet.",
            value=self.waiting_bytes,
        )
        yield CounterMetricFamily(
            "callgate_decision_records_carried",
            "Decision records carried into the archive.",
            value=self.carried,
        )
        yield CounterMetricFamily(
            "callgate_decision_records_unreadable",
            "Lines of decision records that could not be read, and were passed over.",
            value=self.unreadable,
        )


class Piece(NamedTuple):
    """Some whole lines of a file: the rows they become, and where the next one begins."""

    rows: list[dict[str, Any]]
    unreadable: int
    end: int
    # Whether nothing follows and nobody writes there any more.
    is_last: bool


@dataclass(slots=True)
class Carrying:
    """Carries what lies in `folder`; keeps `days` days. Raises `ArchiveUnavailable`."""

    folder: Path
    database: Database
    now_ms: Callable[[], int]
    days: int
    figures: CarryingFigures
    # How far files are carried that are still written to.
    _ends: dict[str, int] = field(default_factory=dict)
    _looks: int = 0

    async def work_if_grown(self) -> None:
        """Do one round, if files grew; now and then one all the same: files end without growing."""
        self._looks += 1
        if self._looks % _LOOKS_A_ROUND == 0 or self._sizes() != self._ends:
            await self.work()

    async def work(self) -> None:
        """Do one round."""
        names = await asyncio.to_thread(self._list)
        self._ends = {name: self._ends.get(name, 0) for name in names}
        batches = 0
        try:
            for name in names:
                while await self._carry(name):
                    batches += 1
                    if batches == _MOST_BATCHES:
                        return
            self.figures.oldest_ms = None
        finally:
            self.figures.waiting_bytes = await asyncio.to_thread(self._waiting)

    async def drop_old(self) -> None:
        """Drop the days that are over."""
        oldest = self._oldest_day()
        days = await self.database.read(list_days)
        for day in (day for day in days if day < oldest):
            is_gone = False
            while not is_gone:
                is_gone = await self._drop_piece(day)
            _log.info("The decision records of %d are dropped.", day)

    async def _drop_piece(self, day: int) -> bool:
        is_gone = await self.database.write(partial(drop_day, day=day))
        await asyncio.sleep(_DROP_PAUSE_SECONDS)
        return is_gone

    async def _carry(self, name: str) -> bool:
        """Carry a piece of a file; say whether more of it may wait."""
        begin = self._ends[name]
        piece = await asyncio.to_thread(read_piece, self.folder / name, begin)
        if piece is None:
            return False
        if piece.rows:
            self.figures.oldest_ms = piece.rows[0]["time_ms"]
            oldest = self._oldest_day()
            rows = [row for row in piece.rows if row["day"] >= oldest]
            await self.database.write(lambda c: write_rows(c, rows))
        self._ends[name] = piece.end
        self.figures.carried += len(piece.rows)
        self.figures.unreadable += piece.unreadable
        if piece.is_last:
            (self.folder / name).unlink(missing_ok=True)
        return piece.end > begin and not piece.is_last

    def _oldest_day(self) -> int:
        if not self.days:
            return _NEVER
        return day_of(self.now_ms() - self.days * _MS_PER_DAY)

    def _list(self) -> list[str]:
        try:
            names = [entry.name for entry in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name.endswith(SUFFIX))

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for name in self._list():
            # Another keeper of the machine may have taken it just now.
            with contextlib.suppress(FileNotFoundError):
                sizes[name] = (self.folder / name).stat().st_size
        return sizes

    def _waiting(self) -> int:
        sizes = self._sizes()
        return sum(max(0, size - self._ends.get(name, 0)) for name, size in sizes.items())


def read_piece(path: Path, begin: int) -> Piece | None:
    """Read whole lines from a place on, a batch at most; None where the file is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Before it is read: what is complete now cannot grow.
        complete = is_complete(file)
        found = os.pread(file, _BATCH_BYTES, begin)
    finally:
        os.close(file)
    rows: list[dict[str, Any]] = []
    unreadable, place = 0, begin
    for line in itertools.islice(found.splitlines(keepends=True), BATCH):
        if not line.endswith(b"\n"):
            break
        row = row_of(line, path.stem, place)
        if row is None:
            unreadable += 1
        else:
            rows.append(row)
        place += len(line)
    rest = len(found) - (place - begin)
    is_last = complete and len(found) < _BATCH_BYTES and b"\n" not in found[len(found) - rest :]
    # A half line that nobody will complete.
    return Piece(rows, unreadable + (is_last and rest > 0), place, is_last)


def row_of(line: bytes, source: str, place: int) -> dict[str, Any] | None:
    """Read a record; None where it is none."""
    try:
        said = msgspec.json.decode(line)
        time_ms = int(datetime.fromisoformat(said["time"]).timestamp() * _MS)
        account, payer = _accounts(said)
        far, dialled = said.get("far_number_hash", ""), said.get("dialled_number_hash", "")
        values = {
            "source": source,
            "tenant_id": said["tenant_id"],
            "decision_id": said.get("decision_id", ""),
            "gateway_id": said["gateway_id"],
            "call_id": said["call_id"],
            "outcome": said["outcome"],
            "reason": said.get("reason", ""),
            "account_id": account,
            "payer_id": "" if payer == account else payer,
            "far_hash": far,
            "dialled_hash": "" if dialled == far else dialled,
            "calling_hash": said.get("calling_number_hash", ""),
            "body": line.decode().rstrip("\n"),
        }
        cut = {name: _fit(name, value) for name, value in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"day": day_of(time_ms), "place": place, "time_ms": time_ms, **cut}


def _accounts(said: dict[str, Any]) -> tuple[str, str]:
    accounts, payer = said.get("account_ids") or [""], said.get("payer", "")
    return accounts[0] or payer, payer


def _fit(name: str, value: str) -> str:
    """Cut what nobody checked to what its column takes; PostgreSQL takes no zero character."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")[
        : getattr(DECISIONS.c[name].type, "length", None)
    ]


def write_rows(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write records, each into its day, but for those that are there."""
    known = set(list_days(connection))
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for day in {row["day"] for row in rows}:
        if day not in known:
            make_day(connection, day)
        of_day = [row for row in rows if row["day"] == day]
        connection.execute(insert(table_of(day)).on_conflict_do_nothing(), of_day)
