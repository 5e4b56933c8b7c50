"""What redis-py does for us: reading URLs, connecting, TLS, passwords, Sentinel, cluster topology.

URLs are those of redis-py, `redis://`, `rediss://` and `unix://`, and with several addresses
`redis+sentinel://[user:password@]host:port,host:port/name[/database]` and
`redis+cluster://[user:password@]host:port,host:port`; with TLS they begin with `rediss+`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.storage.redis.errors import StoreRefused, StoreUnavailable, Timeouts

# RESP2: what functions answer is the same in both, and it is what every supported server speaks.
PROTOCOL = 2
SLOTS = 16_384
# How long one sentinel may take, before the next is asked.
SENTINEL_SECONDS = 0.3
_SENTINEL_PORT = 26_379
_CLUSTER_PORT = 6_379


class Kind(Enum):
    """What stands behind a URL."""

    SINGLE = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Primary:
    """A node that takes writes, and the slots it serves. No address: where the URL says."""

    address: Address | None
    slots: tuple[range, ...]


class Entrance:
    """Knows from a URL who the primaries are and connects to them.

    All methods raise `StoreUnavailable`; a URL that is none raises `StoreRefused` at once.
    """

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        try:
            self._read(url, timeouts)
            # A connection that is not opened yet tells whether it knows its options.
            self._make(**self._options)
        except (ValueError, TypeError):
            # The error may quote a part of the password, so nobody is told of it.
            raise StoreRefused("the URL of the store cannot be read") from None

    def _read(self, url: str, timeouts: Timeouts) -> None:
        scheme, _, rest = url.partition("://")
        base, _, kind = scheme.partition("+")
        self.kind = Kind(kind)
        self._timeouts = timeouts
        self._seeds: tuple[Address, ...] = ()
        self._sentinel: Sentinel | None = None
        if self.kind is Kind.SINGLE:
            self._make, self._options = _read_url(url, timeouts)
            return
        parts = urlsplit(f"//{rest}")
        user, at, hosts = parts.netloc.rpartition("@")
        port = _SENTINEL_PORT if self.kind is Kind.SENTINEL else _CLUSTER_PORT
        self._seeds = tuple(_read_address(host, port) for host in hosts.split(","))
        self._name, _, database = parts.path.strip("/").partition("/")
        plain, self._sentinel_options = _split_query(parts.query)
        self._make, self._options = _read_url(
            f"{base}://{user}{at}localhost/{database}?{plain}", timeouts
        )
        if self.kind is Kind.SENTINEL and not self._name:
            raise StoreRefused(
                "a URL of Sentinel ends with the name of the primary: host:port/name"
            )

    async def primaries(self, known: Sequence[Address] = ()) -> list[Primary]:
        """Ask who takes writes now. Of a cluster, nodes that are `known` may be asked too."""
        if self.kind is Kind.SINGLE:
            return [Primary(None, (range(SLOTS),))]
        if self.kind is Kind.SENTINEL:
            return [Primary(await self._ask_sentinels(), (range(SLOTS),))]
        return await self._ask_cluster(dict.fromkeys((*known, *self._seeds)))

    async def connect(self, address: Address | None) -> AbstractConnection:
        """Open a connection to a primary; a node that is none is refused."""
        async with _named_trouble():
            connection = await self._open(address)
            try:
                async with self._in_time():
                    await connection.send_command("ROLE")
                    role, *_ = await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            if role != b"master":
                await connection.disconnect(nowait=True)
                raise StoreUnavailable("READONLY the node is a replica")
            return connection

    async def open_stream(self, address: Address | None) -> asyncio.StreamWriter:
        """Open a connection to a primary that redis-py has made ready and then forgets."""
        connection = await self.connect(address)
        writer = connection._writer  # noqa: SLF001 -- There is no other way out.
        assert writer is not None
        connection._reader = connection._writer = None  # noqa: SLF001 -- Else it would close it.
        return writer

    async def close(self) -> None:
        """Forget the sentinels."""
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _open(self, address: Address | None) -> AbstractConnection:
        where: Mapping[str, Any] = (
            {"host": address.host, "port": address.port} if address is not None else {}
        )
        connection = self._make(**{**self._options, **where})
        try:
            async with self._in_time():
                await connection.connect()  # type: ignore[no-untyped-call] # Upstream.
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        async with _keeping_cancels(), asyncio.timeout(self._timeouts.connect_seconds):
            yield

    async def _ask_sentinels(self) -> Address:
        if self._sentinel is None:
            # It keeps the sentinel that answered last at the top of its list.
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call] # Upstream.
                [(seed.host, seed.port) for seed in self._seeds],
                sentinel_kwargs=self._options_of_sentinels(),
            )
        async with _named_trouble():
            try:
                async with _keeping_cancels():
                    host, port = await self._sentinel.discover_master(self._name)
            finally:
                for client in self._sentinel.sentinels:
                    await client.connection_pool.disconnect()
        return Address(host, port)

    def _options_of_sentinels(self) -> dict[str, Any]:
        options = {name: value for name, value in self._options.items() if name.startswith("ssl_")}
        return {
            **options,
            **self._sentinel_options,
            "ssl": issubclass(self._make, SSLConnection),
            "protocol": PROTOCOL,
            "socket_timeout": SENTINEL_SECONDS,
            "socket_connect_timeout": SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }

    async def _ask_cluster(self, addresses: Mapping[Address, None]) -> list[Primary]:
        trouble = StoreUnavailable("the URL names no node")
        for address in addresses:
            try:
                return await self._ask_node(address)
            except StoreUnavailable as error:
                trouble = error
        raise trouble

    async def _ask_node(self, address: Address) -> list[Primary]:
        async with _named_trouble():
            connection = await self._open(address)
            try:
                async with self._in_time():
                    await connection.send_command("CLUSTER", "SLOTS")
                    rows = await connection.read_response()
            finally:
                await connection.disconnect(nowait=True)
        found: dict[Address, list[range]] = {}
        for first, last, (host, port, *_), *_ in rows:
            # A node that does not know its own name is where it was asked.
            primary = Address(host.decode() if host else address.host, port)
            found.setdefault(primary, []).append(range(first, last + 1))
        if not found:
            raise StoreUnavailable(f"CLUSTERDOWN {address} serves no slots")
        return [Primary(primary, tuple(slots)) for primary, slots in found.items()]


def _read_url(url: str, timeouts: Timeouts) -> tuple[type[AbstractConnection], dict[str, Any]]:
    options: dict[str, Any] = dict(parse_url(url))
    make = options.pop("connection_class", Connection)
    options |= {
        "protocol": PROTOCOL,
        "socket_connect_timeout": timeouts.connect_seconds,
        "socket_timeout": timeouts.reply_seconds,
        # Who asks decides whether to ask again; a silent second try could hide a lost reply.
        "retry": Retry(NoBackoff(), 0),
    }
    return make, options


def _read_address(text: str, port: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(text)
    return Address(parts.hostname, parts.port or port)


def _split_query(query: str) -> tuple[str, dict[str, str]]:
    """Tell options of the store from those of its sentinels, `sentinel_password` say."""
    of_store, of_sentinels = {}, {}
    for name, value in parse_qsl(query):
        if name.startswith("sentinel_"):
            of_sentinels[name.removeprefix("sentinel_")] = value
        else:
            of_store[name] = value
    return urlencode(of_store), of_sentinels


@asynccontextmanager
async def _named_trouble() -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable("the store does not take connections") from error
    except MasterNotFoundError as error:
        raise StoreUnavailable(f"no sentinel knows a primary: {error}") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(str(error) or type(error).__name__) from error


@asynccontextmanager
async def _keeping_cancels() -> AsyncIterator[None]:
    """Raise a cancel that was lost.

    The asyncio.wait_for of Python 3.11, which redis-py works under, loses one that comes in the
    same turn as its result.
    """
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    yield
    if task.cancelling() > cancels:
        raise asyncio.CancelledError
