"""Asking the store whether the ledger could write now, by a write that changes nothing."""

from __future__ import annotations

import asyncio

from server.ledger.keys import PARTITIONS, nobodys_key
from server.store import Store, StoreRefused, StoreUnavailable

# A primary that takes longer is away.
PROBE_SECONDS = 0.8
_NOBODYS_KEYS = tuple(map(nobodys_key, range(PARTITIONS)))


async def probe(store: Store) -> tuple[str, ...]:
    """Write nothing into keys that are not there, one on each primary; say what is away.

    A replica, a store that is full and one that cannot write to its disk refuse even that. Tenants
    of the other primaries are answered all the same: `StoreUnavailable` and `StoreRefused` are
    raised only where none of them can be written.
    """
    keys = await store.one_of_each_node(_NOBODYS_KEYS)
    found = await asyncio.gather(*(_write_nothing(store, str(key)) for key in keys))
    troubles = [trouble for trouble in found if trouble is not None]
    if len(troubles) == len(found):
        raise troubles[0]
    return tuple(map(str, troubles))


async def _write_nothing(store: Store, key: str) -> Exception | None:
    """Say why a primary cannot write; None where it can."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await store.command("SETRANGE", key, 0, "")
    except (StoreUnavailable, StoreRefused) as error:
        return error
    except TimeoutError:
        return StoreUnavailable(f"no answer within {PROBE_SECONDS:g} s")
    return None
