"""Hearing that something was written: sharded channels, on a connection of their own a node.

Messages may be lost, so who listens also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from server.storage.redis.connector import Entrance
from server.storage.redis.errors import StoreUnavailable, Timeouts
from server.storage.redis.lane import Replies, ReplyError, pack
from server.storage.redis.routes import slot_of

# What is told where any channel may have had a message that nobody heard.
EVERY_CHANNEL = ""
RETRY_SECONDS = 1.0
# Where a primary was away, all are listened on anew after this time.
LISTEN_AGAIN_SECONDS = 10.0
# Between two looks at a connection on which there is something to hear: who listens hears each
# channel once, however often it was told. The first message after silence is heard at once.
REST_SECONDS = 0.02

# Where nobody listened, the functions of the ledger tell nobody for 0.1 s; so who begins to listen
# looks again after that.
UNTOLD_SECONDS = 0.15

_log = logging.getLogger(__name__)

Heard = Callable[[str], None]


class WakeUps:
    """Listens on channels of one store; of a cluster, on each at the node that has its slot."""

    def __init__(self, url: str) -> None:
        self._entrance = Entrance(url, Timeouts())
        self._channels: set[str] = set()
        self._changed = asyncio.Event()

    def hear(self, channel: str) -> None:
        """Listen on one more channel."""
        self._channels.add(channel)
        self._changed.set()

    def forget(self, channel: str) -> None:
        """Listen on one channel less."""
        self._channels.discard(channel)
        self._changed.set()

    async def run(self, heard: Heard) -> None:
        """Listen until cancelled; `heard` is told each channel that had a message."""
        while True:
            try:
                await self._listen(heard)
            except StoreUnavailable as trouble:
                _log.debug("Listening again: %s", trouble)
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, heard: Heard) -> None:
        """Listen until something fails, on the nodes as they are now."""
        nodes: list[_Node] = []
        try:
            primaries = await self._entrance.primaries()
            for primary in primaries:
                # One that is away is heard of later, and keeps nobody from hearing the others.
                with contextlib.suppress(StoreUnavailable):
                    writer = await self._entrance.open_stream(primary.address)
                    nodes.append(_Node(writer, primary.slots, heard))
            if not nodes:
                raise StoreUnavailable("no primary lets anybody listen")
            again_seconds = None if len(nodes) == len(primaries) else LISTEN_AGAIN_SECONDS
            while not any(node.has_ended for node in nodes):
                self._changed.clear()
                for node in nodes:
                    node.tune(self._channels, self._changed.set)
                # What was written before listening began was not heard.
                heard(EVERY_CHANNEL)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(UNTOLD_SECONDS):
                        await self._changed.wait()
                    continue
                heard(EVERY_CHANNEL)
                try:
                    async with asyncio.timeout(again_seconds):
                        await self._changed.wait()
                except TimeoutError as late:
                    raise StoreUnavailable("a primary was away") from late
        finally:
            for node in nodes:
                node.close()


class _Node(asyncio.Protocol):
    """One connection to one node, taken over from `writer`, and the slots that it serves."""

    def __init__(
        self, writer: asyncio.StreamWriter, slots: tuple[range, ...], heard: Heard
    ) -> None:
        # A writer closes its socket when it is forgotten, so it is kept.
        self._writer = writer
        # A stream's transport reads as well, which its type does not say.
        self._transport: Any = writer.transport
        self._slots = slots
        self._heard = heard
        self._tell_end: Callable[[], None] | None = None
        self._messages = Replies()
        self._tuned: set[str] = set()
        self._resting: asyncio.TimerHandle | None = None
        self.has_ended = False
        self._transport.set_protocol(self)

    def tune(self, channels: set[str], tell_end: Callable[[], None]) -> None:
        """Listen on those of these channels that are this node's; `tell_end` when it is over."""
        self._tell_end = tell_end
        wanted = {channel for channel in channels if self._has(channel)}
        added, dropped = wanted - self._tuned, self._tuned - wanted
        self._tuned = wanted
        # One by one, as in a cluster one command must not name channels of two slots.
        for channel in added:
            self._transport.write(pack("SSUBSCRIBE", channel))
        for channel in dropped:
            self._transport.write(pack("SUNSUBSCRIBE", channel))

    def data_received(self, data: bytes) -> None:
        """Tell which channels had messages, and leave what follows to the socket for a while."""
        heard: set[bytes] = set()
        try:
            for message in self._messages.read(data):
                self._take(message, heard)
        except (StoreUnavailable, TypeError, ValueError) as error:
            _log.warning("The store sends what is no message: %s", error)
            self._end()
        for name in heard:
            self._heard(name.decode())
        if heard and not self.has_ended:
            self._transport.pause_reading()
            self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self._listen_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Listen anew, on the nodes as they are then."""
        _log.debug("A connection that listened ended: %s", exc)
        self._end()

    def close(self) -> None:
        """Close the connection."""
        if self._resting is not None:
            self._resting.cancel()
        self._transport.abort()

    def _listen_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _take(self, message: Any, heard: set[bytes]) -> None:
        if isinstance(message, ReplyError):
            # The slot is another node's by now, say.
            self._end()
            return
        kind, name, _ = message
        if kind == b"smessage":
            heard.add(name)
        elif kind == b"sunsubscribe" and name.decode() in self._tuned:
            # The node gave the slot away and told us to go.
            self._end()

    def _end(self) -> None:
        self.has_ended = True
        if self._tell_end is not None:
            self._tell_end()

    def _has(self, channel: str) -> bool:
        return any(slot_of(channel) in slots for slots in self._slots)
