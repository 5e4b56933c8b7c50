"""How long calls could go on if nothing else changed: read once for many calls of an account.

An estimate for people, made with the arithmetic of the ledger and outside of its steps. Nothing is
decided on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policy.decision import FreePurse, Purse
from server.ledger import keys
from server.ledger.codec import KeptPurses, read_purses, tally_fields
from server.ledger.errors import AccountUnknown, LedgerDamaged
from server.ledger.rooms import Tally, room
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

__all__ = [
    "MAX_SECONDS",
    "KeptPurses",
    "RoomReader",
    "Rooms",
    "read_purses",
    "remaining_seconds",
]

# Nobody is told of more.
MAX_SECONDS = 86_400
_NO_BALANCE = "-"


@dataclass(frozen=True, slots=True)
class Rooms:
    """An account as it stands; `n` is the place of the last entry in its partition's journal."""

    tenant_id: str
    n: int
    is_frozen: bool
    available_micros: int | None
    tallies: Mapping[str, Tally]
    credit_limit_micros: int = 0


class RoomReader:
    """Reads accounts. Raises `LedgerUnavailable`, `LedgerDamaged` and `AccountUnknown`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, tenant_id: str, purses: Iterable[Purse]) -> Rooms:
        """Read what these purses draw on, in one step."""
        bounds = (bound for purse in purses for bound in tally_fields(purse, tenant_id))
        fields = sorted({field for field, _ in bounds})
        name = keys.tenant_name(tenant_id)
        account = ("meta", f"money/{name}", f"flags/{name}")
        async with named_trouble():
            found = await self._store.command(
                "HMGET", keys.keys_of(tenant_id).accounts, *account, *fields
            )
        if None in found[: len(account)]:
            raise AccountUnknown(tenant_id)
        try:
            meta, (available, _, _), (_, frozen, _, *limit) = (
                text.decode().split(" ") for text in found[: len(account)]
            )
            tallies = {
                field: _tally(text)
                for field, text in zip(fields, found[len(account) :], strict=True)
                if text
            }
            return Rooms(
                tenant_id,
                int(meta[1]),
                frozen == "1",
                None if available == _NO_BALANCE else int(available),
                tallies,
                int(limit[0]) if limit else 0,
            )
        except (IndexError, ValueError) as error:
            raise LedgerDamaged(f"the account of {tenant_id}") from error


def remaining_seconds(kept: KeptPurses, granted: Mapping[int, int], rooms: Rooms) -> int | None:
    """Say how much longer a call could go on beyond what it was granted; None: without an end.

    `granted` counts the seconds of each purse that were granted to the call, used or not.
    """
    total, begun = 0, sum(granted.values()) > 0
    for index, purse in kept.paying():
        if isinstance(purse, FreePurse):
            return None
        total += room(
            purse,
            rooms,
            had=granted.get(index, 0),
            fee_due=not begun and total == 0,
            limit=MAX_SECONDS - total,
        )
    return None if total >= MAX_SECONDS else total


def _tally(text: bytes) -> Tally:
    debited, held = map(int, text.split(b" "))
    return Tally(debited, held)
