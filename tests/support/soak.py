"""Calls without end, begun and ended, and what server, keeper and store hold of them meanwhile.

What is over is kept for a quarter of an hour. So that a run of any length shows whether anything is
kept for longer, that quarter is let pass for the store at each look: what has an end ends at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.facts import Shape, tenant_id, write_directory
from bench.http2 import Where
from bench.machine import resident_bytes
from engines import Engine, OwnRedis, running_engine, wait_until
from forks import run_command
from server.ledger.keys import partition_keys, partition_of
from soak_bridge import SoakBridge

_MEBIBYTE = 1 << 20
_DRAIN_SECONDS = 600.0
_SHAPE = Shape()
# Growth that is none: what Python and the allocators keep at hand, and one more page of a table.
MOST_GROWTH, MOST_GROWTH_MEBIBYTES = 1.15, 16.0
_LET_GO = """
local cursor, gone = ARGV[1], 0
-- Not the keeper's lease, which is of no partition.
local found = redis.call('SCAN', cursor, 'MATCH', '{p*', 'COUNT', 1000)
for _, key in ipairs(found[2]) do
  if redis.call('PTTL', key) > 0 then gone = gone + redis.call('PEXPIRE', key, 1) end
end
return {found[1], gone}
"""


class Grew(AssertionError):
    """Something holds more than it did, or did not keep what it should have."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is held after so many calls, in mebibytes."""

    calls: int
    calls_per_second: float
    server_mebibytes: float
    keeper_mebibytes: float
    # With all that is over, and without it.
    store_full_mebibytes: float
    store_mebibytes: float

    def __str__(self) -> str:
        return (
            f"{self.calls:>11,} calls, {self.calls_per_second:>6,.0f} a second; MiB: "
            f"server {self.server_mebibytes:.0f}, keeper {self.keeper_mebibytes:.0f}, "
            f"store {self.store_full_mebibytes:.1f}, "
            f"without what is over {self.store_mebibytes:.1f}"
        )


def soak(
    folder: Path, calls: int, *, looks: int, tell: Callable[[str], object], shape: Shape = _SHAPE
) -> str:
    """Play so many calls of tenants of a shape, looking so often; tell each look. Raises `Grew`."""
    redis = OwnRedis(folder / "redis")
    redis.start()
    directory = write_directory(folder / "directory", shape)
    archive = folder / "archive.sqlite"
    settings = {
        "redis_url": redis.url,
        "directory_folder": directory,
        "archive_url": f"sqlite:///{archive}",
        "deadline_ms": 10_000,
        "records_path": "/dev/null",
    }
    try:
        with running_engine(folder / "engine", run_command, **settings) as engine:
            wait_until(lambda: engine.health("callgate.ledger") == "SERVING")
            taken = _play(engine, redis, _parts(calls, looks), shape=shape, tell=tell)
    finally:
        redis.kill()
    _require_archived(archive, calls)
    _require_flat(taken)
    return f"{calls:,} calls begun, ended and archived once each; memory is flat"


def _parts(calls: int, looks: int) -> list[int]:
    ends = [calls * number // looks for number in range(looks + 1)]
    return [end - begin for begin, end in pairwise(ends)]


def _play(
    engine: Engine,
    redis: OwnRedis,
    parts: list[int],
    *,
    shape: Shape,
    tell: Callable[[str], object],
) -> list[Look]:
    host, _, port = engine.address.rpartition(":")
    taken: list[Look] = []
    played = 0
    for number, part in enumerate(parts, 1):
        # Each time another one: while it is looked, a connection may be silent for too long.
        bridge = SoakBridge(Where(host, int(port)), shape, seed=number)
        started = time.monotonic()
        bridge.play(part)
        seconds = time.monotonic() - started
        bridge.close()
        played += part
        _wait_for_keeper(redis, shape)
        look = _look(engine, redis, played, part / seconds)
        taken.append(look)
        tell(str(look))
    return taken


def _look(engine: Engine, redis: OwnRedis, calls: int, calls_per_second: float) -> Look:
    full = _store_mebibytes(redis)
    _let_go_of_what_is_over(redis)
    return Look(
        calls,
        calls_per_second,
        resident_bytes(engine.process.pid) / _MEBIBYTE,
        resident_bytes(_keeper_of(engine)) / _MEBIBYTE,
        full,
        _store_mebibytes(redis),
    )


def _let_go_of_what_is_over(redis: OwnRedis) -> None:
    # Until nothing is left to let go: the keeper gives an end to what it has archived last.
    wait_until(lambda: not _let_go_once(redis), _DRAIN_SECONDS)


def _let_go_once(redis: OwnRedis) -> int:
    cursor, gone = "0", 0
    while True:
        found, more = redis.command("EVAL", _LET_GO, 0, cursor)
        cursor, gone = found.decode(), gone + int(more)
        if cursor == "0":
            return gone


def _wait_for_keeper(redis: OwnRedis, shape: Shape) -> None:
    journals = {partition_keys(partition_of(tenant_id(at))).journal for at in range(shape.tenants)}
    wait_until(
        lambda: all(redis.command("XLEN", journal) <= 1 for journal in journals), _DRAIN_SECONDS
    )


def _store_mebibytes(redis: OwnRedis) -> float:
    return float(redis.command("INFO", "memory")["used_memory"]) / _MEBIBYTE


def _keeper_of(engine: Engine) -> int:
    parent = engine.process.pid
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"keeper" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            return int(child)
    raise Grew("there is no keeper")


def _require_archived(archive: Path, calls: int) -> None:
    with closing(sqlite3.connect(f"file:{archive}?mode=ro", uri=True)) as database:
        (kept,) = database.execute("SELECT count(DISTINCT call_id) FROM usage_records").fetchone()
    if kept != calls:
        raise Grew(f"{calls} calls were played, the archive has usage of {kept}")


def _require_flat(taken: list[Look]) -> None:
    # The first look is when everything has been used for the first time.
    first, last = taken[0], taken[-1]
    for name in ("server_mebibytes", "keeper_mebibytes", "store_mebibytes"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before * MOST_GROWTH + MOST_GROWTH_MEBIBYTES:
            raise Grew(f"{name}: {before:.1f} after {first.calls:,} calls, {after:.1f} at the end")
