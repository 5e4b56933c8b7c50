"""What a client sends: read, fed to the engine and reacted to within the budget of a turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from server.transport.nghttp2 import Event, NGH2Error
from server.transport.options import KIBIBYTE
from server.transport.turns import CALL_UNITS, TURN_BYTES, TURN_EVENTS, Turns
from server.transport.writer import Wire

# What the engine is fed at once. Small, for of one piece all frames are read before any is counted.
_PIECE_BYTES = 4 * KIBIBYTE
# A client with more than this waiting is read from no further.
_FULL_BYTES = 64 * KIBIBYTE

Reactions = Mapping[type[Event], Callable[[Any], None]]


class Intake:
    """Acts on what one client has sent: at once while that is little, else in its turns.

    Attributes:
        calls_left: How many calls may still begin in this turn.
        units: What was done for the client lately, as `Turns` counts it.
        units_since: When that count began.
    """

    def __init__(
        self,
        wire: Wire,
        turns: Turns,
        reactions: Reactions,
        *,
        on_broken: Callable[[NGH2Error, bytes], None],
        on_ended: Callable[[], None],
    ) -> None:
        """React to events by their type; *on_broken* gets what the engine could not go on with.

        *on_ended* is called when the engine wants no more.
        """
        self.calls_left = 0
        self.units = 0
        self.units_since = 0.0
        self._wire = wire
        self._turns = turns
        self._reactions = reactions
        self._on_broken = on_broken
        self._on_ended = on_ended
        wire.on_events = self.take_events
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._events: deque[Event] = deque()
        self._is_in_line = False
        self._reads = True
        self._is_over = False

    def arrived(self, data: bytes) -> None:
        """Act on what the client sent, or let it wait for a turn."""
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._is_in_line:
            self._stop_reading_if_full()
        elif self._turns.has_room:
            self.take_turn()
        else:
            self._wait()

    def take_turn(self) -> None:
        """Act on what has arrived, within the budget of one turn; wait for the next with more."""
        self._is_in_line = False
        calls = self.calls_left = self._turns.calls
        bytes_left, events_left = TURN_BYTES, TURN_EVENTS
        if self._events:
            events, self._events = self._events, deque()
            self._react(events)
        while self._pieces and self.calls_left > 0 and bytes_left > 0 and events_left > 0:
            piece = self._pieces.popleft()
            if len(piece) > _PIECE_BYTES:
                piece = self._cut(piece)
            self._waiting_bytes -= len(piece)
            bytes_left -= len(piece)
            events_left -= self._feed(piece)
        units = TURN_EVENTS - events_left + CALL_UNITS * (calls - self.calls_left)
        self._turns.spend(self, units)
        if self._pieces or self._events:
            self._wait()
        elif not (self._reads or self._is_over):
            self._reads = True
            self._wire.resume_reading()

    def take_events(self, events: list[Event]) -> None:
        """React to what came of sending, behind what waits. No call begins by that."""
        if self._events:
            self._events.extend(events)
        else:
            self.calls_left += 1
            self._react(events)
            self.calls_left -= 1
            if self._events and not self._is_in_line:
                self._wait()

    def stop(self) -> None:
        """Act on nothing any more."""
        self._is_over = True
        self.calls_left = 0
        self._reactions = {}  # They keep the connection.
        self._on_broken = self._on_ended = _nothing
        self._pieces.clear()
        self._events.clear()
        if self._is_in_line:
            self._is_in_line = False
            self._turns.leave(self)

    def _cut(self, piece: bytes) -> bytes:
        """Put back all of a piece but its begin."""
        starts = reversed(range(_PIECE_BYTES, len(piece), _PIECE_BYTES))
        self._pieces.extendleft([piece[at : at + _PIECE_BYTES] for at in starts])
        return piece[:_PIECE_BYTES]

    def _feed(self, piece: bytes) -> int:
        """Let the engine read a piece, and react; return how many events came of it."""
        engine = self._wire.engine
        try:
            engine.receive_data(piece)
        except NGH2Error as error:
            self._on_broken(error, piece)
            return 0
        if not engine.want_read:
            self._on_ended()
            return 0
        events = engine.events()
        self._react(events)
        # Where nothing is to be sent, what was sent before may still have left room by a reset.
        if engine.want_write or self._wire.is_behind:
            self._wire.flush_soon()
        return len(events)

    def _react(self, events: Iterable[Event]) -> None:
        """React to events in their order, until a turn's calls are used; the others wait."""
        reactions, in_order = self._reactions, iter(events)
        for event in in_order:
            react = reactions.get(type(event))
            if react is not None:
                react(event)
                if self.calls_left <= 0:
                    break
        if not self._is_over:
            self._events.extend(in_order)

    def _wait(self) -> None:
        if not self._is_over:
            self._is_in_line = True
            self._turns.join(self)
            self._stop_reading_if_full()

    def _stop_reading_if_full(self) -> None:
        if self._reads and self._waiting_bytes > _FULL_BYTES:
            self._reads = False
            self._wire.pause_reading()


def _nothing(*_: object) -> None:
    pass
