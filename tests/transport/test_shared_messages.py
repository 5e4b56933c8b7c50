"""Messages that many calls are written: the same to all, compressed once for those who read it."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from raw_http2 import RawClient, connected, framed, request_fields
from server.transport import TransportOptions, TransportServer, make_server
from serving import only_nghttp2

SERVICE, WATCH = "shared.Test", "/shared.Test/Watch"
SMALL, LARGE, OWN = b"small", b"large " * 1_000, b"own " * 1_000
READS_GZIP = ("grpc-accept-encoding", "identity,gzip")


def register(target: TransportServer) -> None:
    """Serve a method that writes the same two messages to every call, and one of the call's own."""
    shared = [target.share(SMALL), target.share(LARGE)]

    async def watch(_request: bytes, context: Any) -> None:
        target.expect_shared(context)
        for message in (*shared, OWN):
            await context.write(message)

    methods: dict[str, Any] = {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
    target.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    target.add_registered_method_handlers(SERVICE, methods)


@pytest.fixture
async def port(transport: Any) -> AsyncIterator[int]:
    inner = make_server(transport, TransportOptions())
    register(inner)
    port = inner.add_insecure_port("127.0.0.1:0")
    await inner.start()
    yield port
    await inner.stop(0)


async def test_every_call_reads_the_same(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_stream(WATCH)
        calls = [method(b"") for _ in range(3)]
        read = [[message async for message in call] for call in calls]

    assert read == [[SMALL, LARGE, OWN]] * 3


@only_nghttp2
async def test_a_large_one_comes_compressed_to_who_reads_that(port: int) -> None:
    async with connected(port) as raw:
        compressed = await ask(raw, 1, READS_GZIP)
        plain = await ask(raw, 3)

    assert compressed.blocks[0]["grpc-encoding"] == "gzip"
    assert "grpc-encoding" not in plain.blocks[0]
    messages = cut(compressed.data)
    assert [flag for flag, _ in messages] == [0, 1, 0]
    assert gzip.decompress(messages[1][1]) == LARGE
    assert [messages[0][1], messages[2][1]] == [SMALL, OWN]
    assert cut(plain.data) == [(0, SMALL), (0, LARGE), (0, OWN)]


async def ask(raw: RawClient, stream_id: int, *more: tuple[str, str]) -> Any:
    return await raw.ask(stream_id, request_fields(WATCH, *more), framed(b""))


def cut(data: bytes) -> list[tuple[int, bytes]]:
    messages = []
    while data:
        end = 5 + int.from_bytes(data[1:5], "big")
        messages.append((data[0], data[5:end]))
        data = data[end:]
    return messages
