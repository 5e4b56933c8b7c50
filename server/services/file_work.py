"""A file that a caller streams, worked on in a process of its own that tells how it goes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import grpc.aio

from server.calls.messages.fields import InvalidRequest
from server.facts.files.table import MAX_FILE_BYTES
from server.transport.contract import Context

MAX_CHUNK_BYTES: Final = 32 * 1024
# A message of the child is a line.
_MAX_LINE_BYTES: Final = 1024 * 1024
_MAX_SHOWN: Final = 2_000
_TREE: Final = Path(__file__).parents[2]

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class FileWork(Generic[Message]):
    """What a child is started for: its module, the work as JSON, and how its lines are read."""

    module: str
    work: bytes
    decode: Callable[[bytes], Message]


async def work_on_file(asked: FileWork[Message], context: Context) -> AsyncGenerator[Message, None]:
    """Hand the rest of a stream to a child and yield what it tells, until it ends.

    Close it, and the child ends with it. Raises `InvalidRequest`; `RuntimeError` where the child
    broke.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", asked.module),
        cwd=_TREE,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_MAX_LINE_BYTES,
    )
    feeding = asyncio.create_task(_feed(child, asked.work, context))
    try:
        async for line in _lines(child, feeding):
            yield asked.decode(line)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _feed(child: Process, work: bytes, context: Context) -> None:
    """Hand the work and the file over. Raises `InvalidRequest`."""
    assert child.stdin is not None
    child.stdin.write(work + b"\n")
    total = 0
    while True:
        message: Any = await context.read()
        if message is grpc.aio.EOF:
            break
        if not message.HasField("chunk") or len(message.chunk) > MAX_CHUNK_BYTES:
            raise InvalidRequest("chunk", f"at most {MAX_CHUNK_BYTES} bytes in each later message")
        total += len(message.chunk)
        if total > MAX_FILE_BYTES:
            raise InvalidRequest("chunk", f"no more: a file has at most {MAX_FILE_BYTES} bytes")
        child.stdin.write(message.chunk)
        await child.stdin.drain()
    child.stdin.close()


async def _lines(child: Process, feeding: asyncio.Task[None]) -> AsyncIterator[bytes]:
    """Yield what the child tells. Raises why it could not do its work, or was not fed."""
    assert child.stdout is not None
    assert child.stderr is not None
    while True:
        reading = asyncio.create_task(child.stdout.readline())
        if not feeding.done():
            await asyncio.wait({reading, feeding}, return_when=asyncio.FIRST_COMPLETED)
        if feeding.done() and not reading.done():
            _raise_failure(feeding, reading)
        line = await reading
        if not line:
            break
        yield line
    if await child.wait() != 0:
        told = (await child.stderr.read()).decode("utf-8", "replace").strip()
        raise RuntimeError(f"the working process broke: {told[-_MAX_SHOWN:]}")


def _raise_failure(feeding: asyncio.Task[None], reading: asyncio.Task[bytes]) -> None:
    error = feeding.exception()
    if error is not None and not isinstance(error, ConnectionError):
        reading.cancel()
        raise error
