"""The ledger's FCALL alone, pipelined straight at the store: the limit of one shard."""

from __future__ import annotations

import itertools
import socket
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis

from bench.facts import Shape
from bench.learned import Learned
from bench.questions import Asked, questions

BATCH = 64
_RECEIVE_BYTES = 1 << 20
_US_PER_SECOND = 1e6
_MS_PER_SECOND = 1_000
# Three commands, as little as a script can do that reads, writes and notes: what the ledger's
# function is compared with.
SMALL_LIBRARY = """#!lua name=callgate_bench
redis.register_function('callgate_bench_small', function(keys, args)
  local was = redis.call('HGET', keys[1], 'n')
  redis.call('HSET', keys[1], 'n', args[1])
  redis.call('PEXPIRE', keys[1], 60000)
  return was
end)
"""


class StoreRefusedIt(Exception):
    """The store answered something else than a decision; the text is its answer."""


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """How many a second, and what one costs the store, by its own count of CPU time."""

    calls_per_second: float
    cpu_us_per_call: float


class Straight:
    """One connection to a store, for whole pipelines."""

    def __init__(self, store: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(store))
        self._reader = hiredis.Reader()
        self.command("FUNCTION", "LOAD", "REPLACE", SMALL_LIBRARY)

    def command(self, *words: str | bytes | int) -> Any:
        """Run one command."""
        return self.pipeline([_packed(words)])[0]

    def pipeline(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands in batches, each while the last is worked on; return all replies."""
        replies: list[Any] = []
        for at in range(0, len(commands), BATCH):
            self._socket.sendall(b"".join(commands[at : at + BATCH]))
            # The last batch, while the store works on this one.
            self._read(replies, at)
        self._read(replies, len(commands))
        return replies

    def now_ms(self) -> int:
        """Read the store's clock."""
        seconds, micros = self.command("TIME")
        return int(seconds) * _MS_PER_SECOND + int(micros) // 1_000

    def measured(self, commands: Sequence[bytes]) -> tuple[StoreFigures, list[Any]]:
        """Run commands and tell what they cost."""
        before, started = self._cpu_seconds(), time.perf_counter()
        replies = self.pipeline(commands)
        seconds = time.perf_counter() - started
        used_us = (self._cpu_seconds() - before) * _US_PER_SECOND
        return StoreFigures(len(commands) / seconds, used_us / len(commands)), replies

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _cpu_seconds(self) -> float:
        info = self._info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def _info(self, section: str) -> dict[str, str]:
        text = self.command("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def _read(self, replies: list[Any], wanted: int) -> None:
        while len(replies) < wanted:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(_RECEIVE_BYTES))
            elif isinstance(reply, hiredis.ReplyError):
                raise StoreRefusedIt(str(reply))
            else:
                replies.append(reply)


def reserve(
    straight: Straight, learned: Learned, shape: Shape, *, seed: str, calls: int
) -> StoreFigures:
    """Reserve for new calls; each has to be decided afresh. Raises `StoreRefusedIt`."""
    asked = list(itertools.islice(questions(shape, seed), calls))
    now_ms = straight.now_ms()
    commands = [_packed(learned.command(one, now_ms)) for one in asked]
    figures, replies = straight.measured(commands)
    for one, reply in zip(asked, replies, strict=True):
        _check(one, reply)
    return figures


def fill(straight: Straight, learned: Learned, shape: Shape, *, running: int) -> None:
    """Let so many calls run. Raises `StoreRefusedIt`."""
    admitted = (one for one in questions(shape, "fill") if not one.is_refused)
    asked = list(itertools.islice(admitted, running))
    now_ms = straight.now_ms()
    for one, reply in zip(
        asked,
        straight.pipeline([_packed(learned.command(one, now_ms)) for one in asked]),
        strict=True,
    ):
        _check(one, reply)


def bytes_by_kind(straight: Straight) -> Counter[str]:
    """Say how many bytes the store uses for its keys: accounts, expiry, journal, call, other."""
    names: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, found = straight.command("SCAN", cursor, "MATCH", "{p*", "COUNT", 1_000)
        names += found
        if cursor == b"0":
            break
    sizes = straight.pipeline([_packed(("MEMORY", "USAGE", name, "SAMPLES", 0)) for name in names])
    total: Counter[str] = Counter()
    for name, size in zip(names, sizes, strict=True):
        total[name.decode().split(":")[1]] += size
    return total


def small(straight: Straight, *, seed: str, calls: int) -> StoreFigures:
    """Run the small function as often, on a new key each time."""
    commands = [
        _packed(("FCALL", "callgate_bench_small", 1, f"bench:{seed}:{at}", at))
        for at in range(calls)
    ]
    return straight.measured(commands)[0]


def median(figures: Sequence[StoreFigures]) -> StoreFigures:
    """Take the median of each figure."""
    return StoreFigures(
        statistics.median(one.calls_per_second for one in figures),
        statistics.median(one.cpu_us_per_call for one in figures),
    )


def _check(asked: Asked, reply: Any) -> None:
    answer = reply.split(b"\x1c") if isinstance(reply, bytes) else ()
    state = answer[4] if answer and answer[0] == b"OK" else b""
    if state != (b"refused" if asked.is_refused else b"live"):
        raise StoreRefusedIt(f"{asked} was answered {reply}")


def _packed(words: Sequence[str | bytes | int]) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type] # Upstream.
    return packed
