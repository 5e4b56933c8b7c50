"""Duties: what goes on beside the questions for as long as the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from server.app.engine import Engine

RESTART_SECONDS = 1.0

_log = logging.getLogger(__name__)


async def go_on(
    name: str, duty: Callable[[], Awaitable[None]], restart_seconds: float = RESTART_SECONDS
) -> None:
    """Run a duty until cancelled; what nobody foresaw is logged, and it begins anew.

    A duty that ended unseen would leave the engine answering with a clock that is read no more, or
    with reservations that nobody gives back.
    """
    while True:
        try:
            await duty()
        except Exception:  # noqa: BLE001 -- It is told; that it goes on is the point.
            _log.exception("%s broke, and begins anew.", name)
        await asyncio.sleep(restart_seconds)


def start_duties(engine: Engine, stack: AsyncExitStack) -> None:
    """Start each duty; they end with the stack, the last one first."""
    for name, duty in _duties(engine).items():
        stack.push_async_callback(_cancel, asyncio.create_task(go_on(name, duty)))


def _duties(engine: Engine) -> dict[str, Callable[[], Awaitable[None]]]:
    return {
        "Reading the clock": engine.clock.keep,
        "Watching the ledger": engine.watch.run,
        "Opening accounts": engine.opening.run,
        "Reading files when asked to": engine.reloads.run,
        "Watching the load": engine.load.run,
        "Watching the journals": engine.fill.run,
        "Following the journals": engine.watching.tailer.run,
        "Comparing the store with the archive": engine.comparison.run,
        "Reading the epochs of the store": engine.store_epoch.run,
        "Looking after bridges' streams": engine.standings.run,
        "Watching the identities": engine.identities.run,
        "Looking after streams' identities": engine.open_streams.run,
        "Writing down whom notices are for": engine.notices.run,
        **engine.facts.duties(),
    }


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
