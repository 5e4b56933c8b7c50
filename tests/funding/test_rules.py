"""What purchases keep to: the least and the most, in each currency."""

from __future__ import annotations

import pytest

from policy.money import MICROS_PER_UNIT, written
from server.app.money import rules_of
from server.funding.errors import FundingRefused
from server.funding.funding_rows import FundingRow
from server.funding.purchase_rules import closing_charge_micros, require_purchase
from server.settings import Settings


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
