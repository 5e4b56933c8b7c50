"""What purchases keep to: the least and the most, in each currency."""

from __future__ import annotations

import pytest

from policy.funding_play import closing_charge_micros
from policy.money import MICROS_PER_UNIT, written
from server.app.money import rules_of
from server.funding.errors import FundingRefused
from server.funding.funding_rows import FundingRow
from server.funding.purchase_rules import require_purchase
from server.settings import Settings
from server.settings.money import Provider


@pytest.mark.parametrize(
    ("currency", "units"),
    [("USD", 20), ("EUR", 20), ("KWD", 20), ("JPY", 3_000), ("KRW", 30_000), ("CLP", 15_000)],
)
def test_the_least_that_is_bought_is_worth_something_in_each_currency(
    currency: str, units: int
) -> None:
    rules = rules_of(Settings(minimum_funding_by_currency={"CLP": 15_000}))
    least = units * MICROS_PER_UNIT

    with pytest.raises(FundingRefused) as refused:
        require_purchase(FundingRow("contoso"), least - 1, 0, currency=currency, rules=rules)

    require_purchase(FundingRow("contoso"), least, 0, currency=currency, rules=rules)
    assert written(least, currency) + f" {currency}" in str(refused.value)
    assert refused.value.metadata == {"minimum_micros": str(least)}


def test_one_recharge_takes_no_more_than_its_provider_does() -> None:
    """A wide gap is closed by several amounts, as many as may be charged at once."""
    assert closing_charge_micros(-95, 10, 20) == 120
    assert closing_charge_micros(-95, 10, 20, most_micros=90) == 80
    assert closing_charge_micros(-95, 10, 20, most_micros=19) == 20


@pytest.mark.parametrize(
    ("gap", "currency", "provider", "told"),
    [
        (82_800, "EUR", "off", 20_000_000),
        (25_000_001, "EUR", "off", 25_010_000),
        (1, "JPY", "off", 3_000_000_000),
        (3_000_000_001, "JPY", "off", 3_001_000_000),
        (30_000_001, "KWD", "stripe", 30_010_000),
        (30_000_001, "KWD", "off", 30_001_000),
    ],
)
def test_what_is_said_to_be_topped_up_can_be_topped_up(
    gap: int, currency: str, provider: str, told: int
) -> None:
    """The gap, at least the minimum, and whole coins: else the advice would be refused."""
    settings = Settings(
        payments=Provider(provider), stripe_api_key="k", stripe_webhook_secret="whsec_k"
    )
    rules = rules_of(settings)

    assert rules.purchase_micros(gap, currency) == told
    require_purchase(FundingRow("contoso"), told, 0, currency=currency, rules=rules)
    assert not rules.counting.objection(told, currency)
