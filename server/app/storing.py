"""Opening what an engine stands on: the store, the keeper beside it, and what follows journals."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from server.archive import Archive
from server.debits import Watching
from server.journal import JournalSource, Tailer
from server.keeper_child import KeeperChild
from server.settings import Settings
from server.store import EmbeddedServer, Store, WakeUps


class OpenStore(NamedTuple):
    """A store, its name for operators, and its URL."""

    store: Store
    name: str
    url: str


async def open_store(settings: Settings, stack: AsyncExitStack) -> OpenStore:
    """Connect to the store, or start one of our own.

    The keeper beside us, if there is to be one, starts with it and ends before it. Raises
    `EmbeddedServerError` and `StoreRefused`.
    """
    if settings.redis_url:
        url = settings.redis_url
        parts = urlsplit(url)
        name = f"The store at {parts.hostname or parts.path}"
    else:
        folder = settings.data_folder / "store"
        embedded = EmbeddedServer(folder)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        url, name = embedded.url, f"The store in {folder}"
    store = Store(url)
    stack.push_async_callback(store.close)
    if settings.run_keeper:
        keeper = KeeperChild(url)
        keeper.start()
        stack.push_async_callback(keeper.stop)
    return OpenStore(store, name, url)


def make_watching(
    settings: Settings, url: str, *, archive: Archive, stack: AsyncExitStack
) -> Watching:
    """Build what follows journals, on connections of its own: no decision waits behind it."""
    store = Store(url)
    stack.push_async_callback(store.close)
    source = JournalSource(store, archive)
    return Watching(Tailer(source, WakeUps(url)), source, settings.checkpoint_seconds)
