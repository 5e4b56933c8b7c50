"""Facts out of use, freed a little at a time: a large table freed at once would hold the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from policy.facts import Catalogue, Tenant
from server.facts.slices import NESTED

ITEMS_PER_SLICE = 2_000
PAUSE_SECONDS = 0.001


async def let_go(discarded: list[Catalogue | Tenant]) -> None:
    """Free facts that nothing uses any more, and empty the list of them.

    Nothing is taken out of a table: a question still under way keeps what it began with.
    """
    while discarded:
        pile = _contents(discarded.pop())
        while pile:
            del pile[-ITEMS_PER_SLICE:]
            await asyncio.sleep(PAUSE_SECONDS)


def _contents(facts: Catalogue | Tenant) -> list[Any]:
    """List the items of all tables, so that they outlive the tables."""
    pile: list[Any] = []
    for field in fields(facts):
        value = getattr(facts, field.name)
        if field.name in NESTED:
            for table in value.values():
                pile.extend(table.items())
        elif isinstance(value, Mapping):
            pile.extend(value.items())
    return pile
