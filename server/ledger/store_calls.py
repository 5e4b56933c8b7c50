"""Naming the store's trouble in the ledger's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from server.ledger.errors import LedgerDamaged, LedgerError, LedgerUnavailable
from server.ledger.keys import PARTITIONS, nobodys_key
from server.storage.redis import Store, StoreRefused, StoreUnavailable


@asynccontextmanager
async def named_trouble() -> AsyncIterator[None]:
    """Raise `LedgerUnavailable` and `LedgerDamaged` for what the store raises."""
    try:
        yield
    except (StoreUnavailable, StoreRefused) as error:
        raise trouble_of(error) from error


def trouble_of(error: StoreUnavailable | StoreRefused) -> LedgerError:
    """Name what the store raised in the ledger's words."""
    kind = LedgerUnavailable if isinstance(error, StoreUnavailable) else LedgerDamaged
    return kind(str(error))


def pairs(fields: Any) -> Iterable[tuple[bytes, bytes]]:
    """List the fields of a hash or an entry: the wire has a list, some clients make a mapping."""
    if isinstance(fields, Mapping):
        return fields.items()
    return zip(fields[::2], fields[1::2], strict=True)


# A primary that takes longer is away.
PROBE_SECONDS = 0.8
# One look in so many, each half a second, is at the store's settings as well.
LOOKS_A_CHECK = 10
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


class SettingsProbe:
    """Probes a store, and looks at its settings now and then: somebody may change them any time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looks = 0

    async def look(self) -> tuple[str, ...]:
        """Do as `probe` does. Raises `StoreRefused` for as long as a setting is wrong, too."""
        if self._looks % LOOKS_A_CHECK == 0:
            await self._store.check_policy()
        self._looks += 1
        return await probe(self._store)


async def _write_nothing(store: Store, key: str) -> Exception | None:
    """Say why a primary cannot write; None where it can."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await store.command("SETRANGE", key, 0, "")
    except (StoreUnavailable, StoreRefused) as error:
        return error
    except TimeoutError:
        lane = store.lane_of(key)
        # One that answers those before us is not away: how many may wait for it is looked at apart.
        if lane is None or lane.silent_seconds() >= PROBE_SECONDS:
            return StoreUnavailable(f"no answer within {PROBE_SECONDS:g} s")
    return None
