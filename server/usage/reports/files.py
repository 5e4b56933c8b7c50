"""The file of a period that is over: its bytes, its checksum, and what it adds up to."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from server.storage.sql.database import Database
from server.usage import export
from server.usage.records import Filter, Place, list_records
from server.usage.reports.saved import FORMS

# Read and written in one turn: others of the process have theirs between.
PAGE_RECORDS = 1_000


@dataclass(slots=True)
class PeriodFile:
    """What was written of a file. `body` is None once it is longer than was asked for."""

    keep_bytes: int
    records: int = 0
    size: int = 0
    body: bytearray | None = field(default_factory=bytearray)
    # By currency.
    charged_micros: Counter[str] = field(default_factory=Counter)
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """The checksum of all of it, kept or not."""
        return self._digest.hexdigest()

    def add(self, records: Sequence[export.Row], text: bytes) -> None:
        """Add records, and how they are written."""
        self.records += len(records)
        self.size += len(text)
        self._digest.update(text)
        for record in records:
            self.charged_micros[record["currency"]] += record["charge_micros"]
        if self.body is not None and self.size <= self.keep_bytes:
            self.body += text
        else:
            self.body = None


def write_records(records: Sequence[export.Row], form: str, *, header: bool) -> bytes:
    """Write records in a form, after the line of names where one belongs."""
    columns = FORMS[form]
    if columns is None:
        return "".join(export.write_json_lines(records)).encode()
    return "".join(export.write_csv(records, columns, header=header)).encode()


async def write_file(database: Database, wanted: Filter, form: str, *, keep: int) -> PeriodFile:
    """Write the file of a period, the same bytes that `ExportUsage` writes of it.

    Raises `ArchiveUnavailable`.
    """
    written = PeriodFile(keep)
    is_first = True
    async for page in _pages(database, wanted):
        shown = [export.masked(record, wanted.hidden_digits) for record in page]
        written.add(page, await asyncio.to_thread(write_records, shown, form, header=is_first))
        is_first = False
    return written


async def _pages(database: Database, wanted: Filter) -> AsyncIterator[Sequence[export.Row]]:
    after: Place | None = None
    while True:
        page = await database.read(
            partial(list_records, wanted=wanted, after=after, limit=PAGE_RECORDS)
        )
        if page or after is None:
            yield page
        if len(page) < PAGE_RECORDS:
            return
        after = Place(page[-1]["book_ms"], page[-1]["usage_id"])
