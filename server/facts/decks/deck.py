"""A deck as a whole: every line read, every bad one named, and what each of the others became."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from policy.facts import Rate
from policy.rating import InvalidRate, check_rate
from server.facts.decks.columns import PLACES, Columns, ColumnsUnknown, find_columns
from server.facts.decks.places import Places, Target
from server.facts.decks.sheet import SAMPLE_LINES, Row, SheetUnreadable, read_sheet
from server.facts.decks.values import (
    Amount,
    CellWrong,
    date_order,
    decimal_sign,
    read_amount,
    read_currency,
    read_date,
    read_increments,
)
from server.facts.files.figures import to_increments, to_milliseconds
from server.facts.files.problems import Problems
from server.facts.files.table import MAX_ROWS

DEFAULT_INCREMENTS: Final = "60/60"
# So many rows are looked at to learn how a column writes decimals and dates.
SPELLING_ROWS: Final = 5_000
MAX_REMARKS: Final = 10_000
# What a table of rates may hold.
MAX_MICROS: Final = 99_999_999_999_999
_PROGRESS_ROWS: Final = 2_000

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class DeckOptions:
    """What the deck does not say itself; `columns` maps fields to titles, or to "#3".

    `now_ms` is when rates begin that name no date.
    """

    now_ms: int
    columns: Mapping[str, str] = field(default_factory=dict)
    currency: str = ""
    increments: str = DEFAULT_INCREMENTS
    valid_from: str = ""
    date_order: str = ""
    decimal: str = ""
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class DeckRate:
    """A price of one destination from an instant on; `per_minute_micros` of None ends it."""

    valid_from: str
    valid_from_ms: int
    per_minute_micros: int | None
    connection_fee_micros: int
    increments: str
    line: int = 0

    def terms(self) -> tuple[int | None, int, str]:
        """Say all that a call would be charged by."""
        return self.per_minute_micros, self.connection_fee_micros, self.increments


@dataclass(frozen=True, slots=True)
class Remark:
    """What became of a line that was not simply one rate."""

    line: int
    text: str


@dataclass(slots=True)
class Deck:
    """The rates of a deck by currency and target, and how it was understood."""

    rates: dict[str, dict[Target, list[DeckRate]]] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    columns: list[tuple[str, str]] = field(default_factory=list)
    header_line: int = 0
    decimal: str = "."
    date_order: str = ""
    lines: int = 0
    more_remarks: int = 0


@dataclass(frozen=True, slots=True)
class DeckFile:
    """A deck to be read: what it is called, what it holds, how it is to be read."""

    path: Path
    content: bytes
    options: DeckOptions


def read_deck(
    file: DeckFile,
    places: Places,
    problems: Problems,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Deck:
    """Read a deck; every line that cannot be read is noted."""
    path, options = file.path, file.options
    try:
        rows = read_sheet(file.content, options.sheet)
        first = list(islice(rows, SAMPLE_LINES))
        columns = find_columns(first, options.columns)
        beginning = [row for row in first if row[0] > columns.header_line]
        beginning += islice(rows, SPELLING_ROWS)
        reader = _Reader(file, columns, places=places, problems=problems)
        reader.learn(beginning)
        for row in _all(beginning, rows):
            if reader.deck.lines >= MAX_ROWS:
                problems.add(path, row[0], "", f"more than {MAX_ROWS} rows; split the deck")
                break
            reader.read(row)
            if reader.deck.lines % _PROGRESS_ROWS == 0:
                progress(reader.deck.lines)
    except (SheetUnreadable, ColumnsUnknown) as error:
        problems.add(path, 0, "", str(error))
        return Deck()
    if not reader.deck.lines:
        problems.add(path, columns.header_line, "", "is a header without any row")
    return reader.deck


def _all(beginning: Sequence[Row], rows: Iterator[Row]) -> Iterator[Row]:
    yield from beginning
    yield from rows


class _Reader:
    """Reads one line after the other; each mistake is noted with the title of its column."""

    def __init__(
        self, file: DeckFile, columns: Columns, *, places: Places, problems: Problems
    ) -> None:
        self.deck = Deck(columns=columns.told(), header_line=columns.header_line)
        self._path = file.path
        self._columns = columns
        self._options = file.options
        self._problems = problems
        self._places = places
        self._now = to_instant(file.options.now_ms)
        self._placing = [
            name for name in (*PLACES, "name", "number_class") if name in columns.places
        ]
        self._failed = False

    def learn(self, rows: Sequence[Row]) -> None:
        """Learn from the first rows how the columns write decimals and dates."""
        cell = self._columns.cell
        try:
            self.deck.decimal = self._options.decimal or decimal_sign(
                cell(cells, name) for _, cells in rows for name in ("per_minute", "connection_fee")
            )
        except CellWrong as error:
            self._note(self._columns.header_line, "per_minute", str(error))
        self.deck.date_order = self._options.date_order or date_order(
            cell(cells, name) for _, cells in rows for name in ("valid_from", "valid_until")
        )

    def read(self, row: Row) -> None:
        """Read one line."""
        line, cells = row
        self.deck.lines += 1
        if not any(self._columns.cell(cells, name) for name in (*PLACES, "per_minute")):
            self._remark(line, "says nothing of a rate; left out")
            return
        self._failed = False
        price = self._try(line, "per_minute", lambda: self._amount(cells, "per_minute"))
        fee = self._try(line, "connection_fee", lambda: self._amount(cells, "connection_fee"))
        currency = self._try(line, "currency", lambda: self._currency(cells, price, fee))
        increments = self._try(line, self._increments_field, lambda: self._increments(cells))
        starts = self._try(line, "valid_from", lambda: self._date(cells, "valid_from"))
        ends = self._try(line, "valid_until", lambda: self._date(cells, "valid_until"))
        targets = self._try(line, self._places_field, lambda: self._targets(line, cells))
        if self._failed:
            return
        assert price
        assert fee
        assert increments
        assert targets
        assert currency
        assert starts is not None
        starts = starts or self._options.valid_from or self._now
        rate = DeckRate(starts, to_milliseconds(starts), price.micros, fee.micros, increments, line)
        if not self._is_sound(rate, currency):
            return
        if price.is_rounded or fee.is_rounded:
            self._remark(line, "an amount was rounded up to a millionth")
        for target in targets:
            self._keep(currency, target, rate)
            if ends:
                end = DeckRate(ends, to_milliseconds(ends), None, 0, increments, line)
                self._keep(currency, target, end)

    def _try(self, line: int, name: str, read: Callable[[], Read]) -> Read | None:
        try:
            return read()
        except ValueError as error:
            self._failed = True
            self._note(line, name, str(error))
        return None

    def _is_sound(self, rate: DeckRate, currency: str) -> bool:
        try:
            _check(rate, currency)
        except InvalidRate as error:
            self._note(rate.line, self._increments_field, str(error))
            return False
        return True

    def _note(self, line: int, name: str, text: str) -> None:
        self._problems.add(self._path, line, self._columns.title(name), text)

    def _remark(self, line: int, text: str) -> None:
        if len(self.deck.remarks) < MAX_REMARKS:
            self.deck.remarks.append(Remark(line, text))
        else:
            self.deck.more_remarks += 1

    def _amount(self, cells: Sequence[str], name: str) -> Amount:
        text = self._columns.cell(cells, name)
        if not text and name == "connection_fee":
            return Amount(0, "", is_rounded=False)
        if not text:
            raise CellWrong("is empty; give an amount, or leave the line out")
        return read_amount(text, self.deck.decimal)

    def _currency(self, cells: Sequence[str], *amounts: Amount | None) -> str:
        """Name the currency: beside the amount, else in a column, in the title, as was asked."""
        named = {each.currency for each in amounts if each is not None} - {""}
        if text := self._columns.cell(cells, "currency"):
            named.add(read_currency(text))
        if len(named) > 1:
            raise CellWrong(f"names {' and '.join(sorted(named))}; a line has one currency")
        found = next(iter(named), "") or self._columns.currency or self._options.currency
        if not found:
            raise CellWrong("is named nowhere; give it, --currency USD")
        return found

    @property
    def _increments_field(self) -> str:
        return "increments" if "increments" in self._columns.places else "first_increment"

    def _increments(self, cells: Sequence[str]) -> str:
        text = self._columns.cell(cells, "increments")
        first = self._columns.cell(cells, "first_increment")
        if text and not (first and text.isdigit()):
            return read_increments(text)
        following = text or self._columns.cell(cells, "next_increment")
        if first or following:
            return read_increments(f"{first or following}/{following or first}")
        return self._options.increments

    def _date(self, cells: Sequence[str], name: str) -> str:
        return read_date(self._columns.cell(cells, name), self.deck.date_order)

    @property
    def _places_field(self) -> str:
        return next(name for name in PLACES if name in self._columns.places)

    def _targets(self, line: int, cells: Sequence[str]) -> list[Target]:
        place = {name: self._columns.cell(cells, name) for name in self._placing}
        targets, remark = self._places.targets_of(place)
        if remark:
            self._remark(line, remark)
        return targets

    def _keep(self, currency: str, target: Target, rate: DeckRate) -> None:
        rates = self.deck.rates.setdefault(currency, {}).setdefault(target, [])
        for other in rates:
            if other.valid_from_ms != rate.valid_from_ms:
                continue
            if other.terms() == rate.terms():
                self._remark(rate.line, f"{target[0]} stands in line {other.line} already")
            elif other.per_minute_micros is None:
                rates[rates.index(other)] = rate
            elif rate.per_minute_micros is not None:
                text = f"{target[0]} has another rate in line {other.line} from the same time on"
                self._note(rate.line, self._places_field, f"{text}; remove one")
            return
        rates.append(rate)


def _check(rate: DeckRate, currency: str) -> None:
    first, following = to_increments(rate.increments)
    assert rate.per_minute_micros is not None, "of a deck's line"
    if rate.per_minute_micros > MAX_MICROS or rate.connection_fee_micros > MAX_MICROS:
        raise InvalidRate("an amount is larger than 99999999")
    fee = rate.connection_fee_micros
    check_rate(Rate("", currency, rate.per_minute_micros, fee, first, following))


def to_instant(now_ms: int) -> str:
    """Write an instant as a table of rates does."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
