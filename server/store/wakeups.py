"""Hearing that something was written: sharded channels, on a connection of their own a node.

Messages may be lost, so who listens also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from server.store.entrance import Entrance
from server.store.routes import slot_of
from server.store.trouble import StoreUnavailable, Timeouts

# What is told where any channel may have had a message that nobody heard.
EVERY_CHANNEL = ""
RETRY_SECONDS = 1.0

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
            except* (RedisError, OSError, StoreUnavailable, _Moved) as trouble:
                _log.debug("Listening again: %s", trouble.exceptions[0])
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, heard: Heard) -> None:
        """Listen until something fails, on the nodes as they are now."""
        nodes: list[_Node] = []
        try:
            for primary in await self._entrance.primaries():
                connection = await self._entrance.connect(primary.address)
                nodes.append(_Node(connection, primary.slots))
                _end_if_cancelled()
            async with asyncio.TaskGroup() as group:
                for node in nodes:
                    group.create_task(node.listen(heard))
                while True:
                    self._changed.clear()
                    for node in nodes:
                        await node.tune(self._channels)
                    # What was written before listening began was not heard.
                    heard(EVERY_CHANNEL)
                    await self._changed.wait()
        finally:
            for node in nodes:
                await node.close()


def _end_if_cancelled() -> None:
    """Raise `CancelledError` where one was lost.

    The asyncio.wait_for of Python 3.11, which redis-py connects and sends under, loses a cancel
    that comes in the same turn as its result.
    """
    task = asyncio.current_task()
    assert task is not None
    if task.cancelling():
        raise asyncio.CancelledError


class _Moved(Exception):
    """A channel went to another node."""


class _Node:
    """One connection to one node, and the slots that it serves."""

    def __init__(self, connection: AbstractConnection, slots: tuple[range, ...]) -> None:
        self._connection = connection
        self._slots = slots
        self._tuned: set[str] = set()

    async def tune(self, channels: set[str]) -> None:
        """Listen on those of these channels that are this node's, and on no others."""
        wanted = {channel for channel in channels if self._has(channel)}
        added, dropped = wanted - self._tuned, self._tuned - wanted
        self._tuned = wanted
        # One by one, as in a cluster one command must not name channels of two slots.
        for channel in added:
            await self._send("SSUBSCRIBE", channel)
        for channel in dropped:
            await self._send("SUNSUBSCRIBE", channel)

    async def listen(self, heard: Heard) -> None:
        """Tell what is heard, until the connection fails."""
        while True:
            kind, name, _ = await self._read()
            channel = name.decode()
            if kind == b"smessage":
                heard(channel)
            elif kind == b"sunsubscribe" and channel in self._tuned:
                # The node gave the slot away and told us to go.
                raise _Moved

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect(nowait=True)

    async def _send(self, *parts: str) -> None:
        await self._connection.send_command(*parts)
        _end_if_cancelled()

    async def _read(self) -> Any:
        # A quiet channel is none that hangs: no time is too long.
        return await self._connection.read_response(timeout=math.inf)

    def _has(self, channel: str) -> bool:
        return any(slot_of(channel) in slots for slots in self._slots)
