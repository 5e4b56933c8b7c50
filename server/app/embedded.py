"""What engines stand on: the store, started here where the settings name none, and a keeper."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from server.settings import ENVIRONMENT_PREFIX, Settings
from server.storage.redis import EmbeddedServer
from server.storage.redis.embedded import die_with_parent


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


# A keeper that ended by itself is started again after this time.
RESTART_SECONDS = 1.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.2

_log = logging.getLogger("callgate")


class KeeperChild:
    """Starts a keeper and starts it again when it ends; it never outlives this process.

    `store_url` is where it finds the store, whatever the settings say; all else comes with the
    environment.
    """

    def __init__(self, store_url: str) -> None:
        self._store_url = store_url
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the keeper, and watch over it."""
        self._process = self._spawn()
        self._watch = asyncio.create_task(self._start_again(), name="keeper")

    async def stop(self) -> None:
        """End the keeper; it gives its lease back."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            await asyncio.to_thread(_wait_or_kill, self._process)

    async def _start_again(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._process is None or self._process.poll() is not None:
                status = self._process.returncode if self._process else None
                _log.error("The keeper ended with status %s; it is started again.", status)
                await asyncio.sleep(RESTART_SECONDS)
                self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment: Mapping[str, str] = os.environ | {
            f"{ENVIRONMENT_PREFIX}REDIS_URL": self._store_url
        }
        return subprocess.Popen(
            [sys.executable, "-m", "server", "keeper"],
            env=environment,
            stdin=subprocess.DEVNULL,
            # What a terminal sends goes to the server alone, which ends the keeper in its turn.
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 -- It makes one system call.
        )


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
