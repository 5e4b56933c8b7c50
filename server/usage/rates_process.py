"""The process that reads a carrier's deck, tells what it changes, and puts it in use if asked.

Started as `python -m server.usage.rates_process`. Its input is one line of JSON, the work, then the
file; its output one line of JSON for each thing to tell, the last of which is how it ended.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from sqlalchemy import Connection

from policy.facts import Catalogue
from server.facts.catalogue import read_catalogue
from server.facts.catalogue.rates import RATES
from server.facts.catalogue.rows import CountryNameRow
from server.facts.decks import (
    Change,
    Deck,
    DeckFile,
    DeckOptions,
    Merged,
    Places,
    Remark,
    merge_deck,
    read_deck,
)
from server.facts.decks.deck import DeckRate, to_instant
from server.facts.decks.table_file import read_timelines, table_path, write_timelines
from server.facts.files.problems import InvalidFacts, Problems
from server.facts.files.table import read_table
from server.facts.files.telling import NICENESS, Invalid, Problem, Progressed, Stopped, tell
from server.storage.sql.audit import Audited, AuditTrail
from server.storage.sql.database import Database
from server.storage.sql.errors import ArchiveUnavailable
from server.usage.reading import Span
from server.usage.working import Cost, bound_memory, play

# Of changes and of remarks in one message.
PILE: Final = 500
LOCK_FILE: Final = ".rates.lock"
PREVIOUS_END: Final = ".previous"


class Work(msgspec.Struct, frozen=True):
    """What to do with the deck.

    It is put in use where `expected_version` is given and is still the catalogue's.
    Without a `span` no cost is told.
    """

    archive_url: str
    catalogue_folder: str
    file_name: str
    who: str
    keep_others: bool
    with_tables: bool
    expected_version: str
    span: Span | None
    options: DeckOptions


class Understood(msgspec.Struct, frozen=True, tag="understood"):
    """How the deck was read."""

    columns: list[tuple[str, str]]
    header_line: int
    decimal: str
    date_order: str
    lines: int
    more_remarks: int


class Remarks(msgspec.Struct, frozen=True, tag="remarks"):
    """What became of some lines."""

    remarks: list[Remark]


class ToldRate(msgspec.Struct, frozen=True):
    """A rate of a change."""

    per_minute_micros: int
    connection_fee_micros: int
    increments: str


class ToldChange(msgspec.Struct, frozen=True):
    """A change of one destination."""

    kind: str
    currency: str
    destination: str
    number_class: str
    before: ToldRate | None
    after: ToldRate | None
    valid_from: str
    line: int


class Changes(msgspec.Struct, frozen=True, tag="changes"):
    """Some of what changes."""

    changes: list[ToldChange]


class Summary(msgspec.Struct, frozen=True, tag="summary"):
    """What becomes of one currency's table."""

    currency: str
    before: int
    after: int
    unchanged: int
    counts: dict[str, int]


class TableText(msgspec.Struct, frozen=True, tag="table"):
    """A piece of a table as it will be."""

    currency: str
    text: str


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """All went well. `version` is the catalogue's that was looked at, `new_version` the other."""

    version: str
    new_version: str
    applied: bool
    writable: bool


Message = (
    Progressed
    | Understood
    | Problem
    | Remarks
    | Changes
    | Summary
    | TableText
    | Cost
    | Finished
    | Invalid
    | Stopped
)


class _Stop(Exception):
    """Why nothing is changed."""


async def run(work: Work, content: bytes) -> None:
    """Read, compare, put in use; tell how it went."""
    database = Database(work.archive_url)
    try:
        await _import(work, content, database)
    except InvalidFacts as error:
        for each in error.problems:
            tell(Problem(each.line, each.field, each.text))
        tell(Invalid(str(error.problems[0]), len(error.problems) + error.more))
    except OSError as error:
        tell(Stopped(f"read-only: {error}"))
    except (_Stop, ArchiveUnavailable) as error:
        tell(Stopped(str(error)))
    finally:
        await database.close()


async def _import(work: Work, content: bytes, database: Database) -> None:
    folder = Path(work.catalogue_folder)
    problems = Problems()
    tell(Progressed("reading", 0, 0))
    with _locked(folder, wanted=bool(work.expected_version)):
        catalogue = read_catalogue(folder, problems).catalogue
        problems.raise_if_any()
        if work.expected_version not in {"", catalogue.version}:
            raise _Stop("changed")
        deck = _read_deck(work, content, catalogue)
        merged = _merge(work, deck, folder)
        for each in merged:
            _tell_table(each, with_text=work.with_tables, heading=_heading(work, content))
        tell(Progressed("checking", 0, 0))
        texts = {
            each.currency: "".join(write_timelines(each.rates, _heading(work, content)))
            for each in merged
        }
        coming = _check(folder, texts)
        if work.span is not None:
            tell(await play(database, _with_rates(work.span, deck), coming))
        if work.expected_version:
            await _apply(work, database, merged=merged, texts=texts)
        writable = os.access(folder / RATES, os.W_OK)
    tell(Finished(catalogue.version, coming.version, bool(work.expected_version), writable))


