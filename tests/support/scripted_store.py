"""A server that says what a test tells it to, for what no real one can be made to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hiredis

ROLE = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

# From the command to the bytes of its reply.
Script = Callable[[list[bytes]], bytes]


@asynccontextmanager
async def scripted_store(script: Script) -> AsyncIterator[str]:
    """Serve on a port of the loopback; give the URL. Greetings are answered as by a primary."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        commands = hiredis.Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while command := commands.gets():
                writer.write(_greeting(command) or script(command))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        # Those who read hear of it in the next turn, and end.
        await asyncio.sleep(0)


def _greeting(command: list[bytes]) -> bytes:
    return {b"CLIENT": b"+OK\r\n", b"ROLE": ROLE}.get(command[0], b"")
