"""Which primary a command goes to: the only one, or in a cluster the one with the key's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Protocol

from redis.crc import key_slot

from server.storage.redis.connector import SLOTS, Address, Entrance, Kind, Primary
from server.storage.redis.errors import StoreUnavailable
from server.storage.redis.node import Node, NodeEvents

# Between two looks at who has which slot.
LOOK_PAUSE_SECONDS = 0.1
_CACHED_TAGS = 1_024

Key = str | bytes
Opened = Callable[[], None]
BeforeUse = Callable[[], Awaitable[None]]


class Routes(Protocol):
    """Knows the nodes. What waits raises `StoreUnavailable`.

    Attributes:
        nodes: Those that are known now, in any order.
    """

    nodes: Collection[Node]

    def node_of(self, key: Key) -> Node | None:
        """Name the node of a key, if it is known already."""

    async def find_node(self, key: Key) -> Node:
        """Find out the node of a key."""

    async def every_node(self) -> Sequence[Node]:
        """List the nodes, in the order of their slots."""

    def moved(self, slot: int, address: Address) -> Node:
        """Take note that a slot has moved; the result is where it is."""

    def node_at(self, address: Address) -> Node:
        """Name the node at an address."""

    def doubt(self) -> None:
        """Look soon at who has what."""

    async def close(self) -> None:
        """Close all nodes."""


def make_routes(
    entrance: Entrance, reply_seconds: float, opened: Opened, *, before_use: BeforeUse
) -> Routes:
    """Make routes of the kind that stands behind the URL; `opened` is told of each new lane.

    `before_use` is as in `NodeEvents`.
    """
    if entrance.kind is Kind.CLUSTER:
        return ClusterRoutes(entrance, reply_seconds, opened, before_use=before_use)
    return OneNode(entrance, reply_seconds, opened, before_use=before_use)


class OneNode:
    """All keys are of one primary: where the URL says, or where the sentinels say."""

    def __init__(
        self, entrance: Entrance, reply_seconds: float, opened: Opened, *, before_use: BeforeUse
    ) -> None:
        self._entrance = entrance
        events = NodeEvents(opened, doubted=lambda: None, before_use=before_use)
        self._node = Node(None, self._connect, reply_seconds=reply_seconds, events=events)
        self.nodes: Collection[Node] = (self._node,)

    def node_of(self, key: Key) -> Node:  # noqa: ARG002 -- Keys decide in a cluster only.
        """Name the node."""
        return self._node

    async def find_node(self, key: Key) -> Node:  # noqa: ARG002 -- As above.
        """Name the node."""
        return self._node

    async def every_node(self) -> Sequence[Node]:
        """Name the node."""
        return [self._node]

    def moved(self, slot: int, address: Address) -> Node:
        """Refuse: only the URL of a cluster is followed from node to node."""
        raise StoreUnavailable(f"MOVED {slot} {address}: use a URL of redis+cluster://")

    def node_at(self, address: Address) -> Node:
        """Refuse, as above."""
        raise StoreUnavailable(f"ASK {address}: use a URL of redis+cluster://")

    def doubt(self) -> None:
        """Do nothing: the primary is looked for at each connection."""

    async def close(self) -> None:
        """Close the node."""
        await self._node.close()
        await self._entrance.close()

    async def _connect(self) -> asyncio.StreamWriter:
        (primary,) = await self._entrance.primaries()
        return await self._entrance.open_stream(primary.address)


class ClusterRoutes:
    """Keys are of the node that has their slot; looked up beside the calls, when in doubt."""

    def __init__(
        self, entrance: Entrance, reply_seconds: float, opened: Opened, *, before_use: BeforeUse
    ) -> None:
        self._entrance = entrance
        self._reply_seconds = reply_seconds
        self._events = NodeEvents(opened, doubted=self.doubt, before_use=before_use)
        self._by_slot: list[Node | None] = [None] * SLOTS
        self._nodes: dict[Address, Node] = {}
        self.nodes: Collection[Node] = self._nodes.values()
        self._in_doubt = False
        self._looking: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._trouble = ""

    def node_of(self, key: Key) -> Node | None:
        """Name the node of a key, if it is known already."""
        return self._by_slot[slot_of(key)]

    async def find_node(self, key: Key) -> Node:
        """Find out the node of a key."""
        if self.node_of(key) is None:
            await self._look()
        node = self.node_of(key)
        if node is None:
            raise StoreUnavailable(self._trouble or f"CLUSTERDOWN slot {slot_of(key)} is nobody's")
        return node

    async def every_node(self) -> Sequence[Node]:
        """List the nodes that have slots, in the order of these."""
        if not any(self._by_slot):
            await self._look()
        nodes = [node for node in dict.fromkeys(self._by_slot) if node is not None]
        if not nodes:
            raise StoreUnavailable(self._trouble)
        return nodes

    def moved(self, slot: int, address: Address) -> Node:
        """Take note that a slot has moved; whether others have is looked at beside the calls."""
        node = self._by_slot[slot] = self.node_at(address)
        self.doubt()
        return node

    def node_at(self, address: Address) -> Node:
        """Name the node at an address."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(
                address,
                partial(self._entrance.open_stream, address),
                reply_seconds=self._reply_seconds,
                events=self._events,
            )
        return node

    def doubt(self) -> None:
        """Look soon at who has what."""
        self._in_doubt = True
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_while_in_doubt())

    async def close(self) -> None:
        """Close all nodes."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for node in list(self._nodes.values()):
            await node.close()
        await self._entrance.close()

    async def _look(self) -> None:
        """Wait until the next look is over."""
        self.doubt()
        await self._looked.wait()

    async def _look_while_in_doubt(self) -> None:
        while self._in_doubt:
            self._in_doubt = False
            try:
                self._learn(await self._entrance.primaries(self._known()))
            except StoreUnavailable as error:
                self._trouble = str(error)
            # Whoever waits now is woken; who comes later waits for the next look.
            self._looked.set()
            self._looked.clear()
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        self._looking = None

    def _known(self) -> list[Address]:
        """List the addresses of nodes; first of those that answer."""
        return sorted(self._nodes, key=lambda address: self._nodes[address].lane is None)

    def _learn(self, primaries: Sequence[Primary]) -> None:
        self._trouble = ""
        by_slot: list[Node | None] = [None] * SLOTS
        for primary in primaries:
            assert primary.address is not None
            node = self.node_at(primary.address)
            for slots in primary.slots:
                by_slot[slots.start : slots.stop] = [node] * len(slots)
        self._by_slot = by_slot
        of_slots = set(by_slot)
        self._nodes = {
            address: node
            for address, node in self._nodes.items()
            if node in of_slots or not node.is_idle
        }


def slot_of(key: Key) -> int:
    """Say in which of a cluster's slots a key lies."""
    text = key if isinstance(key, str) else key.decode(errors="surrogateescape")
    # All keys of a partition begin with its tag in braces, so it is worked out once.
    tag, brace, _ = text.partition("}")
    return _slot_of_text(tag + brace if tag.startswith("{") and len(tag) > 1 else text)


@lru_cache(maxsize=_CACHED_TAGS)
def _slot_of_text(text: str) -> int:
    return int(key_slot(text.encode(errors="surrogateescape")))
