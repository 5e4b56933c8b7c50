"""Giving back what lapsed: read by the partition's own time, and no damaged call stops another."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from server.ledger import codec as wire
from server.ledger import keys
from server.ledger.errors import LedgerDamaged
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

_log = logging.getLogger(__name__)

# Gives back what one call holds if its time has come, by its name in the index; says how many.
ExpireOne = Callable[[str, int], Awaitable[int]]


class Lapsing:
    """Gives back what calls hold beyond their time, each in a step of its own."""

    def __init__(self, store: Store, expire_one: ExpireOne) -> None:
        self._store = store
        self._expire_one = expire_one
        # Calls that could not be read; they stay in the index for an operator, told of once.
        self._damaged: set[str] = set()

    async def expire(self, partition: int, now_ms: int, limit: int) -> int:
        """Give back what is due in a partition, `limit` calls or a few more; say how many.

        A partition's time does not run back when the store's clock does, so that the later of the
        two counts. Raises `LedgerUnavailable`, and `LedgerDamaged` for the partition's own keys.
        """
        of_partition = keys.partition_keys(partition)
        async with named_trouble():
            meta = await self._store.command("HGET", of_partition.accounts, keys.META_FIELD)
            if meta is not None:
                now_ms = max(now_ms, wire.read_meta(meta.decode()).time_ms)
            # The damaged ones come first for ever; they must not be all that is looked at.
            most = limit + len(self._damaged)
            due = await self._store.command(
                "ZRANGEBYSCORE", of_partition.expiry, "-inf", now_ms, "LIMIT", 0, most
            )
        return sum([await self._give_back(member.decode(), now_ms) for member in due])

    async def _give_back(self, member: str, now_ms: int) -> int:
        try:
            given_back = await self._expire_one(member, now_ms)
        except LedgerDamaged as error:
            if member not in self._damaged:
                _log.error("What the call %s holds cannot be given back: %s", member, error)
                self._damaged.add(member)
            return 0
        self._damaged.discard(member)
        return given_back
