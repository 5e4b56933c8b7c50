"""Damaging the record of a call, one line of it at a time."""

from __future__ import annotations

from server.ledger.codec import CallRecord
from server.storage.redis import Store

LINES = CallRecord._fields


async def damage_line(store: Store, key: str, name: str, damage: str | None) -> None:
    """Write something else in one line of a record, or take the line out."""
    lines = (await store.command("GET", key)).split(b"\n")
    at = LINES.index(name)
    lines[at : at + 1] = [] if damage is None else [damage.encode()]
    await store.command("SET", key, b"\n".join(lines))
