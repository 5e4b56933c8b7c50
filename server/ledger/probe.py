"""Asking the store whether the ledger could write now, by a write that changes nothing."""

from __future__ import annotations

from server.ledger.keys import call_key
from server.store import Store

# Ids of tenants are lower case and references of calls longer: this key is nobody's.
_NOBODYS_KEY = call_key("PROBE", "probe")


async def probe(store: Store) -> None:
    """Write nothing into a key that is not there. Raises `StoreUnavailable`.

    A replica, a store that is full and one that cannot write to its disk refuse even that.
    """
    await store.command("SETRANGE", _NOBODYS_KEY, 0, "")
