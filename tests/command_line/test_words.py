"""Money and time in words: exact to the last micro, never rounded."""

from __future__ import annotations

import itertools
from string import ascii_uppercase

import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.command import words
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.money_pb2 import Money
from policy.money import decimals_of


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00 EUR"),
        (1, "0.000001 EUR"),
        (12_000, "0.012 EUR"),
        (100_000, "0.10 EUR"),
        (-250_000, "-0.25 EUR"),
        (1_234_567_890_000, "1,234,567.89 EUR"),
        (2**53 - 1, "9,007,199,254.740991 EUR"),
    ],
)
def test_money_is_written_exactly(micros: int, text: str) -> None:
    assert words.money(Money(micros=micros, currency_code="EUR")) == text


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (3_000_000_000, "JPY", "3,000 JPY"),
        (75_000_000_000, "UGX", "75,000 UGX"),
        (82_800, "JPY", "0.0828 JPY"),
        (5_120_000, "KWD", "5.120 KWD"),
        (-20_000_000, "ISK", "-20 ISK"),
        (20_000_000, "MGA", "20.00 MGA"),
        (1_000_000, "CLF", "1.0000 CLF"),
    ],
)
def test_money_has_the_decimals_of_its_currency(micros: int, currency: str, text: str) -> None:
    assert words.money(Money(micros=micros, currency_code=currency)) == text


def test_client_and_engine_agree_on_the_decimals_of_every_currency() -> None:
    """The client's package has a table of its own: it holds nothing of the engine."""
    currencies = ["".join(letters) for letters in itertools.product(ascii_uppercase, repeat=3)]

    assert {c: words.decimals_of(c) for c in currencies} == {c: decimals_of(c) for c in currencies}


@pytest.mark.parametrize(
    "text", ["1e3", "1E3", "+5", "-5", "5.", ".5", "1_000", "1,000", "NaN", "٣", " 5", "0.0000001"]
)
def test_an_amount_is_digits_and_nothing_that_only_a_program_reads(text: str) -> None:
    with pytest.raises(ValueError):
        words.micros_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (180_000, "3,000 min"),
    ],
)
def test_a_duration_is_written_in_minutes_and_seconds(seconds: int, text: str) -> None:
    assert words.minutes(Duration(seconds=seconds)) == text


@pytest.mark.parametrize("reason", [value for value in pb.Reason.values() if value])
def test_every_reason_has_words(reason: pb.Reason.ValueType) -> None:
    told = words.reason(reason)

    assert told.islower()
    assert "reason" not in told


@pytest.mark.parametrize(
    ("payer", "text"),
    [
        (pb.Payer(kind=pb.PAYER_KIND_USER, tenant_id="t", account_id="u"), "u of t"),
        (
            pb.Payer(kind=pb.PAYER_KIND_ORGANIZER, tenant_id="t", account_id="u"),
            "organizer u of t",
        ),
        (
            pb.Payer(kind=pb.PAYER_KIND_RESOURCE_ACCOUNT, tenant_id="t", account_id="a"),
            "resource account a of t",
        ),
        (pb.Payer(kind=pb.PAYER_KIND_TENANT, tenant_id="t"), "tenant t"),
    ],
)
def test_a_payer_is_told_with_its_part(payer: pb.Payer, text: str) -> None:
    assert words.payer(payer) == text
