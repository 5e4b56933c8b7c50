"""Asking again where the store did nothing yet, but may do it in a moment or at another node."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from server.storage.redis.connector import Address
from server.storage.redis.errors import FunctionMissing, StoreUnavailable, named
from server.storage.redis.lane import Lane, Reply, ReplyError, pack
from server.storage.redis.node import Node
from server.storage.redis.routes import Key, Routes

# Before a command is asked again: doubled each time, up to the longest.
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.1
# So many commands may wait to be asked again.
INSISTING_LIMIT = 10_000
# A command that is sent on so often is sent back and forth: nodes disagree for a moment.
_SENT_ON_AT_ONCE = 2
_SHORTLY = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN")


@dataclass(frozen=True, slots=True)
class Told:
    """An error, and who answered with it."""

    error: str
    node: Node
    lane: Lane


class Insistence:
    """One command, asked until it is answered. Nothing asked again here was done before."""

    def __init__(
        self, routes: Routes, libraries: Collection[str], *, command: bytes, key: Key
    ) -> None:
        self._routes = routes
        self._libraries = libraries
        self._command = command
        self._key = key
        # Where it will be asked next; unknown, where its key is.
        self._node: Node | None = None
        self._asking = False
        self._loaded = False
        self._pauses = 0
        self._sent_on = 0
        self.last_error = "the store cannot be reached"

    async def ask(self, told: Told | None) -> Reply:
        """Ask until there is an answer; `told` is what an earlier try brought, if there was one.

        Raises `StoreUnavailable` and `StoreRefused`.
        """
        while True:
            if told is not None:
                self._node = told.node
                await self._heed(told)
            if self._node is None:
                self._node = await self._routes.find_node(self._key)
            lane = await self._node.reach()
            send = lane.send_asking if self._asking else lane.send
            reply = await send(self._command)
            if type(reply) is not ReplyError:
                return reply
            told = Told(str(reply), self._node, lane)

    async def _heed(self, told: Told) -> None:
        """Do what the error says, or raise it."""
        self.last_error = told.error
        word, _, rest = told.error.partition(" ")
        if word in {"MOVED", "ASK"}:
            await self._go_where(word, rest, told.node)
        elif word in _SHORTLY:
            if word == "CLUSTERDOWN":
                self._routes.doubt()
            await self._pause()
            # Somebody else may have the slot by now.
            self._node, self._asking = None, False
        elif word == "READONLY":
            told.node.refuse(told.lane, told.error)
            raise StoreUnavailable(told.error)
        else:
            await self._load_or_raise(told)

    async def _go_where(self, word: str, where: str, last: Node) -> None:
        slot, _, place = where.partition(" ")
        host, _, port = place.rpartition(":")
        if not host and last.address is not None:
            # A node that does not know the other's name: it is on the same host.
            host = last.address.host
        address = Address(host, int(port))
        self._asking = word == "ASK"
        if self._asking:
            self._node = self._routes.node_at(address)
        else:
            self._node = self._routes.moved(int(slot), address)
        self._sent_on += 1
        if self._sent_on > _SENT_ON_AT_ONCE:
            await self._pause()

    async def _load_or_raise(self, told: Told) -> None:
        trouble = named(told.error)
        if not isinstance(trouble, FunctionMissing) or self._loaded or not self._libraries:
            raise trouble
        self._loaded = True
        await load_libraries(told.lane, self._libraries)

    async def _pause(self) -> None:
        await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2**self._pauses, LONGEST_PAUSE_SECONDS))
        self._pauses = min(self._pauses + 1, 16)


async def load_libraries(lane: Lane, libraries: Iterable[str]) -> None:
    """Load libraries of functions, each in place of the one of the same name."""
    # Others may add one while the server takes these.
    for code in tuple(libraries):
        reply = await lane.send(pack("FUNCTION", "LOAD", "REPLACE", code))
        if type(reply) is ReplyError:
            raise named(str(reply))