def _read_deck(work: Work, content: bytes, catalogue: Catalogue) -> Deck:
    problems = Problems()
    names = Path(work.catalogue_folder) / "countries.csv"
    countries = {row.country: row.name for _, row in read_table(names, CountryNameRow, problems)}
    deck = read_deck(
        DeckFile(Path(work.file_name), content, work.options),
        Places(catalogue, countries),
        problems,
        progress=lambda lines: tell(Progressed("reading", lines, 0)),
    )
    tell(
        Understood(
            columns=deck.columns,
            header_line=deck.header_line,
            decimal=deck.decimal,
            date_order=deck.date_order,
            lines=deck.lines,
            more_remarks=deck.more_remarks,
        )
    )
    for start in range(0, len(deck.remarks), PILE):
        tell(Remarks(deck.remarks[start : start + PILE]))
    problems.raise_if_any()
    return deck


def _merge(work: Work, deck: Deck, folder: Path) -> list[Merged]:
    tell(Progressed("comparing", 0, 0))
    merged = []
    for currency, rates in sorted(deck.rates.items()):
        problems = Problems()
        present = read_timelines(table_path(folder, currency), problems)
        problems.raise_if_any()
        now_ms = work.options.now_ms
        keep = work.keep_others
        merged.append(merge_deck(currency, present, rates, now_ms=now_ms, keep_others=keep))
    return merged


def _tell_table(merged: Merged, *, with_text: bool, heading: str) -> None:
    for start in range(0, len(merged.changes), PILE):
        piece = merged.changes[start : start + PILE]
        tell(Changes([_told_change(each) for each in piece]))
    counts = {kind.value: count for kind, count in merged.counts().items()}
    before, after = merged.before, len(merged.rates)
    tell(Summary(merged.currency, before, after, merged.unchanged, counts))
    if with_text:
        lines = list(write_timelines(merged.rates, heading))
        for start in range(0, len(lines), PILE):
            tell(TableText(merged.currency, "".join(lines[start : start + PILE])))


def _told_change(change: Change) -> ToldChange:
    return ToldChange(
        kind=change.kind.value,
        currency=change.currency,
        destination=change.target[0],
        number_class=change.target[1],
        before=_told_rate(change.before),
        after=_told_rate(change.after),
        valid_from=change.valid_from,
        line=change.line,
    )


def _told_rate(rate: DeckRate | None) -> ToldRate | None:
    if rate is None or rate.per_minute_micros is None:
        return None
    return ToldRate(rate.per_minute_micros, rate.connection_fee_micros, rate.increments)


def _heading(work: Work, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()[:12]
    name = "".join(each if each.isprintable() else "?" for each in work.file_name)
    return f"Imported from {name} ({digest}), {to_instant(work.options.now_ms)}, by {work.who}."


def _check(folder: Path, texts: Mapping[str, str]) -> Catalogue:
    """Read the catalogue as it would be. Raises `InvalidFacts`."""
    with TemporaryDirectory() as temporary:
        beside = Path(temporary) / "catalogue"
        shutil.copytree(
            folder, beside, ignore=shutil.ignore_patterns(f"*{PREVIOUS_END}", LOCK_FILE)
        )
        for currency, text in texts.items():
            table_path(beside, currency).write_text(text, "utf-8")
        problems = Problems()
        found = read_catalogue(beside, problems)
        problems.raise_if_any()
        return found.catalogue


def _with_rates(span: Span, deck: Deck) -> Span:
    """Price by the deck as it is once all of its rates are in force."""
    starts = (
        each.valid_from_ms
        for rates in deck.rates.values()
        for timeline in rates.values()
        for each in timeline
        if each.per_minute_micros is not None
    )
    return msgspec.structs.replace(span, rates_at_ms=max([span.rates_at_ms, *starts]))


@contextmanager
def _locked(folder: Path, *, wanted: bool) -> Iterator[None]:
    """Let nobody else put a deck in use meanwhile. Raises `_Stop`."""
    if not wanted:
        yield
        return
    try:
        with (folder / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise _Stop("running") from error
    except PermissionError as error:
        raise _Stop("read-only") from error


async def _apply(
    work: Work, database: Database, *, merged: Sequence[Merged], texts: Mapping[str, str]
) -> None:
    """Put the tables in the place of those there are, with a line of the audit trail each."""
    folder = Path(work.catalogue_folder)
    paths = {currency: table_path(folder, currency) for currency in texts}
    former = {path: path.read_bytes() for path in paths.values() if path.exists()}
    trail = AuditTrail(lambda: work.options.now_ms)

    def write(connection: Connection) -> None:
        for each in merged:
            what = Audited("ImportRates", f"rates/{each.currency}")
            before = {"destinations": each.before, "sha256": _digest(former, paths[each.currency])}
            after = {
                "destinations": len(each.rates),
                "sha256": hashlib.sha256(texts[each.currency].encode()).hexdigest(),
                "file": work.file_name,
                **{kind.value: count for kind, count in each.counts().items()},
            }
            trail.record(connection, work.who, what, before=before, after=after)
        for currency, path in paths.items():
            _put(path, texts[currency].encode())

    try:
        await database.write(write)
    except BaseException:
        for path in paths.values():
            _put_back(path, former.get(path))
        raise
    for path, content in former.items():
        _put(path.with_name(path.name + PREVIOUS_END), content)


def _digest(former: Mapping[Path, bytes], path: Path) -> str:
    return hashlib.sha256(former[path]).hexdigest() if path in former else ""


def _put(path: Path, content: bytes) -> None:
    """Write a file beside, then in its place, so that it is never seen half."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != content:
        _put(path, content)


def main() -> None:
    """Read the work and the file, import."""
    os.nice(NICENESS)
    bound_memory()
    # Nothing is garbage until this process ends, so there is nothing to collect.
    gc.disable()
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    asyncio.run(run(work, sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
