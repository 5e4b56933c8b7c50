"""One timer for all calls of a connection."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Protocol

# Calls that are ended in one turn of the loop; the others are ended in the next ones.
TURN_EXPIRIES = 64


class Expiring(Protocol):
    """A call that may have a deadline, in seconds of the loop's clock."""

    deadline: float | None

    def expire(self) -> None:
        """End, for the deadline has passed."""


class Deadlines:
    """Ends calls whose deadline has passed.

    A timer a call would cost more than reading its request does, and nearly all of them would be
    cancelled unused. So there is one, set for the earliest deadline that was known when it was
    set; when it rings, the calls that still run are looked through.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Mapping[int, Expiring]) -> None:
        self._loop = loop
        self._calls = calls
        self._rings_at = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, deadline: float) -> None:
        """See to it that the timer rings at *deadline* or before."""
        if deadline < self._rings_at:
            self.stop()
            self._rings_at = deadline
            self._timer = self._loop.call_at(deadline, self._ring)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._rings_at = float("inf")
        now = self._loop.time()
        watched = [call for call in self._calls.values() if call.deadline is not None]
        late = (call for call in watched if call.deadline is not None and call.deadline <= now)
        for call in islice(late, TURN_EXPIRIES):
            call.expire()
        left = [call.deadline for call in watched if call.deadline is not None]
        if left:
            self.watch(min(left))
