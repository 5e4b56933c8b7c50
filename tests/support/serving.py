"""A server of either transport for one test, and the proof that it left nothing behind."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest

from interop import InteropServicer, stubs
from server.transport import TransportName, TransportOptions, TransportServer, make_server
from server.transport.stream import Stream

# Each channel has a connection of its own: grpcio would share one between channels that look alike.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

# For what grpcio does otherwise, or cannot be made to show; `docs/transport.md` lists it.
only_nghttp2 = pytest.mark.parametrize("transport", ["nghttp2"], indirect=True)


@dataclass
class Served:
    """One running server.

    Attributes:
        target: Where clients find it.
        port: The same as a number; 1 for a unix socket.
        inner: The server itself.
        servicer: What answers.
    """

    target: str
    port: int
    inner: TransportServer
    servicer: InteropServicer
    _channels: list[Any] = field(default_factory=list)

    def channel(self, *options: tuple[str, Any]) -> Any:
        """Open an asynchronous channel of its own; it is closed after the test."""
        channel = grpc.aio.insecure_channel(self.target, options=(*OWN_CONNECTION, *options))
        self._channels.append(channel)
        return channel

    def stub(self, *options: tuple[str, Any]) -> Any:
        """Open a channel and return the stub of the test service on it."""
        return stubs.TestServiceStub(self.channel(*options))

    async def close_channels(self) -> None:
        """Close what was opened here."""
        for channel in self._channels:
            await channel.close()


@contextlib.asynccontextmanager
async def serving(
    transport: TransportName,
    count_refused: Callable[[str], None] = lambda _why: None,
    *,
    address: str = "127.0.0.1:0",
    **limits: Any,
) -> AsyncIterator[Served]:
    """Serve the test service with *limits*; afterwards nothing may be left of it."""
    inner = make_server(transport, TransportOptions(**limits), count_refused)
    servicer = InteropServicer()
    stubs.add_TestServiceServicer_to_server(servicer, inner)
    port = inner.add_insecure_port(address)
    await inner.start()
    target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    served = Served(target, port, inner, servicer)
    try:
        yield served
    finally:
        await served.close_channels()
        await inner.stop(0)
    assert_nothing_left()


def assert_nothing_left() -> None:
    """No task of a server and no open stream may outlive it.

    Ended ones may: a log record of an exception holds the frames it passed through.
    """
    tasks = [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and "server/transport" in str(task.get_coro())
    ]
    assert tasks == []
    things = gc.get_objects()
    assert [thing for thing in things if isinstance(thing, Stream) and thing.code is None] == []


async def eventually(condition: Any, within_seconds: float = 5.0) -> None:
    """Wait until *condition* holds, looking again after each turn of the loop."""
    deadline = asyncio.get_running_loop().time() + within_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen"
        await asyncio.sleep(0.005)
