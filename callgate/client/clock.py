"""The clock a call is measured by. Another one lets an hour of talk pass in a test's moment."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tells how much time has passed, and waits."""

    def now(self) -> float:
        """Return seconds since some moment; they never run back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many of its own seconds."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Return seconds since some moment; setting the time of day does not move them."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class FastClock:
    """Lets `speed` seconds pass in one; for demonstrations and tests."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def now(self) -> float:
        """Return its own seconds since some moment."""
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        """Wait that many of its own seconds."""
        await asyncio.sleep(seconds / self._speed)
