"""Premium rules: the one that names most of a number decides, whatever class the table gives it."""

from __future__ import annotations

import pytest

from policy.destination import Destination, NumberClass
from policy.facts import PremiumRule, Treatment
from policy.premium import find_treatment

BLOCKED, CREDITS = Treatment.BLOCKED, Treatment.CREDITS_ONLY
RULES = (
    PremiumRule("IE", "*", BLOCKED),
    PremiumRule("IE", "3531", CREDITS, length=13),
    PremiumRule("IE", "35315", BLOCKED, length=13),
    PremiumRule("IE", "35386", CREDITS),
    PremiumRule("IE", "35386", BLOCKED, length=10),
)


@pytest.mark.parametrize("number_class", NumberClass)
@pytest.mark.parametrize(
    ("e164", "treatment"),
    [
        ("+3531599123456", BLOCKED),
        ("+3531800123456", CREDITS),
        ("+353861234567", CREDITS),
        ("+3538612345", BLOCKED),
        ("+353861234", CREDITS),
    ],
)
def test_a_rule_wins_over_the_class_of_the_table(
    number_class: NumberClass, e164: str, treatment: Treatment
) -> None:
    leads_to = Destination("353", "GB", number_class, "somewhere")

    assert find_treatment(RULES, e164, leads_to) is treatment


def test_a_number_of_another_length_is_an_ordinary_one() -> None:
    leads_to = Destination("353", "IE", NumberClass.ORDINARY, "Ireland")

    assert find_treatment(RULES, "+35315991234", leads_to) is None
