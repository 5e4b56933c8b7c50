"""The one clock of all decisions: Redis's, kept as an offset to this process's own steady clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Protocol

from server.storage.redis.errors import StoreRefused, StoreUnavailable
from server.storage.redis.store import Store

REFRESH_SECONDS = 10.0
TOLERANCE_SECONDS = 300
_MICROS_PER_MILLISECOND = 1_000
_MICROS_PER_SECOND = 1_000_000
_NANOS_PER_MICRO = 1_000
# It goes on while a machine sleeps, as the store's does elsewhere.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_log = logging.getLogger(__name__)


class Clock(Protocol):
    """What tells the time. A test harness replaces this one object."""

    def now_ms(self) -> int:
        """Say the time in milliseconds since 1970, UTC."""


class StoreClock:
    """Redis's clock, read without asking it: the last reading plus what passed here since.

    A store whose clock is wrong, as that of a replica that was promoted may be, would let lots of
    money expire. So no reading counts alone. The first one has to agree with this machine's clock;
    a later one with what it should be by now, within `tolerance_seconds` each. One that does not is
    refused and told, and the time goes on as it did; only where this machine's clock too says that
    it is earlier is that believed.
    """

    def __init__(self, store: Store, tolerance_seconds: int = TOLERANCE_SECONDS) -> None:
        self._store = store
        self._tolerance_micros = tolerance_seconds * _MICROS_PER_SECOND
        self._offset_micros: int | None = None
        # By how much the last reading was ahead where it was refused.
        self.off_seconds = 0
        # Whoever answers on a new connection may be another server, with a clock of its own.
        self._is_doubted = asyncio.Event()
        store.on_connect(self._is_doubted.set)

    def now_ms(self) -> int:
        """Say the time in milliseconds since 1970, UTC.

        Raises `StoreUnavailable` before the first reading.
        """
        if self._offset_micros is None:
            raise StoreUnavailable("the clock of the store was not read yet")
        return (_steady_micros() + self._offset_micros) // _MICROS_PER_MILLISECOND

    async def refresh(self) -> None:
        """Read the store's clock once.

        Raises `StoreUnavailable`, also where the first reading cannot be believed; a later one that
        cannot, and one that was not had, leave the last one as it is.
        """
        before = _steady_micros()
        store_micros = await self._store.time_micros()
        after = _steady_micros()
        # Half of the way there and back is the best guess of when it was read.
        self._take(store_micros - (before + after) // 2, self.wall_micros() - after)

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

    def wall_micros(self) -> int:
        """Read this machine's own clock: microseconds since 1970, UTC."""
        return time.time_ns() // _NANOS_PER_MICRO

    def _take(self, read: int, wall: int) -> None:
        """Take a reading over if it can be believed; both are offsets to the steady clock."""
        is_first = self._offset_micros is None
        expected = wall if self._offset_micros is None else self._offset_micros
        off, limit = read - expected, self._tolerance_micros
        if abs(off) <= limit:
            self._offset_micros = read
            self._tell(0)
            return
        if is_first:
            raise StoreUnavailable(
                f"the store's clock is {_span(off)} this machine's; nothing is decided until the "
                "one that is wrong is set right"
            )
        self._tell(off // _MICROS_PER_SECOND)
        if off < -limit and wall - expected < -limit:
            self._offset_micros = max(read, wall)
            _log.error("This machine's clock says so too: the time is taken back.")

    def _tell(self, off_seconds: int) -> None:
        if off_seconds and not self.off_seconds:
            _log.error(
                "ALARM clock: the store's clock is %s what it should be; it is not believed, and "
                "the time goes on as it did. If the store is right, restart this process.",
                _span(off_seconds * _MICROS_PER_SECOND),
            )
        elif self.off_seconds and not off_seconds:
            _log.info("The alarm clock is over: the store's clock agrees again.")
        self.off_seconds = off_seconds


def _steady_micros() -> int:
    return time.clock_gettime_ns(_STEADY) // _NANOS_PER_MICRO


def _span(micros: int) -> str:
    return f"{abs(micros) // _MICROS_PER_SECOND} s {'ahead of' if micros > 0 else 'behind'}"
