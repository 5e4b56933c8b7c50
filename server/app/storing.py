"""Opening what an engine stands on: the store, the keeper beside it, and what follows journals."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple

from server.app.making import Making
from server.archive import Archive
from server.debits import Watching
from server.ground import lay_ground
from server.journal import JournalSource, Tailer
from server.settings import Settings
from server.store import Store, StoreClock, WakeUps


class OpenStore(NamedTuple):
    """A store, its name for operators, its URL, and the clock of what is decided on it."""

    store: Store
    name: str
    url: str
    clock: StoreClock


async def open_store(settings: Settings, stack: AsyncExitStack, making: Making) -> OpenStore:
    """Connect to the store, or start one of our own.

    Raises `EmbeddedServerError` and `StoreRefused`.
    """
    ground = await lay_ground(settings, stack)
    store = making.store(ground.url)
    stack.push_async_callback(store.close)
    return OpenStore(
        store, ground.name, ground.url, making.clock(store, settings.clock_tolerance_seconds)
    )


def make_watching(
    settings: Settings, url: str, *, archive: Archive, stack: AsyncExitStack
) -> Watching:
    """Build what follows journals, on connections of its own: no decision waits behind it."""
    store = Store(url)
    stack.push_async_callback(store.close)
    source = JournalSource(store, archive)
    return Watching(Tailer(source, WakeUps(url)), source, settings.checkpoint_seconds)
