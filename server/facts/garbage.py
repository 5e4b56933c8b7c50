"""Facts out of use, freed a little at a time: a large table freed at once would hold the loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from typing import Any

from policy.facts import Catalogue, Tenant
from server.facts.slices import NESTED

ITEMS_PER_SLICE = 2_000
PAUSE_SECONDS = 0.001


async def let_go(discarded: list[Catalogue | Tenant]) -> None:
    """Free facts that nothing uses any more, and empty the list of them.

    Nothing is taken out of a table: a question still under way keeps what it began with. The keys
    and values are held until their tables are gone, and then given up in slices.
    """
    while discarded:
        pile = await _heap_up(discarded.pop())
        while pile:
            del pile[-ITEMS_PER_SLICE:]
            await asyncio.sleep(PAUSE_SECONDS)


async def _heap_up(facts: Catalogue | Tenant) -> list[Any]:
    """List all keys and values; when this returns, the tables that held them are gone."""
    pile: list[Any] = []
    for items in _contents(facts):
        rest = iter(items)
        while piece := list(islice(rest, ITEMS_PER_SLICE)):
            pile += piece
            await asyncio.sleep(PAUSE_SECONDS)
    return pile


def _contents(facts: Catalogue | Tenant) -> Iterator[Any]:
    """Yield the keys and the values of every table."""
    for field in fields(facts):
        value = getattr(facts, field.name)
        tables = value.values() if field.name in NESTED else [value]
        for table in tables:
            if isinstance(table, Mapping):
                yield table.keys()
                yield table.values()


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the collector still; it would hold the loop."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
