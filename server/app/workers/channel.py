"""What a worker and its parent say to each other: lines of JSON over a pair of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

# A page of metrics has some tens of kilobytes.
_MAX_LINE_BYTES = 4 << 20

Labels = dict[str, str]


class Family(msgspec.Struct, array_like=True):
    """One metric and its samples: the name of each, its labels, its value."""

    name: str
    about: str
    kind: str
    samples: list[tuple[str, Labels, float]]


class Report(msgspec.Struct):
    """What a worker says of itself, first when it serves and then every second."""

    ledger_up: bool
    accounts_open: bool
    figures: list[Family]


class Others(msgspec.Struct):
    """What the parent says of all others, those that ended included, after each report."""

    ledger_up: bool
    accounts_open: bool
    figures: list[Family]


class Channel:
    """One end. A line that the other end has no room for is not sent: the next says more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        """Take one end of a pair of sockets."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_MAX_LINE_BYTES))

    def say(self, message: Report | Others) -> None:
        """Say something, unless the other end is gone or far behind."""
        if not self._writer.transport.get_write_buffer_size():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def reports(self) -> AsyncIterator[Report]:
        """Hear a worker, until it is gone."""
        async for line in self._lines():
            yield msgspec.json.decode(line, type=Report)

    async def others(self) -> AsyncIterator[Others]:
        """Hear the parent, until it is gone."""
        async for line in self._lines():
            yield msgspec.json.decode(line, type=Others)

    def close(self) -> None:
        """Say and hear no more."""
        self._writer.close()

    async def _lines(self) -> AsyncIterator[bytes]:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                if line.endswith(b"\n"):  # Else its end died with who said it.
                    yield line


@dataclass(slots=True)
class Shared:
    """Which worker this is, where it listens if not by itself, and what the others say."""

    number: int
    listener: socket.socket | None = None
    others: Others = field(default_factory=lambda: Others(True, True, []))
