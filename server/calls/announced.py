"""What a call had paid before the ledger forgot it, by the purses that may pay it now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policy.decision import CreditsPurse, PoolPurse, Purse
from server.archive import ArchivedPurse, ArchivedUse
from server.ledger import NOT_ASKED, Use


class Debited(NamedTuple):
    """What was debited for a call so far, and what decision began it; empty where none is known.

    `UNASKED` where nobody asked the archive: a call that the ledger has forgotten is unknown then.
    """

    opened_id: str = ""
    uses: Sequence[ArchivedUse] = ()


NOTHING_DEBITED = Debited()
UNASKED = Debited(NOT_ASKED)


def debited_uses(debited: Debited, purses: Sequence[Purse]) -> tuple[Use, ...]:
    """Name what was debited by the places of today's purses; what none of them is, by the last.

    Seconds once paid are never paid again, even where the purse that paid them is gone.
    """
    if not purses:
        return ()
    seconds, micros = [0] * len(purses), [0] * len(purses)
    for use in debited.uses:
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
    if (paid.pool_id, paid.period) != (purse.pool_id, purse.period):
        return False
    # Of a purse that is known by its usage record alone nobody says on which counter.
    return not paid.tally or paid.tally.split("/", 3)[2] == purse.counter


def _kind(purse: Purse) -> str:
    if isinstance(purse, PoolPurse):
        return "pool"
    return "credits" if isinstance(purse, CreditsPurse) else "free"
