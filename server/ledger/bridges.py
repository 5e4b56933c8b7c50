"""Which stream of a gateway is the newest, told through the store to every process."""

from __future__ import annotations

from server.ledger import keys
from server.ledger.store_call import named_trouble
from server.store import Store

# Longer than any pause between two looks; it only buries what is over.
_LIFETIME_SECONDS = 86_400


class NewestStreams:
    """Remembers the newest stream of each gateway. All methods raise `LedgerUnavailable`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, gateway_id: str, stream_id: str) -> None:
        """Be the newest stream of a gateway, in place of any other."""
        key = keys.newest_stream_key(gateway_id)
        async with named_trouble():
            await self._store.command("SET", key, stream_id, "EX", _LIFETIME_SECONDS)

    async def holder(self, gateway_id: str) -> str:
        """Say which stream is the newest; empty where the store has forgotten it."""
        key = keys.newest_stream_key(gateway_id)
        async with named_trouble():
            found = await self._store.command("GETEX", key, "EX", _LIFETIME_SECONDS)
        return found.decode() if found else ""
