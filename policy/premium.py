"""Premium and shared-cost numbers: blocked for some holders, from credits only for the rest."""

from __future__ import annotations

from typing import Final

from policy.destination import Destination, NumberClass, is_own_number
from policy.facts import PremiumRule, Treatment

# A rule of this prefix stands for every premium number of its country.
EVERY_PREMIUM: Final = "*"

_PREMIUM: Final = NumberClass.PREMIUM
_SHARED_COST: Final = NumberClass.SHARED_COST
_CREDITS_ONLY: Final = Treatment.CREDITS_ONLY


def find_treatment(
    rules: tuple[PremiumRule, ...], e164: str, destination: Destination
) -> Treatment | None:
    """Say how a number is treated by the rules of the payer's country; None: as an ordinary one.

    The longest prefix wins over the rule for every premium number, and a rule that names a length
    over one that does not; any of them over the class of the table. Other numbers of these classes
    are left to credits, since minutes never cover them.
    """
    found: PremiumRule | None = None
    for rule in rules:
        if not _applies(rule, e164, destination):
            continue
        if found is None or found.prefix == EVERY_PREMIUM or _digits(rule) > _digits(found):
            found = rule
    if found is not None:
        return found.treatment
    number_class = destination.number_class
    special = number_class is _PREMIUM or number_class is _SHARED_COST
    return _CREDITS_ONLY if special else None


def _digits(rule: PremiumRule) -> tuple[int, int]:
    """Say how much of a number a rule names: of the same prefix the one with a length more."""
    return len(rule.prefix), rule.length


def _applies(rule: PremiumRule, e164: str, destination: Destination) -> bool:
    if rule.length and len(e164) != rule.length + 1:
        return False
    if rule.prefix != EVERY_PREMIUM:
        return e164.startswith(rule.prefix, 1)
    return destination.number_class is _PREMIUM and is_own_number(destination, rule.country)
