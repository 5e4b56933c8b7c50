"""The parent of several workers: it answers no question, but starts, watches and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from typing import Any, Self

import uvloop

from server.app.embedded import lay_ground
from server.app.log import log_to_stderr
from server.app.workers.channel import Family, Others
from server.app.workers.child import Spawn, Worker
from server.app.workers.merging import merged
from server.settings import ENVIRONMENT_PREFIX, Settings
from server.storage.redis import EmbeddedServerError
from server.transport import AddressUnusable
from server.transport.listeners import bind, unix_path

EXIT_CANNOT_START = 1

# What workers may take beyond `drain_seconds` to write records and close; then they are killed.
_CLOSE_SECONDS = 5.0

_log = logging.getLogger("callgate")


def supervise(settings: Settings) -> int:
    """Serve with several workers until SIGTERM or SIGINT; the result is the exit status."""
    log_to_stderr()
    try:
        return uvloop.run(_supervise(settings))
    except (AddressUnusable, EmbeddedServerError, OSError) as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START


async def _supervise(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        address = stack.enter_context(_Address(settings))
        ground = await lay_ground(settings, stack)
        crew = _Crew(settings, Spawn(_environment(address, ground.url), address.inherited))
        stack.push_async_callback(
            crew.end, settings.drain_notice_seconds + settings.drain_seconds + _CLOSE_SECONDS
        )
        loop.add_signal_handler(signal.SIGHUP, crew.signal, signal.SIGHUP)
        status = await crew.start(stop)
        if status is None:
            _log.info("Listening on %s with %d workers.", address.shown, settings.workers)
            await stop.wait()
            _log.info("Draining.")
        # New connections are refused from here on, or go to whoever else shares the port.
        address.close()
    return status or 0


class _Address:
    """The address that workers share, held for as long as they may be started.

    A TCP port is bound here, so that it stays ours, and listened on by each worker: the system
    spreads connections over them, and none waits at a worker that died. A unix socket can be
    listened on once; all take from it.
    """

    def __init__(self, settings: Settings) -> None:
        self._address = str(settings.listen)
        self._is_unix = self._address.startswith("unix:")
        if not self._is_unix:
            # Another engine with workers would let us share its port, and each other's callers.
            for one in bind(self._address, reuse_port=False):
                one.close()
        self._sockets = bind(self._address, reuse_port=not self._is_unix)
        if self._is_unix:
            self._sockets[0].listen()

    @property
    def inherited(self) -> socket.socket | None:
        """What workers inherit."""
        return self._sockets[0] if self._is_unix else None

    @property
    def shown(self) -> str:
        """The address as callers need it: with the port that was free."""
        if self._is_unix:
            return self._address
        return f"{self._address.rpartition(':')[0]}:{self._sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the address go."""
        if self._is_unix and self._sockets:
            unix_path(self._address).unlink(missing_ok=True)
        for one in self._sockets:
            one.close()
        self._sockets = []


def _environment(address: _Address, store_url: str) -> dict[str, str]:
    """Set for workers what the parent has settled: the port, the store, the keeper."""
    settled = {"LISTEN": address.shown, "REDIS_URL": store_url, "RUN_KEEPER": "false"}
    return os.environ | {f"{ENVIRONMENT_PREFIX}{name}": value for name, value in settled.items()}


class _Crew:
    """All workers."""

    def __init__(self, settings: Settings, spawn: Spawn) -> None:
        numbers = range(1, settings.workers + 1)
        self.workers = [Worker(number, spawn, self._tell) for number in numbers]
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self, stop: asyncio.Event) -> int | None:
        """Start all; None once they serve, else the status to end with."""
        self._keeping = [asyncio.create_task(one.keep()) for one in self.workers]
        all_serve = asyncio.gather(*(one.serves.wait() for one in self.workers))
        stopped = asyncio.ensure_future(stop.wait())
        failures = [one.failed_to_start for one in self.workers]
        ends: list[asyncio.Future[Any]] = [all_serve, stopped, *failures]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        failed = any(one.done() for one in failures)
        stopped.cancel()
        if all_serve.done():
            return None
        all_serve.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await all_serve
        return EXIT_CANNOT_START if failed else 0

    def signal(self, number: signal.Signals) -> None:
        """Hand a signal on."""
        for one in self.workers:
            one.signal(number)

    async def end(self, patience_seconds: float) -> None:
        """Let all drain at once, and kill those that take too long."""
        for one in self.workers:
            one.end()
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=patience_seconds)
            for number, one in zip(self._keeping, self.workers, strict=True):
                if number in late:
                    _log.error("Worker %d does not end; it is killed.", one.number)
                    one.signal(signal.SIGKILL)
            await asyncio.gather(*self._keeping)

    def _tell(self, about: Worker) -> Others:
        others = [one.report for one in self.workers if one is not about and one.report]
        pages = [one.figures for one in others]
        pages += [one.left_behind for one in self.workers]
        return Others(
            all(one.ledger_up for one in others),
            all(one.accounts_open for one in others),
            merged([*pages, self._own()]),
        )

    def _own(self) -> list[Family]:
        alive = sum(one.report is not None for one in self.workers)
        restarts = float(sum(one.restarts for one in self.workers))
        return [
            Family(
                "callgate_workers",
                "Worker processes that serve.",
                "gauge",
                [("callgate_workers", {}, float(alive))],
            ),
            Family(
                "callgate_workers_restarted",
                "Worker processes that ended by themselves and were started again.",
                "counter",
                [("callgate_workers_restarted_total", {}, restarts)],
            ),
        ]
