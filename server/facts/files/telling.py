"""What a process that works on a file tells who asked: a line of JSON for each thing."""

from __future__ import annotations

import sys
from typing import Final

import msgspec

# Answering calls comes first wherever both want the same processor.
NICENESS: Final = 10


class Progressed(msgspec.Struct, frozen=True, tag="progress"):
    """How far it is."""

    stage: str
    done: int
    total: int


class Problem(msgspec.Struct, frozen=True, tag="problem"):
    """A mistake in the file."""

    line: int
    field: str
    text: str


class Invalid(msgspec.Struct, frozen=True, tag="invalid"):
    """The file has mistakes, and nothing was changed."""

    first: str
    count: int


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """Nothing was changed: "forbidden", "changed", "read-only", or why the archive is not there."""

    why: str


def tell(message: msgspec.Struct) -> None:
    """Tell who asked."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()
