"""Requests that do not arrive: a message that was begun is whole in time, or its call ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

# Looks within the time that a message has. What was incomplete at all of them is too late.
_LOOKS = 4
# Calls that are ended for it in one turn of the loop.
TURN_ENDINGS = 64


class Arriving(Protocol):
    """A call whose request may be incomplete.

    Attributes:
        looks: How often it was found so since a message was last complete.
    """

    looks: int

    @property
    def is_incomplete(self) -> bool:
        """Whether the client has yet to send what it began."""

    def give_up(self) -> None:
        """End, for the request did not arrive."""


class Arrivals:
    """Looks through the calls of a connection from time to time, so that calls pay nothing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, calls: Mapping[int, Arriving], seconds: float
    ) -> None:
        self._loop = loop
        self._calls = calls
        self._interval_seconds = seconds / _LOOKS
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """See to it that somebody looks while there are calls."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval_seconds, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        late: list[Arriving] = []
        for call in self._calls.values():
            if call.is_incomplete:
                call.looks += 1
                if call.looks > _LOOKS:
                    late.append(call)
        self._give_up(late)
        if self._calls:
            self.watch()

    def _give_up(self, late: list[Arriving]) -> None:
        for call in late[:TURN_ENDINGS]:
            if call.is_incomplete:
                call.give_up()
        if len(late) > TURN_ENDINGS:
            self._loop.call_soon(self._give_up, late[TURN_ENDINGS:])
