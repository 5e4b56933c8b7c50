"""Reading a partition's journal: its entries in order, and what each says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from server.ledger.errors import LedgerDamaged, LedgerUnavailable
from server.ledger.keys import ARCHIVED_FIELD, PARTITIONS, partition_keys
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

# The lines of an entry about a call, in the order in which they are mostly written.
_CALL_LINES: Final = (
    "tenant", "call", "gateway", "opened", "asked", "segments", "uses", "before", "held_before",
    "report", "unfunded", "lots", "available", "reserved", "facts",
)  # fmt: skip
_OF_A_CALL: Final = re.compile("\n".join(f"{name}=(.*)" for name in _CALL_LINES))
_REMEMBERED_TIMES: Final = 256
# Epoch and place of what was archived where nothing was.
NEVER: Final = (0, 0)


class JournalEntry(NamedTuple):
    """One entry of a partition's journal, as it was written.

    `epoch`, `n` and `nonce` are its place; `previous_nonce` is the nonce of the entry before it.
    Until `small_until_ms` grants of the partition are as short as they may be.
    """

    epoch: int
    n: int
    nonce: str
    previous_nonce: str
    time_ms: int
    small_until_ms: int
    kind: str
    body: str

    @property
    def fields(self) -> Mapping[str, str]:
        """The body, by the names of its lines."""
        return fields_of(self.body)


def fields_of(body: str) -> Mapping[str, str]:
    """Read the body of an entry, by the names of its lines."""
    # Nearly all are about calls, and read at once; the others line by line.
    found = _OF_A_CALL.fullmatch(body)
    if found is not None:
        return dict(zip(_CALL_LINES, found.groups(), strict=True))
    return dict([line.split("=", 1) for line in body.split("\n")]) if body else {}


class JournalReader:
    """Reads journals. All methods raise `LedgerUnavailable` and `LedgerDamaged`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(
        self, partition: int, *, from_n: int = 0, limit: int = 1_000
    ) -> list[JournalEntry]:
        """Read entries from place `from_n` on, that one included, `limit` at most."""
        journal = partition_keys(partition).journal
        async with named_trouble():
            rows = await self._store.command("XRANGE", journal, f"{from_n}-0", "+", "COUNT", limit)
        return [_read_entry(row) for row in rows]

    async def last(self, partition: int) -> JournalEntry | None:
        """Read the last entry: it is where the partition stands. None where there is no journal."""
        journal = partition_keys(partition).journal
        async with named_trouble():
            rows = await self._store.command("XREVRANGE", journal, "+", "-", "COUNT", 1)
        return _read_entry(rows[0]) if rows else None

    async def moved(self, places: Mapping[int, int]) -> set[int]:
        """Say which of these partitions have an entry after the place that is named for each.

        One command for all of them, in a cluster one each. A partition that does not answer is said
        to have one: whoever reads there learns why.
        """
        if not self._store.is_cluster:
            return await self._moved(places)
        looks = [self._moved({partition: n}) for partition, n in places.items()]
        return set[int]().union(*await asyncio.gather(*looks))

    async def _moved(self, places: Mapping[int, int]) -> set[int]:
        if not places:
            return set()
        by_journal = {partition_keys(partition).journal: partition for partition in places}
        after = (f"{n}-0" for n in places.values())
        try:
            async with named_trouble():
                found = await self._store.command(
                    "XREAD", "COUNT", 1, "STREAMS", *by_journal, *after
                )
        except (LedgerUnavailable, LedgerDamaged):
            return set(places)
        # The wire has a list of lists, a newer version of it a map; nothing new is None.
        journals = found if isinstance(found, Mapping) else [row[0] for row in found or ()]
        return {by_journal[journal.decode()] for journal in journals}

    async def archived_place(self, partition: int) -> tuple[int, int]:
        """Say epoch and place of the last entry that was archived; `NEVER` where none is noted."""
        async with named_trouble():
            text = await self._store.command(
                "HGET", partition_keys(partition).accounts, ARCHIVED_FIELD
            )
        try:
            epoch, n, _ = (text or b"0 0 -").split(b" ")
            return int(epoch), int(n)
        except ValueError as error:
            raise LedgerDamaged("what is archived of a partition") from error

    async def length(self, partition: int) -> int:
        """Say how many entries the journal holds."""
        async with named_trouble():
            return int(await self._store.command("XLEN", partition_keys(partition).journal))

    async def partitions(self) -> list[int]:
        """List the partitions that have a journal."""
        return [each for each in range(PARTITIONS) if await self._exists(each)]

    async def partitions_within_reach(self) -> list[int]:
        """List those of them whose primary answers."""
        found = await asyncio.gather(*map(self._exists, range(PARTITIONS)), return_exceptions=True)
        for exists in found:
            if isinstance(exists, BaseException) and not isinstance(exists, LedgerUnavailable):
                raise exists
        return [partition for partition, exists in enumerate(found) if exists is True]

    async def _exists(self, partition: int) -> bool:
        async with named_trouble():
            return bool(await self._store.command("EXISTS", partition_keys(partition).journal))


def _read_entry(row: Sequence[Any]) -> JournalEntry:
    try:
        place, (name_1, meta, name_2, kind, name_3, body) = row
        if name_1 != b"meta" or name_2 != b"kind" or name_3 != b"body":
            raise LedgerDamaged("an entry of a journal")
        epoch, nonce, previous_nonce, times = meta.decode().split(" ", 3)
        # In the order of the fields: by their names it takes twice as long, and there are many.
        return JournalEntry(
            int(epoch),
            int(place.removesuffix(b"-0")),
            nonce,
            previous_nonce,
            *_read_times(times),
            kind.decode(),
            body.decode(),
        )
    except ValueError as error:
        raise LedgerDamaged("an entry of a journal") from error


# What is written at the same moment has the same.
@lru_cache(_REMEMBERED_TIMES)
def _read_times(text: str) -> tuple[int, int]:
    time_ms, small_until_ms = text.split(" ")
    return int(time_ms), int(small_until_ms)
