"""Which stream of a gateway is the newest, told through the store to every process."""

from __future__ import annotations

from typing import NamedTuple

from server.ledger import keys
from server.ledger.store_call import named_trouble
from server.store import Store

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
