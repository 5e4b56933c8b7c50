"""The way to Redis: one object that runs functions and commands, and names what went wrong.

Everything that knows redis-py is in this file, so that another way of sending replaces it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

OLDEST_VERSION = 7
# RESP2: what functions answer is the same in both, and it is what every supported server speaks.
PROTOCOL = 2
EVICTION_POLICY = "noeviction"
_MICROS_PER_SECOND = 1_000_000
# Errors by which a server says that it cannot serve now, though it is there.
_NOT_NOW = (
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "NOREPLICAS",
    "MISCONF",
    "BUSY",
    "UNBLOCKED",
    "FAILOVER",
    "LOADING",
)

Argument = str | bytes | int
Reply = Any


class StoreUnavailable(Exception):
    """The store is away, slow, read-only, loading or full; nothing is known to have happened."""


class StoreRefused(Exception):
    """The store answered with an error of its own; the text is its reason."""


class FunctionMissing(StoreRefused):
    """The library of functions is not loaded there."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the store may take, in seconds, and how many connections wait for it at most."""

    connect_seconds: float = 1.0
    reply_seconds: float = 2.0
    connections: int = 64


class Store:
    """One Redis or Valkey. Each method is one round trip; all raise `StoreUnavailable`."""

    def __init__(self, url: str, timeouts: Timeouts | None = None) -> None:
        limits = timeouts or Timeouts()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=limits.connections,
            timeout=limits.reply_seconds,
            protocol=PROTOCOL,
            socket_connect_timeout=limits.connect_seconds,
            socket_timeout=limits.reply_seconds,
            # Who asks decides whether to ask again; a silent second try could hide a lost reply.
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Redis = Redis(connection_pool=pool)
        self._pool = pool

    async def call(
        self, function: str, keys: Sequence[str], arguments: Iterable[Argument]
    ) -> Reply:
        """Run one function. Raises `FunctionMissing` and `StoreRefused` too."""
        return await self.command("FCALL", function, len(keys), *keys, *arguments)

    async def command(self, *parts: Argument) -> Reply:
        """Run one command. Raises `StoreRefused` where the server answers with an error."""
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        try:
            return await self._redis.execute_command(*parts)  # type: ignore[no-untyped-call] # Upstream.
        except (BusyLoadingError, OutOfMemoryError, ReadOnlyError) as error:
            raise StoreUnavailable(str(error)) from error
        except ResponseError as error:
            raise _refusal(str(error)) from error
        except (RedisConnectionError, RedisTimeoutError, RedisError, OSError) as error:
            raise StoreUnavailable(str(error) or type(error).__name__) from error
        finally:
            # The asyncio.wait_for of Python 3.11, which redis-py sends under, loses a cancel that
            # comes in the same turn as its result.
            if task.cancelling() > cancels:
                raise asyncio.CancelledError

    async def load_library(self, code: str) -> None:
        """Load a library of functions, in place of the one of the same name."""
        await self.command("FUNCTION", "LOAD", "REPLACE", code)

    async def time_micros(self) -> int:
        """Read the server's clock: microseconds since 1970, UTC."""
        seconds, micros = await self.command("TIME")
        return int(seconds) * _MICROS_PER_SECOND + int(micros)

    async def check(self) -> None:
        """Refuse a server that is too old, or that may drop keys when it is full.

        Raises `StoreRefused` with a text for an operator.
        """
        version = await self._info("server", "redis_version")
        if int(version.partition(".")[0]) < OLDEST_VERSION:
            raise StoreRefused(f"Redis {version} is too old; {OLDEST_VERSION}.0 or newer is needed")
        policy = await self._info("memory", "maxmemory_policy")
        if policy != EVICTION_POLICY:
            raise StoreRefused(
                f"maxmemory-policy is {policy}; a store of money must not drop keys: set it to"
                f" {EVICTION_POLICY}"
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._pool.aclose()

    async def _info(self, section: str, field: str) -> str:
        info = cast("dict[str, Any]", await self.command("INFO", section))
        return str(info[field])


def _refusal(text: str) -> Exception:
    if text.startswith(_NOT_NOW):
        return StoreUnavailable(text)
    if text.startswith(("READONLY", "OOM")):
        return StoreUnavailable(text)
    if "Function not found" in text:
        return FunctionMissing(text)
    return StoreRefused(text)
