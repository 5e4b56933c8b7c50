"""What a purse has for a call, by the sums of its account: the arithmetic of the walk in Python.

The model of the ledger decides by it, and what is estimated to remain is told by it. In Lua it is
in `functions/walk.lua`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from policy.decision import CreditsPurse, FreePurse, PoolPurse, Purse
from policy.rating import affordable_seconds, price_micros
from policy.reasons import Reason
from server.ledger.codec import tally_fields


@dataclass(slots=True)
class Tally:
    """What is gone for good and what is held: seconds of a pool, or micros of a spend limit."""

    done: int = 0
    held: int = 0


class Sums(Protocol):
    """What is looked at of an account. `available_micros` is None until it is first funded."""

    @property
    def tenant_id(self) -> str:
        """Whose account it is."""

    @property
    def available_micros(self) -> int | None:
        """What no call holds."""

    @property
    def credit_limit_micros(self) -> int:
        """How far below zero it may go."""

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """The tallies of pools and of spending, by field."""


_NOTHING = Tally()


def room(purse: Purse, sums: Sums, *, had: int, fee_due: bool, limit: int) -> int:
    """Say how many seconds a purse has beyond the `had` that it gave, `limit` at the most."""
    if isinstance(purse, FreePurse):
        return limit
    if isinstance(purse, PoolPurse):
        return min(pool_room(purse, sums), limit)
    available = sums.available_micros
    if needs_positive(purse) and had == 0 and (available is None or available <= 0):
        return 0
    money = min(spendable(purse, sums)) - fee(purse, due=fee_due)
    if money < 0:
        return 0
    bounded = price_micros(purse.rate, had + limit) if money == math.inf else int(money)
    total = bounded + price_micros(purse.rate, had)
    return affordable_seconds(purse.rate, total, had + limit) - had


def pool_room(purse: PoolPurse, sums: Sums) -> int:
    """Say what a pool has: nothing once any counter of its plan is used up."""
    tallies = [
        (sums.tallies.get(field, _NOTHING), size)
        for field, size in tally_fields(purse, sums.tenant_id)
    ]
    if any(tally.done >= size for tally, size in tallies):
        return 0
    counted, size = tallies[0]
    return max(0, size - counted.done - counted.held)


def spendable(purse: CreditsPurse, sums: Sums) -> tuple[float, float]:
    """Say how many micros there are by the balance, and by the spend limit."""
    by_balance: float = math.inf
    by_limit: float = math.inf
    if not purse.post_paid:
        available = sums.available_micros
        below_zero = max(purse.overdraft_micros, sums.credit_limit_micros)
        by_balance = -math.inf if available is None else available + below_zero
    for field, limit in tally_fields(purse, sums.tenant_id):
        tally = sums.tallies.get(field, _NOTHING)
        by_limit = limit - tally.done - tally.held
    return by_balance, by_limit


def fee(purse: CreditsPurse, *, due: bool) -> int:
    """Say what connecting costs: once, and only where credits pay the first talked second."""
    return purse.rate.connection_fee_micros if due else 0


def needs_positive(purse: CreditsPurse) -> bool:
    """Tell whether it gives nothing to a new call while the balance is not above zero."""
    return purse.exhausted_reason is Reason.TOLL_FREE_NEEDS_CREDIT and not purse.post_paid
