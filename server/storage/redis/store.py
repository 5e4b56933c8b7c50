"""The way to Redis: one object that runs functions and commands, and names what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from server.storage.redis.connector import Entrance, Kind
from server.storage.redis.errors import StoreRefused, StoreUnavailable, Timeouts, named
from server.storage.redis.lane import Argument, Lane, Reply, ReplyError, pack
from server.storage.redis.node import Node
from server.storage.redis.retries import INSISTING_LIMIT, Insistence, Told, load_libraries
from server.storage.redis.routes import Key, make_routes

OLDEST_VERSION = 7
EVICTION_POLICY = "noeviction"
_SCANNED_AT_ONCE = 1_000
_MICROS_PER_SECOND = 1_000_000
# FCALL, the function, the number of keys, the first key; XREAD COUNT n STREAMS, the first key.
_KEY_PLACES: dict[Argument, int] = {"FCALL": 3, "XREAD": 4}


class Store:
    """One Redis or Valkey, or a cluster of them. All methods raise `StoreUnavailable`.

    Replies are as the server sends them: bytes, whole numbers, None, and lists of these. What a
    cancelled caller had asked may still be done; its reply is nobody's.
    """

    def __init__(self, url: str, timeouts: Timeouts | None = None) -> None:
        limits = timeouts or Timeouts()
        self._entrance = Entrance(url, limits)
        self._checks: list[Callable[[], Awaitable[None]]] = []
        self._routes = make_routes(
            self._entrance,
            limits.reply_seconds,
            self._tell_opened,
            before_use=self._check_before_use,
        )
        self._reply_seconds = limits.reply_seconds
        # By their first lines, which name them.
        self._libraries: dict[str, str] = {}
        self._insisting = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_cluster(self) -> bool:
        """Whether keys of different slots need a command each."""
        return self._entrance.kind is Kind.CLUSTER

    def on_connect(self, listener: Callable[[], None]) -> None:
        """Tell `listener` of each connection that is opened from now on, the first ones included.

        The server may be another one than before: its clock, and the end of its journals.
        """
        self._listeners.append(listener)

    def before_use(self, check: Callable[[], Awaitable[None]]) -> None:
        """Have `check` done on each connection that is opened from now on, before it is used.

        It must not wait for this store. Where it raises `StoreUnavailable` there is no connection.
        """
        self._checks.append(check)

    def call(
        self, function: str, keys: Sequence[str], arguments: Iterable[Argument]
    ) -> Awaitable[Reply]:
        """Run one function. Raises `FunctionMissing` and `StoreRefused` too."""
        return self.command("FCALL", function, len(keys), *keys, *arguments)

    async def command(self, *parts: Argument) -> Reply:
        """Run one command on the node of its key, which is the part after its name.

        Raises `StoreRefused` where the server answers with an error. What is done later than now,
        as a slot moves say, is done within `reply_seconds`.
        """
        key = _key_of(parts)
        packed = pack(*parts)
        node = self._routes.node_of(key)
        lane = node.lane if node is not None else None
        if node is None or lane is None:
            return await self._insist(key, packed)
        reply = await lane.send(packed)
        if type(reply) is not ReplyError:
            return reply
        return await self._insist(key, packed, Told(str(reply), node, lane))

    def lane_of(self, key: Key) -> Lane | None:
        """Name the lane to the node of a key, if one is open: for who can do without."""
        node = self._routes.node_of(key)
        return None if node is None else node.lane

    def waiting(self) -> int:
        """Say how many commands wait for their replies."""
        count = 0
        for node in self._routes.nodes:
            lane = node.lane
            count += 0 if lane is None else len(lane.waiting)
        return count

    def oldest_seconds(self) -> float:
        """Say how long the oldest of them has waited; 0 where none does."""
        lanes = [node.lane for node in self._routes.nodes]
        return max([lane.oldest_seconds() for lane in lanes if lane is not None], default=0.0)

    async def every_node(self, *parts: Argument) -> list[Reply]:
        """Run one command that has no key on every primary that can be reached; one at least."""
        packed = pack(*parts)
        return await self._each(lambda node: _ask(node, packed))

    async def one_of_each_node(self, keys: Iterable[Key]) -> list[Key]:
        """Choose of these keys one that lies on each primary; one more for slots that are nobody's.

        Where no primary is known the first of them stands for all.
        """
        by_node: dict[Node | None, Key] = {}
        with contextlib.suppress(StoreUnavailable):
            await self._routes.every_node()
        for key in keys:
            by_node.setdefault(self._routes.node_of(key), key)
        return list(by_node.values())

    async def scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Find keys that match a pattern, batch by batch: each that is there all the while, once.

        Nodes that cannot be reached are passed over, but for the one that has the pattern's slot.
        """
        owner = self._routes.node_of(pattern) or await self._routes.find_node(pattern)
        for node in await self._routes.every_node():
            cursor: Reply = b"0"
            while cursor is not None:
                try:
                    cursor, found = await _ask(
                        node, pack("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE)
                    )
                except StoreUnavailable:
                    if node is owner:
                        raise
                    break
                if found:
                    yield found
                cursor = None if cursor == b"0" else cursor

    async def load_library(self, code: str) -> None:
        """Load a library of functions, in place of the one of the same name.

        A node that is found without it later is given it then.
        """
        self._libraries[code.partition("\n")[0]] = code
        await self._each(lambda node: _load(node, code))

    async def time_micros(self) -> int:
        """Read the clock of all decisions: microseconds since 1970, UTC.

        In a cluster it is the clock of the node of slot 0, and of the next one while it is away.
        """
        trouble = StoreUnavailable("no node")
        for node in await self._routes.every_node():
            try:
                seconds, micros = await _ask(node, pack("TIME"))
            except StoreUnavailable as error:
                trouble = error
            else:
                return int(seconds) * _MICROS_PER_SECOND + int(micros)
        raise trouble

    async def check(self) -> None:
        """Refuse a server that is too old, or that may drop keys when it is full.

        Raises `StoreRefused` with a text for an operator.
        """
        for info in await self.every_node("INFO"):
            self._check(_read_info(info))

    async def runs(self) -> list[str]:
        """Name the run of each primary within reach: another one each time that it begins anew."""
        return [_read_info(info)["run_id"] for info in await self.every_node("INFO", "server")]

    async def check_policy(self) -> None:
        """Refuse a server that may drop keys by now: somebody may have changed it.

        It is asked for no more than that: what it answers is in the way of calls. Raises
        `StoreRefused`.
        """
        for info in await self.every_node("INFO", "memory"):
            _check_policy(_read_info(info)["maxmemory_policy"])

    async def close(self) -> None:
        """Close all connections."""
        await self._routes.close()

    def _check(self, info: dict[str, str]) -> None:
        version = info["redis_version"]
        if int(version.partition(".")[0]) < OLDEST_VERSION:
            raise StoreRefused(f"Redis {version} is too old; {OLDEST_VERSION}.0 or newer is needed")
        _check_policy(info["maxmemory_policy"])
        if (info["cluster_enabled"] == "1") != (self._entrance.kind is Kind.CLUSTER):
            raise StoreRefused("a cluster is reached by a URL of redis+cluster://, nothing else is")

    async def _insist(self, key: Key, packed: bytes, told: Told | None = None) -> Reply:
        if self._insisting >= INSISTING_LIMIT:
            raise StoreUnavailable(f"{INSISTING_LIMIT} commands wait to be asked again already")
        insistence = Insistence(self._routes, self._libraries.values(), command=packed, key=key)
        self._insisting += 1
        try:
            async with asyncio.timeout(self._reply_seconds):
                return await insistence.ask(told)
        except TimeoutError as late:
            raise StoreUnavailable(insistence.last_error) from late
        finally:
            self._insisting -= 1

    async def _each(self, work: Callable[[Node], Awaitable[Reply]]) -> list[Reply]:
        """Do something with every primary; that some are away is told only if all are."""
        nodes = await self._routes.every_node()
        done = await asyncio.gather(*map(work, nodes), return_exceptions=True)
        replies = [reply for reply in done if not isinstance(reply, BaseException)]
        for trouble in done:
            if isinstance(trouble, BaseException) and not (
                replies and isinstance(trouble, StoreUnavailable)
            ):
                raise trouble
        return replies

    async def _check_before_use(self) -> None:
        for check in self._checks:
            await check()

    def _tell_opened(self) -> None:
        for listener in self._listeners:
            listener()


async def _ask(node: Node, packed: bytes) -> Reply:
    lane = await node.reach()
    reply = await lane.send(packed)
    if type(reply) is ReplyError:
        raise named(str(reply))
    return reply


async def _load(node: Node, code: str) -> None:
    await load_libraries(await node.reach(), [code])


def _key_of(parts: Sequence[Argument]) -> Key:
    place = _KEY_PLACES.get(parts[0], 1)
    # A command without a key goes to the node of slot 0, as the empty key does.
    key = parts[place] if len(parts) > place else ""
    return str(key) if isinstance(key, int) else key


def _check_policy(policy: str) -> None:
    if policy != EVICTION_POLICY:
        raise StoreRefused(
            f"maxmemory-policy is {policy}; a store of money must not drop keys: set it to"
            f" {EVICTION_POLICY}"
        )


def _read_info(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode().splitlines())
    return {name: value for name, separator, value in lines if separator}
