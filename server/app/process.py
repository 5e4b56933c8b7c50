"""The process around an engine: its log, its signals, its exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import uvloop

from server.app.engine import Engine
from server.app.log import log_to_stderr
from server.app.running import running_engine
from server.app.workers.channel import Shared
from server.facts import InvalidFacts
from server.settings import Settings
from server.storage.redis import EmbeddedServerError, StoreRefused
from server.storage.sql.errors import ArchiveUnusable
from server.transport import AddressUnusable

EXIT_CANNOT_START = 1
# Objects that are made before the collector looks for cycles among them. Calls make none, so that
# what it would look through is only what waits to be written.
YOUNG_OBJECTS = 20_000

CANNOT_START = (
    AddressUnusable,
    ArchiveUnusable,
    EmbeddedServerError,
    InvalidFacts,
    OSError,
    StoreRefused,
)

_log = logging.getLogger("callgate")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the result is the exit status of the process."""
    log_to_stderr()
    try:
        uvloop.run(serve_until_stopped(settings))
    except CANNOT_START as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START
    return 0


async def serve_until_stopped(
    settings: Settings,
    shared: Shared | None = None,
    beside: Callable[[Engine, AsyncExitStack], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, as a worker where something is shared with others.

    `beside` is called once the engine serves; what it puts on the stack ends before the engine.
    """
    allow_many_connections()
    gc.set_threshold(YOUNG_OBJECTS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_engine(settings, shared) as (engine, _), AsyncExitStack() as stack:
        if beside is not None:
            await beside(engine, stack)
        loop.add_signal_handler(signal.SIGHUP, engine.reload)
        await stop.wait()
        _log.info("Draining.")


def allow_many_connections() -> None:
    """Take as many open files as the system lets us: each caller's connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
