"""Asking the store whether the ledger could write now, by a write that changes nothing."""

from __future__ import annotations

from server.ledger.keys import account_keys
from server.store import Store

# No tenant has this id: ids of tenants are lower case.
_NOBODY = "PROBE"


async def probe(store: Store) -> None:
    """Write nothing into a key that is not there. Raises `StoreUnavailable`.

    A replica, a store that is full and one that cannot write to its disk refuse even that.
    """
    await store.command("SETRANGE", account_keys(_NOBODY).account, 0, "")
