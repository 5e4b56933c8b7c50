"""Which stream of a gateway is the newest: at once within a process, within seconds across them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import NamedTuple

from server.ledger import LedgerError, keys
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

# How long an older stream may live on in another process.
LOOK_SECONDS = 1.0
_ID_BYTES = 12

_log = logging.getLogger(__name__)


class Standing:
    """One stream of a gateway; `replaced` is set when a newer one took over.

    Gateways of two identities are two gateways, whatever they call themselves.
    """

    def __init__(self, identity_id: str, gateway_id: str) -> None:
        self.gateway = Gateway(identity_id, gateway_id)
        self.stream_id = secrets.token_hex(_ID_BYTES)
        self.replaced = asyncio.Event()
        # Whether the store knows of it; a store that is away learns of it later.
        self.is_told = False


class Standings:
    """The newest streams of this process, at most one of a gateway."""

    def __init__(self, newest: NewestStreams) -> None:
        self._newest = newest
        self._standings: dict[Gateway, Standing] = {}
        self.replaced = 0

    @property
    def count(self) -> int:
        """How many streams there are."""
        return len(self._standings)

    def take(self, identity_id: str, gateway_id: str) -> Standing:
        """Stand for an identity's gateway, in place of any older stream of it here.

        `look` tells other processes.
        """
        standing = Standing(identity_id, gateway_id)
        before = self._standings.get(standing.gateway)
        self._standings[standing.gateway] = standing
        if before is not None:
            self._replace(before)
        return standing

    def leave(self, standing: Standing) -> None:
        """Stand no longer, unless a newer stream does already."""
        if self._standings.get(standing.gateway) is standing:
            del self._standings[standing.gateway]

    async def run(self) -> None:
        """Look after streams that other processes may have replaced, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for standing in list(self._standings.values()):
                await self.look(standing)

    async def look(self, standing: Standing) -> None:
        """See whether a stream is still the newest; tell the store of it where it does not know."""
        # A store that is away tells nothing; the stream goes on.
        with suppress(LedgerError):
            holder = await self._newest.holder(standing.gateway) if standing.is_told else ""
            if holder in {"", standing.stream_id}:
                if not holder:
                    await self._tell(standing)
            else:
                self._replace(standing)

    async def _tell(self, standing: Standing) -> None:
        try:
            await self._newest.take(standing.gateway, standing.stream_id)
            standing.is_told = True
        except LedgerError as error:
            standing.is_told = False
            _log.debug("Other processes learn of stream %s later: %s", standing.stream_id, error)

    def _replace(self, standing: Standing) -> None:
        self.replaced += 1
        standing.replaced.set()
        self.leave(standing)


# Longer than any pause between two looks; it only buries what is over.
_LIFETIME_SECONDS = 86_400


class Gateway(NamedTuple):
    """A gateway, and the identity that speaks for it; neither name holds a space."""

    identity_id: str
    gateway_id: str

    @property
    def name(self) -> str:
        """Both names, which no other two are taken for."""
        return f"{self.identity_id} {self.gateway_id}"


class NewestStreams:
    """Remembers the newest stream of each gateway. All methods raise `LedgerUnavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, gateway: Gateway, stream_id: str) -> None:
        """Be the newest stream of a gateway, in place of any other."""
        key = keys.newest_stream_key(gateway.name)
        async with named_trouble():
            await self._store.command("SET", key, stream_id, "EX", _LIFETIME_SECONDS)

    async def holder(self, gateway: Gateway) -> str:
        """Say which stream is the newest; empty where the store has forgotten it."""
        key = keys.newest_stream_key(gateway.name)
        async with named_trouble():
            found = await self._store.command("GETEX", key, "EX", _LIFETIME_SECONDS)
        return found.decode() if found else ""
