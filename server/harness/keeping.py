"""The keeper of a harness: in the engine's own process, so that a test can wait for its work."""

from __future__ import annotations

from server.keeper.keeper import Keeper

# Until a movement has led to nothing further: a debit to a recharge, that to a notice, and so on.
_MOST_ROUNDS = 12


async def settle_down(keeper: Keeper) -> None:
    """Do all that is due, until a round finds nothing to archive."""
    quiet = 0
    for _ in range(_MOST_ROUNDS):
        quiet = 0 if await keeper.do_all() else quiet + 1
        if quiet == 2:
            return
