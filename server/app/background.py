"""Duties: what goes on beside the questions for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

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
