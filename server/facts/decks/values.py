"""Cells of decks: amounts, dates, increments, currencies, prefixes, in all their spellings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

MICROS_DIGITS: Final = 6
MAX_PREFIX_DIGITS: Final = 15
MAX_PREFIXES_A_LINE: Final = 1_000
CACHED: Final = 65_536

_CURRENCY = re.compile(r"[A-Z]{3}")
_KNOWN_CURRENCIES = frozenset(
    {
        *("AED", "ARS", "AUD", "BGN", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK"),
        *("DKK", "EGP", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JOD", "JPY"),
        *("KES", "KRW", "KWD", "MAD", "MXN", "MYR", "NGN", "NOK", "NZD", "OMR", "PEN", "PHP"),
        *("PKR", "PLN", "QAR", "RON", "RUB", "SAR", "SEK", "SGD", "THB", "TND", "TRY", "TWD"),
        *("UAH", "USD", "VND", "ZAR"),
    }
)
_NAMED_CURRENCIES = {
    "$": "USD",
    "US$": "USD",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "EURO": "EUR",
    "EUROS": "EUR",
    "US DOLLAR": "USD",
    "US DOLLARS": "USD",
    "DOLLAR": "USD",
    "DOLLARS": "USD",
    "POUND STERLING": "GBP",
    "SWISS FRANC": "CHF",
    "SWISS FRANCS": "CHF",
    "YEN": "JPY",
    "STERLING": "GBP",
}
_AMOUNT = re.compile(r"([^\d.,'\s-]*)\s*([\d.,'\s]*\d)\s*([^\d.,'\s]*)")
# Only one of the two can mean the decimals here.
_COMMA_SURE = re.compile(r"\d*,(\d{1,2}|\d{4,})|0,\d+|[\d.]+\.\d{3},\d+")
_DOT_SURE = re.compile(r"\d*\.(\d{1,2}|\d{4,})|0\.\d+|[\d,]+,\d{3}\.\d+")
_GROUPED = re.compile(r"\d{1,3}(\D\d{3})+")
_INCREMENTS = re.compile(r"(\d{1,4})\s*(?:s|sec)?\s*(?:[/+:\-]\s*(\d{1,4})\s*(?:s|sec)?)?")
_NUMERIC_DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})")
_TIME = re.compile(r"[ T](\d{1,2}:\d{2}(?::\d{2}(?:\.0+)?)?)(?:\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}))?$")
_WORDED_DATES = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y", "%Y%m%d")
_AT_ONCE = frozenset({"", "asap", "immediate", "immediately", "now", "-"})


class Amount(NamedTuple):
    """An amount of a cell: micros, the currency named beside it, whether it was rounded up."""

    micros: int
    currency: str
    is_rounded: bool


class CellWrong(ValueError):
    """What a cell holds cannot be read; the text says what would be right."""


def currency_of(text: str) -> str:
    """Name the currency that a word or a sign stands for; empty where it is none."""
    word = text.strip().upper()
    return word if word in _KNOWN_CURRENCIES else _NAMED_CURRENCIES.get(word, "")


def read_currency(text: str) -> str:
    """Read a cell that names a currency."""
    found = currency_of(text) or (text if _CURRENCY.fullmatch(text) else "")
    if not found:
        raise CellWrong(f"is {text!r}; give a currency such as USD")
    return found


def decimal_sign(amounts: Iterable[str]) -> str:
    """Find by what sign a column writes decimals; empty where it tells both ways, or none is sure.

    Raises `CellWrong` where it writes both.
    """
    found: set[str] = set()
    unsure = False
    for text in amounts:
        match = _AMOUNT.fullmatch(text)
        figure = match[2] if match else ""
        if "," not in figure and "." not in figure:
            continue
        if _COMMA_SURE.fullmatch(figure):
            found.add(",")
        elif _DOT_SURE.fullmatch(figure):
            found.add(".")
        else:
            unsure = unsure or "," in figure
    if len(found) > 1:
        raise CellWrong("has decimals behind commas and behind points; say which, --decimal")
    if not found and unsure:
        raise CellWrong("may have decimals or thousands behind its commas; say which, --decimal")
    return next(iter(found), ".")


@lru_cache(maxsize=CACHED)
def read_amount(text: str, decimal: str) -> Amount:
    """Read an amount; a millionth that is begun counts whole."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise CellWrong(f"is {text!r}; give an amount a minute such as 0{decimal}0123")
    before, figure, behind = match[1], match[2], match[3]
    currency = ""
    for word in (before, behind.split("/")[0]):
        if word:
            currency = currency_of(word)
            if not currency:
                raise CellWrong(f"is {text!r}; {word!r} is no currency")
    whole, _, decimals = figure.replace(" ", "").partition(decimal)
    if not whole.isdigit() and whole:
        if not _GROUPED.fullmatch(whole):
            raise CellWrong(f"is {text!r}; its decimals stand behind {decimal!r} elsewhere")
        whole = re.sub(r"\D", "", whole)
    if decimals and not decimals.isdigit():
        raise CellWrong(f"is {text!r}; its decimals stand behind {decimal!r} elsewhere")
    micros = int((whole or "0") + decimals[:MICROS_DIGITS].ljust(MICROS_DIGITS, "0"))
    is_rounded = bool(decimals[MICROS_DIGITS:].strip("0"))
    return Amount(micros + is_rounded, currency, is_rounded)


