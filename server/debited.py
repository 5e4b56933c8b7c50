"""What a call had paid before the ledger forgot it, by the purses that may pay it now."""

from __future__ import annotations

from collections.abc import Sequence

from policy.decision import CreditsPurse, PoolPurse, Purse
from server.archive import ArchivedPurse, ArchivedUse
from server.ledger import Use

Debited = Sequence[ArchivedUse]


def debited_uses(debited: Debited, purses: Sequence[Purse]) -> tuple[Use, ...]:
    """Name what was debited by the places of today's purses; what none of them is, by the last.

    Seconds once paid are never paid again, even where the purse that paid them is gone.
    """
    if not purses:
        return ()
    seconds, micros = [0] * len(purses), [0] * len(purses)
    for use in debited:
        index = _place(use.purse, purses)
        seconds[index] += use.seconds
        micros[index] += use.micros
    return tuple(
        Use(index, seconds[index], micros[index])
        for index in range(len(purses))
        if seconds[index] > 0
    )


def _place(paid: ArchivedPurse, purses: Sequence[Purse]) -> int:
    for index, purse in enumerate(purses):
        if _kind(purse) == paid.kind and _is_same(paid, purse):
            return index
    return len(purses) - 1


def _is_same(paid: ArchivedPurse, purse: Purse) -> bool:
    if not isinstance(purse, PoolPurse):
        return True
    counter = paid.tally.split("/", 3)[2]
    return (paid.pool_id, paid.period, counter) == (purse.pool_id, purse.period, purse.counter)


def _kind(purse: Purse) -> str:
    if isinstance(purse, PoolPurse):
        return "pool"
    return "credits" if isinstance(purse, CreditsPurse) else "free"
