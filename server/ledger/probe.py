"""Asking the store whether the ledger could write now, by a step that finds nothing to do."""

from __future__ import annotations

from server.ledger.keys import account_keys, call_key
from server.ledger.redis_ledger import LIBRARY, library_code
from server.store import FunctionMissing, Store

# No tenant has this id: ids of tenants are lower case.
_NOBODY = "PROBE"


async def probe(store: Store) -> None:
    """Run a writing function over a call that is not there. Raises `StoreUnavailable`.

    A replica that takes no writes and a store that is full refuse the function itself; a store
    that was emptied, or became primary, gets the library again.
    """
    keys = account_keys(_NOBODY).for_call(call_key(_NOBODY, ""))
    arguments = (0, _NOBODY, "", "")
    try:
        await store.call(f"{LIBRARY}_expire", keys, arguments)
    except FunctionMissing:
        await store.load_library(library_code())
        await store.call(f"{LIBRARY}_expire", keys, arguments)
