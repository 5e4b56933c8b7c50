"""The connections of a client: several to an engine of several processes, a call's always the same.

The system spreads connections over the engine's processes, not calls. So as many connections are
opened as the engine recommends, and calls are spread over them by a hash of their id.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from callgate.errors import ClientMisused, error_of
from callgate.opened import NOT_OPEN, OwnProcess

MAX_CONNECTIONS = 16
PACKAGE = "callgate.v1"

OpenChannel = Callable[[], grpc.aio.Channel]
Metadata = tuple[tuple[str, str], ...]


class Connection:
    """One connection, with the methods that were asked on it."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata = ()) -> None:
        self.channel = channel
        self.metadata = metadata
        self._methods: dict[str, Any] = {}
        self._process = OwnProcess()

    async def ask(
        self, method: str, question: Message, *, answer_type: type[Message], seconds: float
    ) -> Any:
        """Ask once. Raises a `CallgateError`."""
        asking = self._methods.get(method)
        if asking is None:
            asking = self.channel.unary_unary(
                f"/{PACKAGE}.{method}",
                request_serializer=type(question).SerializeToString,
                response_deserializer=answer_type.FromString,
            )
            self._methods[method] = asking
        self._process.check()
        try:
            return await asking(question, timeout=max(seconds, 0.001), metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except grpc.aio.UsageError as error:
            # The channel was closed.
            raise ClientMisused(NOT_OPEN) from error


class Connections:
    """The connections to one engine. It begins with one."""

    def __init__(self, open_channel: OpenChannel, metadata: Metadata = ()) -> None:
        self._open_channel = open_channel
        self._metadata = metadata
        self._connections = [Connection(open_channel(), metadata)]

    def pick(self, key: str = "", attempt: int = 1) -> Connection:
        """Return the connection of a call; after a failed try, the one beside it."""
        place = zlib.crc32(key.encode()) + attempt - 1
        return self._connections[place % len(self._connections)]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._connections)

    def fit(self, recommended: int) -> None:
        """Open as many as the engine recommends, within our own limit; what is open stays."""
        while len(self._connections) < min(recommended, MAX_CONNECTIONS):
            self._connections.append(Connection(self._open_channel(), self._metadata))

    async def close(self) -> None:
        """Close all; questions under way end without an answer."""
        await asyncio.gather(*(one.channel.close() for one in self._connections))
