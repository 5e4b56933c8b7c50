"""Fair turns: whatever one client sends, the others are served beside it.

What arrives is acted on at once as long as little arrives; what goes beyond the budget of a turn
waits in a line. Each turn of the event loop serves that line for a short time, who had least done
for it lately before the others.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Protocol

from server.transport.options import KIBIBYTE

# What is done for one connection in one turn, at the most; what is left waits for its next.
TURN_BYTES = 16 * KIBIBYTE
TURN_EVENTS = 512
TURN_CALLS = 64
# What is done in one turn of the loop, for all connections, before all that arrives has to wait.
# Counting begins anew in the turn after half of it was done, not in each: that costs a callback.
UNITS_AT_ONCE = 2_048
CALL_UNITS = 16
# How long the line is served in one turn of the loop; at least one turn is given.
LINE_SECONDS = 0.002
# A turn of the loop that takes longer is too long: the calls that were begun are costly ones, and
# fewer are begun in the next.
LONG_SECONDS = 0.01
# How long it is remembered what was done for a connection.
MEMORY_SECONDS = 1.0


class InLine(Protocol):
    """A connection with something to do.

    Attributes:
        units: What was done for it lately.
        units_since: When that was first counted, in the loop's time.
    """

    units: int
    units_since: float

    def take_turn(self) -> None:
        """Act on some of what has arrived; join the line again if there is more."""


class Turns:
    """The line of one process, and how much of a turn is left.

    Attributes:
        calls: How many calls one connection may begin in one turn, as things are.
        has_room: Whether what arrives now may be acted on at once.
    """

    def __init__(self) -> None:
        self.calls = TURN_CALLS
        self.has_room = True
        self._loop = asyncio.get_running_loop()
        self._line: list[InLine] = []
        self._is_round_due = False
        self._spent = 0
        self._round_at: float | None = None

    def spend(self, one: InLine, units: int) -> None:
        """Note what was done for a connection."""
        before, self._spent = self._spent, self._spent + units
        if before < UNITS_AT_ONCE // 2 <= self._spent:
            self._loop.call_soon(self._begin_anew)
        self.has_room = self._spent < UNITS_AT_ONCE
        now = self._loop.time()
        if now - one.units_since > MEMORY_SECONDS:
            one.units_since, one.units = now, 0
        one.units += units

    def join(self, one: InLine) -> None:
        """Give a connection its turn later."""
        self._line.append(one)
        self._call_round()

    def leave(self, one: InLine) -> None:
        """Give a connection no turn any more."""
        if one in self._line:
            self._line.remove(one)

    def _begin_anew(self) -> None:
        self._spent = 0
        self.has_room = True

    def _round(self) -> None:
        """Serve the line for a while."""
        self._is_round_due = False
        began = perf_counter()
        self._adapt(began)
        line, self._line = self._line, []
        line.sort(key=_units, reverse=True)
        while line:
            line.pop().take_turn()
            if perf_counter() - began > LINE_SECONDS:
                break
        self._line += line
        self._round_at = began if self._line else None
        if self._line:
            self._call_round()

    def _call_round(self) -> None:
        if not self._is_round_due:
            self._is_round_due = True
            self._loop.call_soon(self._round)

    def _adapt(self, now: float) -> None:
        """Begin fewer calls a turn where the turns of the loop are long."""
        if self._round_at is None:
            return
        if now - self._round_at > LONG_SECONDS:
            self.calls = max(1, self.calls // 2)
        elif self.calls < TURN_CALLS:
            self.calls += 1


def _units(one: InLine) -> int:
    return one.units
