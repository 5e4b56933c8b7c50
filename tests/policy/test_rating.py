"""Turning seconds into money and back; and which rate does it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from number_facts import DESTINATIONS, a_catalogue, a_rate, rows
from policy.facts import Rate
from policy.rating import (
    LONGEST_CALL_SECONDS,
    MAX_CONNECTION_FEE_MICROS,
    MAX_INCREMENT_SECONDS,
    MAX_MICROS_PER_MINUTE,
    MAX_WHOLE_NUMBER,
    SECONDS_PER_MINUTE,
    InvalidRate,
    affordable_seconds,
    charged_seconds,
    check_rate,
    choose_rate,
    dearest_toll_free_rate,
    finest_rate_prefix,
    price_micros,
    rate_for_destination,
    rate_for_toll,
    rate_for_toll_free,
)

NOW_MS = 1_800_000_000_000
RANDOM_RATES = 2_000


@pytest.mark.parametrize(
    ("first", "following", "talked", "charged"),
    [
        (60, 60, 0, 0),
        (60, 60, -5, 0),
        (60, 60, 1, 60),
        (60, 60, 60, 60),
        (60, 60, 61, 120),
        (60, 6, 61, 66),
        (60, 6, 66, 66),
        (60, 6, 67, 72),
        (1, 1, 17, 17),
        (30, 60, 31, 90),
    ],
)
def test_time_is_charged_in_increments_begun(
    first: int, following: int, talked: int, charged: int
) -> None:
    rate = a_rate(first_increment_seconds=first, next_increment_seconds=following)

    assert charged_seconds(rate, talked) == charged


@pytest.mark.parametrize(
    ("micros_per_minute", "seconds", "price"),
    [(60_000, 60, 60_000), (60_000, 61, 61_000), (1, 1, 1), (100, 1, 2), (0, 3_600, 0)],
)
def test_a_price_is_rounded_up_to_a_micro(micros_per_minute: int, seconds: int, price: int) -> None:
    rate = a_rate(
        micros_per_minute=micros_per_minute, first_increment_seconds=1, next_increment_seconds=1
    )

    assert price_micros(rate, seconds) == price


def test_what_money_buys_is_the_greatest_number_of_increments_it_covers() -> None:
    chance = random.Random(20_264)

    for _ in range(RANDOM_RATES):
        rate = _random_rate(chance)
        limit_seconds = chance.randint(0, 20 * rate.next_increment_seconds)
        budget = chance.randint(0, max(1, price_micros(rate, limit_seconds) * 5 // 4))

        assert affordable_seconds(rate, budget, limit_seconds) == _bought_one_by_one(
            rate, budget, limit_seconds
        ), (rate, budget, limit_seconds)


def test_more_money_never_buys_less_and_never_more_than_it_covers() -> None:
    chance = random.Random(20_265)

    for _ in range(RANDOM_RATES):
        rate = _random_rate(chance)
        limit_seconds = chance.randint(0, LONGEST_CALL_SECONDS)
        most_micros = price_micros(rate, limit_seconds) + 1
        budgets = sorted(chance.randint(-10, most_micros) for _ in range(5))

        bought = [affordable_seconds(rate, micros, limit_seconds) for micros in budgets]

        assert bought == sorted(bought)
        assert bought[0] >= 0
        assert bought[-1] <= charged_seconds(rate, limit_seconds)
        for seconds, micros in zip(bought, budgets, strict=True):
            assert seconds == charged_seconds(rate, seconds)
            assert seconds == 0 or price_micros(rate, seconds) <= micros


def test_exactly_the_price_buys_and_a_micro_less_does_not() -> None:
    chance = random.Random(20_266)

    for _ in range(RANDOM_RATES):
        rate = replace(_random_rate(chance), micros_per_minute=chance.randint(100, 10_000_000))
        seconds = charged_seconds(rate, chance.randint(1, 7_200))
        price = price_micros(rate, seconds)

        assert affordable_seconds(rate, price, seconds) == seconds
        assert affordable_seconds(rate, price - 1, seconds) < seconds


def test_a_price_never_falls_as_a_call_goes_on() -> None:
    chance = random.Random(20_267)

    for _ in range(200):
        rate = _random_rate(chance)
        prices = [price_micros(rate, seconds) for seconds in range(0, 400, 7)]

        assert prices == sorted(prices)


@pytest.mark.parametrize("micros", [-1, 0, 59_999])
def test_less_than_the_first_increment_costs_buys_nothing(micros: int) -> None:
    assert affordable_seconds(a_rate(), micros, 3_600) == 0


def test_a_rate_of_nothing_buys_all_that_is_asked() -> None:
    rate = a_rate(micros_per_minute=0)

    assert affordable_seconds(rate, 0, 3_600) == 3_600
    assert affordable_seconds(rate, -1, 3_600) == 0


def test_the_dearest_rate_prices_the_longest_call_within_the_whole_numbers() -> None:
    rate = a_rate(
        micros_per_minute=MAX_MICROS_PER_MINUTE,
        connection_fee_micros=MAX_CONNECTION_FEE_MICROS,
        first_increment_seconds=MAX_INCREMENT_SECONDS,
        next_increment_seconds=MAX_INCREMENT_SECONDS,
    )
    check_rate(rate)

    # Each step, as Lua takes it: seconds rounded up, times the rate, and the way back.
    seconds = charged_seconds(rate, LONGEST_CALL_SECONDS) + 2 * MAX_INCREMENT_SECONDS
    price = price_micros(rate, LONGEST_CALL_SECONDS)

    assert rate.micros_per_minute * seconds <= MAX_WHOLE_NUMBER
    assert price * SECONDS_PER_MINUTE <= MAX_WHOLE_NUMBER
    assert price + rate.connection_fee_micros <= MAX_WHOLE_NUMBER


@pytest.mark.parametrize(
    ("field", "figure"),
    [
        ("micros_per_minute", -1),
        ("micros_per_minute", MAX_MICROS_PER_MINUTE + 1),
        ("connection_fee_micros", -1),
        ("connection_fee_micros", MAX_CONNECTION_FEE_MICROS + 1),
        ("first_increment_seconds", 0),
        ("first_increment_seconds", MAX_INCREMENT_SECONDS + 1),
        ("next_increment_seconds", 0),
        ("next_increment_seconds", MAX_INCREMENT_SECONDS + 1),
        ("currency", "usd"),
        ("currency", "USDT"),
        ("currency", ""),
        ("currency", "\u00dc\u00c4\u00d6"),
        ("currency", "U5D"),
    ],
)
def test_a_rate_out_of_its_limits_is_refused_by_its_field(field: str, figure: Any) -> None:
    with pytest.raises(InvalidRate, match=field):
        check_rate(a_rate(**{field: figure}))


def test_the_newest_rate_in_force_is_chosen() -> None:
    dated = rows("old", 1_000) + rows("new", 2_000)

    assert _id(choose_rate(dated, 999)) == ""
    assert _id(choose_rate(dated, 1_000)) == "old"
    assert _id(choose_rate(dated, 1_999)) == "old"
    assert _id(choose_rate(dated, 2_000)) == "new"
    assert _id(choose_rate((), 2_000)) == ""


@pytest.mark.parametrize(
    ("e164", "currency", "rate_id"),
    [
        ("+390612345678", "USD", "italy"),
        ("+390212345678", "USD", "italy-milan"),
        ("+393331234567", "USD", "italy"),  # Mobiles cost as all else where no row names them.
        ("+447700900123", "USD", "kingdom"),
        # A prefix says nothing of another country behind the same digits.
        ("+18765550123", "USD", ""),
        ("+14255550123", "USD", ""),
        ("+390669812345", "USD", ""),
        ("+441481123456", "USD", ""),
        ("+77012345678", "USD", ""),
        # Nor of a dearer class.
        ("+39899123456", "USD", ""),
        ("+448441234567", "USD", "shared"),
        ("+449098790000", "USD", ""),
        # No prefix, no destination, no currency.
        ("+999123456789", "USD", ""),
        ("+390612345678", "EUR", "italy-eur"),
        ("+390212345678", "EUR", "italy-eur"),
        ("+447700900123", "EUR", ""),
        ("+390612345678", "GBP", ""),
    ],
)
def test_a_destination_costs_what_its_longest_prefix_says(
    e164: str, currency: str, rate_id: str
) -> None:
    catalogue = a_catalogue(
        rates={
            "USD": {
                "1": rows("world-one"),
                "39": rows("italy"),
                "3902": rows("italy-milan"),
                "44": rows("kingdom"),
                "44844": rows("shared"),
                "7": rows("russia"),
            },
            "EUR": {"39": rows("italy-eur", currency="EUR")},
        }
    )

    assert _id(rate_for_destination(catalogue, currency, e164, now_ms=NOW_MS)) == rate_id


def test_a_longer_prefix_not_yet_in_force_leaves_the_shorter_one() -> None:
    catalogue = a_catalogue(rates={"USD": {"39": rows("italy"), "3902": rows("milan", NOW_MS + 1)}})

    before = rate_for_destination(catalogue, "USD", "+390212345678", now_ms=NOW_MS)
    after = rate_for_destination(catalogue, "USD", "+390212345678", now_ms=NOW_MS + 1)

    assert (_id(before), _id(after)) == ("italy", "milan")


def test_a_prefix_as_long_as_the_longest_is_found() -> None:
    catalogue = a_catalogue(
        rates={"USD": {"39": rows("italy"), "3902": rows("milan")}}, finest_rate_prefix=4
    )

    assert _id(rate_for_destination(catalogue, "USD", "+390212345678", now_ms=NOW_MS)) == "milan"


def test_how_long_finer_prefixes_are_is_counted_over_all_currencies() -> None:
    italy = {"39": rows("italy")}

    assert finest_rate_prefix({"USD": italy}, DESTINATIONS) == 0
    assert finest_rate_prefix({"USD": italy, "EUR": {"3902": rows("milan")}}, DESTINATIONS) == 4


def test_a_rate_of_a_destination_not_yet_in_force_leaves_that_of_a_shorter_one() -> None:
    table = {"39": rows("italy"), "393": rows("mobile", NOW_MS + 1)}
    catalogue = a_catalogue(rates={"USD": table}, finest_rate_prefix=0)

    before = rate_for_destination(catalogue, "USD", "+393331234567", now_ms=NOW_MS)
    after = rate_for_destination(catalogue, "USD", "+393331234567", now_ms=NOW_MS + 1)

    assert (_id(before), _id(after)) == ("italy", "mobile")


TOLL_FREE = a_catalogue(
    toll_free_rates={
        "USD": {
            ("US", "US"): rows("north-america", micros_per_minute=20_000),
            ("US", "CA"): rows("canada", micros_per_minute=30_000),
            ("US", "PR"): rows("puerto-rico", micros_per_minute=25_000, connection_fee_micros=50),
            # Nobody can call it from there, so no unknown caller does.
            ("US", "GB"): rows("nonsense", micros_per_minute=900_000),
            ("GB", "GB"): rows("kingdom", micros_per_minute=40_000),
            ("GB", "JE"): rows("jersey", micros_per_minute=45_000),
            ("DE", "DE"): rows("germany", NOW_MS + 1),
        }
    },
    toll_rates={"USD": {"IT": rows("italy-toll")}},
    toll_free_reach={"GB": frozenset({"GG", "JE"})},
)


@pytest.mark.parametrize(
    ("currency", "number_country", "origin_country", "rate_id"),
    [
        ("USD", "US", "US", "north-america"),
        ("USD", "US", "CA", "canada"),  # 58
        ("USD", "US", "PR", "puerto-rico"),
        ("USD", "US", "JM", ""),  # No other origin's row will do.
        # A North American number is everybody's there, whichever country the tenant wrote down.
        ("USD", "CA", "CA", "canada"),
        ("USD", "CA", "US", "north-america"),
        ("USD", "GB", "GB", "kingdom"),
        ("USD", "GB", "JE", "jersey"),
        ("USD", "GB", "GG", "kingdom"),
        ("USD", "DE", "DE", ""),
        ("USD", "IT", "IT", ""),
        ("EUR", "US", "US", ""),
    ],
)
def test_a_toll_free_call_costs_what_its_origin_says(
    currency: str, number_country: str, origin_country: str, rate_id: str
) -> None:
    rate = rate_for_toll_free(
        TOLL_FREE, currency, number_country, origin_country=origin_country, now_ms=NOW_MS
    )

    assert _id(rate) == rate_id


@pytest.mark.parametrize(
    ("currency", "number_country", "rate_id"),
    [
        ("USD", "US", "canada"),
        ("USD", "CA", "canada"),
        ("USD", "GB", "jersey"),
        ("USD", "DE", ""),
        ("EUR", "US", ""),
    ],
)
def test_an_unknown_origin_costs_the_dearest_that_could_have_called(
    currency: str, number_country: str, rate_id: str
) -> None:
    rate = dearest_toll_free_rate(TOLL_FREE, currency, number_country, now_ms=NOW_MS)

    assert _id(rate) == rate_id


def test_a_connection_fee_can_make_a_rate_the_dearest() -> None:
    catalogue = a_catalogue(
        toll_free_rates={
            "USD": {
                ("US", "US"): rows("by-the-minute", micros_per_minute=30_000),
                ("US", "CA"): rows(
                    "by-the-call", micros_per_minute=20_000, connection_fee_micros=10_001
                ),
            }
        }
    )

    assert _id(dearest_toll_free_rate(catalogue, "USD", "US", now_ms=NOW_MS)) == "by-the-call"


@pytest.mark.parametrize(
    ("currency", "number_country", "rate_id"),
    [("USD", "IT", "italy-toll"), ("USD", "FR", ""), ("EUR", "IT", "")],
)
def test_a_toll_call_costs_what_its_country_says(
    currency: str, number_country: str, rate_id: str
) -> None:
    assert _id(rate_for_toll(TOLL_FREE, currency, number_country, now_ms=NOW_MS)) == rate_id


def _id(rate: Rate | None) -> str:
    return "" if rate is None else rate.rate_id


def _random_rate(chance: random.Random) -> Rate:
    return Rate(
        "random",
        "USD",
        chance.choice([0, 1, 59, 61, chance.randint(0, 10_000_000), MAX_MICROS_PER_MINUTE]),
        0,
        chance.choice([1, 6, 30, 60, chance.randint(1, MAX_INCREMENT_SECONDS)]),
        chance.choice([1, 6, 30, 60, chance.randint(1, MAX_INCREMENT_SECONDS)]),
    )


def _bought_one_by_one(rate: Rate, micros: int, limit_seconds: int) -> int:
    """Count increments up as long as the money and the limit last."""
    bought = 0
    while bought < limit_seconds:
        following = bought + (
            rate.next_increment_seconds if bought else rate.first_increment_seconds
        )
        if price_micros(rate, following) > micros:
            break
        bought = following
    return bought
