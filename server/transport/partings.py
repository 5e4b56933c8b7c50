"""Calls whose connection has ended: they are ended a few in each turn of the event loop.

Ending a call cancels its servicer, which then cleans up. A connection may leave thousands behind;
ended all at once they would hold up everybody else for as long as that takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import grpc

from server.transport.stream import Stream

# Calls that are ended in one turn of the loop, whatever number of connections left them.
TURN_ENDINGS = 64


class Partings:
    """Ends what is left of connections."""

    def __init__(self, ended: Callable[[Stream], None], over: Callable[[], None]) -> None:
        """*ended* is told each call that was ended, *over* that none is left."""
        self._ended = ended
        self._over = over
        self._left: deque[tuple[Stream, grpc.StatusCode]] = deque()
        self._is_due = False

    def __len__(self) -> int:
        """How many calls are still to be ended."""
        return len(self._left)

    def take(self, streams: Iterable[Stream], code: grpc.StatusCode) -> None:
        """End these calls, the first of them at once unless others are before them."""
        self._left.extend((stream, code) for stream in streams)
        if not self._is_due:
            self._end_some()

    def _end_some(self) -> None:
        for _ in range(min(TURN_ENDINGS, len(self._left))):
            stream, code = self._left.popleft()
            stream.abandon(code)
            self._ended(stream)
        self._is_due = bool(self._left)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._end_some)
        else:
            self._over()
