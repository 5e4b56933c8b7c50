"""Servers to test on: the embedded Valkey, and Redis 7.0 where it is on the path."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.storage.redis import EmbeddedServer, Store
from server.storage.redis.embedded import find_binary

VALKEY, REDIS = "valkey", "redis"
# What only Redis 7.0 can show; skipped where it is not installed, run alone by `make test-redis7`.
needs_redis = pytest.mark.needs_redis
# The single servers that a test runs on, one after the other.
SINGLE = (VALKEY, pytest.param(REDIS, marks=needs_redis))


def binaries() -> dict[str, Path | None]:
    """Name the servers, and where their programs are; None where one is not installed."""
    redis = shutil.which("redis-server")
    return {VALKEY: find_binary(), REDIS: None if redis is None else Path(redis)}


@contextmanager
def running_server(binary: Path) -> Iterator[str]:
    """Run a server in a folder of its own; give its URL."""
    folder = tempfile.mkdtemp(prefix="cg-")
    embedded = EmbeddedServer(Path(folder), binary)
    asyncio.run(embedded.start())
    try:
        yield embedded.url
    finally:
        asyncio.run(embedded.stop())
        shutil.rmtree(folder, ignore_errors=True)


async def empty(store: Store) -> None:
    """Drop all keys; the library of functions stays."""
    await store.every_node("FLUSHALL")
