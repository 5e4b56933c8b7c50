"""What of a server is still alive: its connections, and servicers that outlast their calls."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import grpc

from server.transport.options import TransportOptions
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


# Down to this part of the limit: who goes on sending shall not make us look at all again at once.
_RELIEVED = 7 / 8


class Holder(Protocol):
    """A call that keeps what nobody has read."""

    @property
    def buffered_bytes(self) -> int:
        """How much it keeps."""

    def make_room(self) -> None:
        """End."""


class Drainable(Protocol):
    """A connection, as its server ends it."""

    def drain(self) -> None:
        """Take no new calls, and close once the running ones are over."""

    def end(self) -> None:
        """End every call and close."""

    def holders(self) -> Iterable[Holder]:
        """List its calls that keep something."""


class Live:
    """Keeps count, so that a server that has stopped has left nothing behind.

    Attributes:
        options: The limits.
        connections: All that are open.
        calls: Those that have a servicer, or wait for one.
        partings: Ends the calls of connections that have ended.
        buffered_bytes: What their calls hold of requests that nobody has read yet.
        count_refused: Told why a connection is thrown out.
    """

    def __init__(
        self, options: TransportOptions, count_refused: Callable[[str], None] = lambda _why: None
    ) -> None:
        self.count_refused = count_refused
        self.calls = 0
        self.buffered_bytes = 0
        self.options = options
        self.connections: set[Drainable] = set()
        self._changed = asyncio.Event()
        self.partings = Partings(lambda stream: self.linger(stream.task), self._changed.set)
        self._lingering: set[asyncio.Task[Any]] = set()

    @property
    def is_full_of_calls(self) -> bool:
        """Tell whether no further call should be begun."""
        return self.calls >= self.options.max_calls

    def relieve(self) -> None:
        """End the calls that keep most of unread requests, where all of them keep too much."""
        most_bytes = self.options.max_buffered_bytes_in_all
        if self.buffered_bytes <= most_bytes:
            return
        holders = [call for one in self.connections for call in one.holders()]
        holders.sort(key=lambda call: call.buffered_bytes)
        while holders and self.buffered_bytes > most_bytes * _RELIEVED:
            holders.pop().make_room()

    def add(self, connection: Drainable) -> None:
        """Count a new connection."""
        self.connections.add(connection)

    def discard(self, connection: Drainable) -> None:
        """Forget a connection that is lost."""
        self.connections.discard(connection)
        self._changed.set()

    def linger(self, task: "asyncio.Task[None] | None") -> None:
        """Keep a servicer that is still cleaning up although its call is over."""
        if task is not None and not task.done():
            self._lingering.add(task)
            task.add_done_callback(self._settled)

    async def gone(self) -> None:
        """Wait until nothing is left."""
        while self.connections or self._lingering or self.partings:
            self._changed.clear()
            await self._changed.wait()

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._lingering.discard(task)
        self._changed.set()
