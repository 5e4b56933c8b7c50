"""The hot lane: one connection for all who ask, commands sent in one write a turn of the loop.

This is the one module that speaks RESP by hand, over hiredis. Replies come in the order of the
commands, so that a place in a queue is all that joins them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from server.storage.redis.errors import StoreUnavailable

# So many commands may wait for their replies; what comes beyond them is told so at once.
IN_FLIGHT_LIMIT = 10_000
FULL = f"{IN_FLIGHT_LIMIT} commands wait for the store already"

Argument = str | bytes | int
# What the server answers: bytes, whole numbers, None and lists of these, or a `ReplyError`.
Reply = Any
ReplyError = hiredis.ReplyError
# Called with a reply, or with a `StoreUnavailable` in its place.
Listener = Callable[[Reply], None]

# A look at the oldest that comes this much too late is repeated before anything is held late.
_LATE_SECONDS = 0.05

_NO_REPLY_YET = object()


def pack(*parts: Argument) -> bytes:
    """Write a command as it is sent."""
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type] # Its stub means one part.
    return packed


class Template:
    """A command of which most is the same each time; what differs is filled in.

    `None` among its parts stands for a place. To fill one costs a third of writing the command.
    """

    def __init__(self, *parts: Argument | None) -> None:
        pieces = [b"*%d\r\n" % len(parts)]
        for part in parts:
            if part is None:
                pieces.append(b"$%d\r\n%b\r\n")
            else:
                text = part if isinstance(part, bytes) else str(part).encode()
                pieces.append(b"$%d\r\n%b\r\n" % (len(text), text.replace(b"%", b"%%")))
        self._text = b"".join(pieces)

    def fill(self, *sized: int | bytes) -> bytes:
        """Write the command with these in its places, in their order: of each its length first."""
        return self._text % sized


_ASKING = pack("ASKING")


class Replies:
    """Cuts what a server sends into replies."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_NO_REPLY_YET)

    def read(self, data: bytes) -> list[Reply]:
        """Give the replies that end with these bytes.

        Raises `StoreUnavailable` where it is no protocol that anybody speaks.
        """
        self._reader.feed(data)
        replies = []
        try:
            while (reply := self._reader.gets()) is not _NO_REPLY_YET:
                replies.append(reply)
        except hiredis.ProtocolError as error:
            raise StoreUnavailable(f"the store does not speak its protocol: {error}") from error
        return replies


class Lane(asyncio.Protocol):
    """A connection that is ready for commands, taken over from `writer`.

    It ends when the server closes it, when a reply is more than `reply_seconds` late, or by
    `close`; whoever waits then is told by `StoreUnavailable`, after `on_end`.

    Attributes:
        waiting: Who is told each reply, and since when it is waited for. A cancelled future keeps
            its place: its reply is read, and dropped.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, reply_seconds: float, on_end: Callable[[Lane], None]
    ) -> None:
        # A writer closes its socket when it is forgotten, so it is kept.
        self._writer = writer
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._reply_seconds = reply_seconds
        self._replies = Replies()
        self._on_end = on_end
        self.waiting: deque[tuple[asyncio.Future[Reply] | Listener, float]] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._watch_due = 0.0
        self._is_retired = False
        self.is_open = True
        # When the server was heard of last.
        self._heard_at = self._loop.time()
        self._transport.set_protocol(self)

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command; the result is its reply, also where that is a `ReplyError`.

        Raises `StoreUnavailable` where the lane has ended or is full.
        """
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self.tell(command, reply)
        return reply

    def tell(self, command: bytes, whom: asyncio.Future[Reply] | Listener) -> None:
        """Send a packed command; a listener is called with its reply, at once when that is there.

        Or with a `StoreUnavailable`, where there will be none. It must not raise. Raises
        `StoreUnavailable` as `send` does.
        """
        if not self.is_open:
            raise StoreUnavailable("the connection was closed")
        if len(self.waiting) >= IN_FLIGHT_LIMIT:
            raise StoreUnavailable(FULL)
        self.waiting.append((whom, self._loop.time()))
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append(command)
        if self._watch is None:
            self._watch_until(self._loop.time() + self._reply_seconds)

    def silent_seconds(self) -> float:
        """Say for how long nothing was heard of the server."""
        return self._loop.time() - self._heard_at

    def oldest_seconds(self) -> float:
        """Say how long the oldest of them has waited; 0 where none does."""
        return self._loop.time() - self.waiting[0][1] if self.waiting else 0.0

    def send_asking(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a command to a node that is about to be given its slot."""
        if len(self.waiting) + 1 >= IN_FLIGHT_LIMIT:
            # Without its command the word would speak for somebody else's.
            raise StoreUnavailable(FULL)
        self.send(_ASKING).cancel()
        return self.send(command)

    def retire(self) -> None:
        """End when what was sent is answered; nothing more may be sent."""
        self._is_retired = True
        if not self.waiting:
            self.close("the connection was replaced")

    def close(self, why: str) -> None:
        """End now."""
        self._transport.abort()
        self._end(why)

    def data_received(self, data: bytes) -> None:
        """Give each reply to who is first in the queue."""
        self._heard_at = self._loop.time()
        try:
            replies = self._replies.read(data)
        except StoreUnavailable as trouble:
            self.close(str(trouble))
            return
        for reply in replies:
            if not self.waiting:
                self.close("the store answered what nobody asked")
                return
            whom, _ = self.waiting.popleft()
            if not isinstance(whom, asyncio.Future):
                whom(reply)
            elif not whom.done():
                whom.set_result(reply)
        if self._is_retired and not self.waiting:
            self.close("the connection was replaced")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        self._end(str(exc) if exc else "the store closed the connection")

    def _write(self) -> None:
        # What the socket does not take waits in memory; the limit on the queue limits that too.
        if self.is_open:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look_at_oldest(self) -> None:
        self._watch = None
        if not self.waiting:
            return
        due, now = self.waiting[0][1] + self._reply_seconds, self._loop.time()
        if due <= now and now - self._watch_due > _LATE_SECONDS:
            # This process was held up; what the store answered meanwhile is yet to be read.
            self._watch_until(now + _LATE_SECONDS)
            return
        if due <= now:
            self.close(f"the store did not answer within {self._reply_seconds:g} s")
            return
        self._watch_until(due)

    def _watch_until(self, due: float) -> None:
        self._watch_due = due
        self._watch = self._loop.call_at(due, self._look_at_oldest)

    def _end(self, why: str) -> None:
        self.is_open = False
        self._on_end(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self.waiting:
            whom, _ = self.waiting.popleft()
            if not isinstance(whom, asyncio.Future):
                whom(StoreUnavailable(why))
            elif not whom.done():
                whom.set_exception(StoreUnavailable(why))
