"""Turning seconds into money, and money into seconds; and choosing the rate to do it with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from policy.destination import (
    NANP_COUNTRIES,
    Destination,
    NumberClass,
    find_destination,
    is_reachable,
)
from policy.facts import Catalogue, DatedRate, Rate

# Lua has only doubles: above this a whole number may be off by one.
MAX_WHOLE_NUMBER: Final = 2**53 - 1
SECONDS_PER_MINUTE: Final = 60

# Together these keep every product of a price below `MAX_WHOLE_NUMBER`, in Lua too:
# micros a minute times the seconds of the longest call, rounded up by two increments.
LONGEST_CALL_SECONDS: Final = 48 * 3600
MAX_INCREMENT_SECONDS: Final = 3600
MAX_MICROS_PER_MINUTE: Final = 50_000_000_000
MAX_CONNECTION_FEE_MICROS: Final = 1_000_000_000_000

# North American toll-free numbers belong to no country; their rates stand under this one.
NANP_RATE_COUNTRY: Final = "US"

_CURRENCY: Final = re.compile("[A-Z]{3}")

# The rows of one currency, by prefix.
RateTable = Mapping[str, tuple[DatedRate, ...]]


class InvalidRate(ValueError):
    """A rate that nothing may be priced with; the text names the field and its limits."""


def charged_seconds(rate: Rate, seconds: int) -> int:
    """Round talked seconds up to whole increments; nothing talked is nothing charged."""
    if seconds <= 0:
        return 0
    beyond_first = max(0, seconds - rate.first_increment_seconds)
    next_increments = -(-beyond_first // rate.next_increment_seconds)
    return rate.first_increment_seconds + next_increments * rate.next_increment_seconds


def price_micros(rate: Rate, seconds: int) -> int:
    """Price one purse's time in one call, without the connection fee, rounded up to a micro."""
    return -(-rate.micros_per_minute * charged_seconds(rate, seconds) // SECONDS_PER_MINUTE)


def affordable_seconds(rate: Rate, micros: int, limit_seconds: int) -> int:
    """Say how many seconds, in whole increments and at least the first, `micros` buys, else 0.

    Never more than the increments that cover `limit_seconds`.
    """
    most = charged_seconds(rate, limit_seconds)
    if price_micros(rate, limit_seconds) <= micros:
        return most
    if price_micros(rate, rate.first_increment_seconds) > micros:
        return 0
    bought = micros * SECONDS_PER_MINUTE // rate.micros_per_minute
    next_increments = (bought - rate.first_increment_seconds) // rate.next_increment_seconds
    return rate.first_increment_seconds + next_increments * rate.next_increment_seconds


def choose_rate(rows: tuple[DatedRate, ...], now_ms: int) -> Rate | None:
    """Choose the newest rate in force, of rows with the newest last; None before the first."""
    for row in reversed(rows):
        if row.valid_from_ms <= now_ms:
            return row.rate
    return None


def rate_for_destination(
    catalogue: Catalogue,
    currency: str,
    e164: str,
    *,
    now_ms: int,
    destination: Destination | None = None,
) -> Rate | None:
    """Find the rate of a called number, in this currency only; None where it has none.

    The longest prefix with a rate in force counts, but never a row of another country or of a
    cheaper class: what "1" costs says nothing of Jamaica, nor "44" of a premium number. Who has
    the number's `destination` already gives it, to spare a second look-up.
    """
    table = catalogue.rates.get(currency)
    if destination is None:
        destination = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
    if table is None or destination is None:
        return None
    own_length = len(destination.prefix)
    if catalogue.finest_rate_prefix > own_length:
        finer = e164[1 : catalogue.finest_rate_prefix + 1]
        rate = _rate_by_prefix(table, finer, now_ms, shortest=own_length + 1)
        if rate is not None:
            return rate
    # Nearly every destination has a row of its own, and nothing finer.
    rows = table.get(destination.prefix)
    rate = None if rows is None else choose_rate(rows, now_ms)
    return _coarser_rate(catalogue, table, destination, now_ms=now_ms) if rate is None else rate


def _rate_by_prefix(table: RateTable, prefix: str, now_ms: int, *, shortest: int) -> Rate | None:
    """Find the rate in force of the longest prefix that begins this one, down to a length."""
    while len(prefix) >= shortest:
        rows = table.get(prefix)
        rate = None if rows is None else choose_rate(rows, now_ms)
        if rate is not None:
            return rate
        prefix = prefix[:-1]
    return None


def _coarser_rate(
    catalogue: Catalogue, table: RateTable, destination: Destination, *, now_ms: int
) -> Rate | None:
    """Find the rate of a prefix shorter than the destination's, if meant for it as well."""
    prefix = destination.prefix[:-1]
    while prefix:
        rows = table.get(prefix)
        if rows is not None and _covers(catalogue, prefix, destination):
            rate = choose_rate(rows, now_ms)
            if rate is not None:
                return rate
        prefix = prefix[:-1]
    return None


def _covers(catalogue: Catalogue, prefix: str, destination: Destination) -> bool:
    """Tell whether the rows of a shorter prefix are meant for this destination."""
    meant = find_destination(catalogue.destinations, catalogue.longest_prefix, "+" + prefix)
    if meant is None or meant.country != destination.country:
        return False
    # Price lists name mobile numbers only where they cost something else.
    return meant.number_class is destination.number_class or (
        meant.number_class is NumberClass.ORDINARY
        and destination.number_class is NumberClass.MOBILE
    )


def rate_for_toll_free(
    catalogue: Catalogue, currency: str, number_country: str, *, origin_country: str, now_ms: int
) -> Rate | None:
    """Find the rate of a call to a toll-free service number, by where it comes from.

    North American numbers have a row for each country of origin and no other will do; elsewhere
    the origin seldom matters, and the row of the number's own country speaks for the rest.
    """
    table = catalogue.toll_free_rates.get(currency, {})
    rows = table.get((number_country, origin_country))
    if rows is None and number_country in NANP_COUNTRIES:
        rows = table.get((NANP_RATE_COUNTRY, origin_country))
    elif rows is None:
        rows = table.get((number_country, number_country))
    return None if rows is None else choose_rate(rows, now_ms)


def dearest_toll_free_rate(
    catalogue: Catalogue, currency: str, number_country: str, *, now_ms: int
) -> Rate | None:
    """Find the dearest rate that a caller of unknown origin may turn out to cost.

    Dearest is the first minute with its connection fee, then the price of a minute.
    """
    origins = {origin for _, origin in catalogue.toll_free_rates.get(currency, {})}
    rates = [
        rate_for_toll_free(
            catalogue, currency, number_country, origin_country=origin, now_ms=now_ms
        )
        for origin in origins
        if is_reachable(catalogue.toll_free_reach, number_country, origin)
    ]
    return max((rate for rate in rates if rate is not None), key=_first_minute, default=None)


def _first_minute(rate: Rate) -> tuple[int, int, str]:
    first_minute_micros = rate.connection_fee_micros + price_micros(rate, SECONDS_PER_MINUTE)
    return first_minute_micros, rate.micros_per_minute, rate.rate_id


def rate_for_toll(
    catalogue: Catalogue, currency: str, number_country: str, *, now_ms: int
) -> Rate | None:
    """Find the rate of a call to a toll service number, where those are charged at all."""
    rows = catalogue.toll_rates.get(currency, {}).get(number_country)
    return None if rows is None else choose_rate(rows, now_ms)


def finest_rate_prefix(
    rates: Mapping[str, RateTable], destinations: Mapping[str, Destination]
) -> int:
    """Say how long the longest prefix is that has a rate and is no destination's; 0 for none."""
    finer = (prefix for table in rates.values() for prefix in table if prefix not in destinations)
    return max(map(len, finer), default=0)


def check_rate(rate: Rate) -> None:
    """Check that a rate can price the longest call without leaving the whole numbers.

    Raises InvalidRate, which names the field.
    """
    if not _CURRENCY.fullmatch(rate.currency):
        raise InvalidRate(f"currency: {rate.currency!r} is no ISO 4217 code")
    for field, figure, least, most in (
        ("micros_per_minute", rate.micros_per_minute, 0, MAX_MICROS_PER_MINUTE),
        ("connection_fee_micros", rate.connection_fee_micros, 0, MAX_CONNECTION_FEE_MICROS),
        ("first_increment_seconds", rate.first_increment_seconds, 1, MAX_INCREMENT_SECONDS),
        ("next_increment_seconds", rate.next_increment_seconds, 1, MAX_INCREMENT_SECONDS),
    ):
        if not least <= figure <= most:
            raise InvalidRate(f"{field}: {figure} is not between {least} and {most}")