@lru_cache(maxsize=CACHED)
def read_increments(text: str) -> str:
    """Read "60/60", "30/6", "60+1" or "60" as a table of rates spells it."""
    match = _INCREMENTS.fullmatch(text.strip().lower())
    if match is None:
        raise CellWrong(f"is {text!r}; give seconds of the first and of each next block, as 30/6")
    first, following = int(match[1]), int(match[2] or match[1])
    if not (first and following):
        raise CellWrong(f"is {text!r}; a block has at least a second")
    return f"{first}/{following}"


def date_order(dates: Iterable[str]) -> str:
    """Find in which order a column writes days and months; empty where nothing shows it."""
    for text in dates:
        match = _NUMERIC_DATE.fullmatch(_TIME.sub("", text))
        if match and len(match[1]) < 3 and match[2] != ".":
            if int(match[1]) > 12:
                return "dmy"
            if int(match[3]) > 12:
                return "mdy"
    return ""


@lru_cache(maxsize=CACHED)
def read_date(text: str, order: str) -> str:
    """Read a date as a table of rates spells it; empty for "at once"."""
    if text.strip().casefold() in _AT_ONCE:
        return ""
    time = _TIME.search(text)
    day = _read_day(_TIME.sub("", text).strip(), order)
    if time is None or (not time[2] and set(time[1]) <= set("0:.")):
        return day
    if not time[2]:
        raise CellWrong(f"is {text!r}; a time of day needs its zone, such as Z or +01:00")
    clock = time[1].split(".")[0].rjust(5, "0")
    zone = "Z" if time[2] in {"Z", "UTC", "GMT"} else time[2]
    return f"{day}T{clock}{zone}"


def _read_day(text: str, order: str) -> str:
    match = _NUMERIC_DATE.fullmatch(text)
    if match is None:
        return _read_worded_day(text)
    first, sign, second, third = int(match[1]), match[2], int(match[3]), int(match[4])
    if len(match[1]) == 4:
        year, month, day = first, second, third
    else:
        order = "dmy" if sign == "." or first > 12 else "mdy" if second > 12 else order
        if not order and first != second:
            raise CellWrong(f"is {text!r}: day or month first? Say it, --date-order dmy or mdy")
        day, month = (second, first) if order == "mdy" else (first, second)
        year = third if third > 99 else 2000 + third
    try:
        return datetime(year, month, day, tzinfo=UTC).date().isoformat()
    except ValueError:
        raise CellWrong(f"is {text!r}; there is no such day") from None


def _read_worded_day(text: str) -> str:
    for form in _WORDED_DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).date().isoformat()
        except ValueError:
            continue
    raise CellWrong(f"is {text!r}; give a date such as 2027-01-31")


_LEADING_NAME = re.compile(r"\A[^\d+(]*")
_LIST = re.compile(r"[,;/|\n]|\band\b|&")
_SPLIT_RANGE = re.compile(r"\s*(?:-|\u2013|\u2014|\bto\b)\s*")
_CODE_FIRST = re.compile(r"\s*\(?\+?(?:00)?(\d{1,3})\)?\s*[:(\s-]\s*(?=\d)")


def read_prefixes(text: str, code: str = "") -> list[str]:
    """Read prefixes of one cell: one, a list, ranges; after a country code once, those behind it.

    With a `code`, all of them are behind that.
    """
    body = _LEADING_NAME.sub("", text).strip().strip(".").replace(")", " ")
    found: list[str] = []
    for item in _LIST.split(body):
        if not item.strip(" ("):
            continue
        leading, rest = _without_code(item)
        code = code or leading
        behind = rest if leading == code else item
        found += [code + prefix for prefix in _of_item(behind, text)]
    if len(found) > MAX_PREFIXES_A_LINE:
        raise CellWrong(f"stands for {len(found)} prefixes; at most {MAX_PREFIXES_A_LINE}")
    for prefix in found:
        if len(prefix) > MAX_PREFIX_DIGITS or prefix.startswith("0"):
            raise CellWrong(f"is {text!r}; {prefix!r} is no prefix of an international number")
    return list(dict.fromkeys(found))


def _without_code(item: str) -> tuple[str, str]:
    """Part "44 20" or "44 (20" into its country code and the rest; "4420-4429" has none."""
    match = _CODE_FIRST.match(item)
    if match is None:
        return "", item
    rest = item[match.end() :].replace("(", " ").strip()
    digits = len(rest) - len(rest.lstrip("0123456789"))
    is_range = "-" in match[0] and digits <= len(match[1])
    return ("", item) if is_range else (match[1], rest)


def _of_item(item: str, text: str) -> Iterator[str]:
    ends = [part.strip(" .()+*xX").removeprefix("00") for part in _SPLIT_RANGE.split(item.strip())]
    if any(" " in end for end in ends):
        raise CellWrong(f"is {text!r}; separate several prefixes by commas")
    if not all(end.isascii() and end.isdigit() for end in ends) or len(ends) > 2:
        raise CellWrong(f"is {text!r}; give digits, a list, or a range such as 4420-4429")
    if len(ends) == 1:
        yield ends[0]
        return
    low, high = ends
    if len(high) < len(low):
        high = low[: len(low) - len(high)] + high
    if len(high) > len(low):
        yield low + high
        return
    if high < low:
        raise CellWrong(f"is {text!r}; a range goes up")
    yield from covering(low, high)


def covering(low: str, high: str) -> Iterator[str]:
    """Yield the fewest prefixes that begin all numbers of a range, and no other."""
    width, at, last = len(low), int(low), int(high)
    while at <= last:
        digits = 0
        while (
            digits < width - 1
            and at % 10 ** (digits + 1) == 0
            and at + 10 ** (digits + 1) - 1 <= last
        ):
            digits += 1
        yield str(at).zfill(width)[: width - digits]
        at += 10**digits
