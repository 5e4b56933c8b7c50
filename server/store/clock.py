"""The one clock of all decisions: Redis's, kept as an offset to this process's monotonic clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

from server.store.connection import Store
from server.store.trouble import StoreRefused, StoreUnavailable

REFRESH_SECONDS = 10.0
_MICROS_PER_MILLISECOND = 1_000
_NANOS_PER_MICRO = 1_000


class Clock(Protocol):
    """What tells the time. A test harness replaces this one object."""

    def now_ms(self) -> int:
        """Say the time in milliseconds since 1970, UTC."""


class StoreClock:
    """Redis's clock, read without asking it: the last reading plus what passed here since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._offset_micros: int | None = None
        # Whoever answers on a new connection may be another server, with a clock of its own.
        self._is_doubted = asyncio.Event()
        store.on_connect(self._is_doubted.set)

    def now_ms(self) -> int:
        """Say the time in milliseconds since 1970, UTC.

        Raises `StoreUnavailable` before the first reading.
        """
        if self._offset_micros is None:
            raise StoreUnavailable("the clock of the store was not read yet")
        return (_monotonic_micros() + self._offset_micros) // _MICROS_PER_MILLISECOND

    async def refresh(self) -> None:
        """Read the store's clock once. Raises `StoreUnavailable`; the last reading then stays."""
        before = _monotonic_micros()
        store_micros = await self._store.time_micros()
        # Half of the way there and back is the best guess of when it was read.
        self._offset_micros = store_micros - (before + _monotonic_micros()) // 2

    async def keep(self) -> None:
        """Refresh the reading for as long as the task lives: now and then, and on reconnection."""
        while True:
            # The last reading is good for long; who decides meets the same trouble, and tells.
            with contextlib.suppress(StoreUnavailable, StoreRefused):
                await self.refresh()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._is_doubted.wait()
            self._is_doubted.clear()


def _monotonic_micros() -> int:
    return time.monotonic_ns() // _NANOS_PER_MICRO
