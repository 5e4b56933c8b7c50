"""A store that goes back to what it held before, as a replica that stopped following does."""

from __future__ import annotations

from server.storage.redis import Store

Snapshot = list[tuple[bytes, bytes]]


async def copy_of(store: Store) -> Snapshot:
    """Copy what a store holds."""
    keys = await store.command("KEYS", "*")
    return [(key, await store.command("DUMP", key)) for key in keys]


async def go_back_to(store: Store, copy: Snapshot) -> None:
    """Have a store hold what was copied, and nothing else."""
    await store.command("FLUSHALL")
    for key, value in copy:
        await store.command("RESTORE", key, 0, value)
