"""What engines stand on: the store, started here where the settings name none, and a keeper."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from server.keeper_child import KeeperChild
from server.settings import Settings
from server.store import EmbeddedServer


class Ground(NamedTuple):
    """Where the store is, and its name for operators."""

    url: str
    name: str


async def lay_ground(settings: Settings, stack: AsyncExitStack) -> Ground:
    """Find the store, or start one of our own; both end with the stack.

    The keeper beside us, if there is to be one, starts after it and ends before it. Raises
    `EmbeddedServerError`.
    """
    if settings.redis_url:
        parts = urlsplit(settings.redis_url)
        ground = Ground(settings.redis_url, f"The store at {parts.hostname or parts.path}")
    else:
        folder = settings.data_folder / "store"
        embedded = EmbeddedServer(folder)
        await embedded.start()
        stack.push_async_callback(embedded.stop)
        ground = Ground(embedded.url, f"The store in {folder}")
    if settings.run_keeper:
        keeper = KeeperChild(ground.url)
        keeper.start()
        stack.push_async_callback(keeper.stop)
    return ground
