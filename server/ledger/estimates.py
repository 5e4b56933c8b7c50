"""How long calls could go on if nothing else changed: read once for many calls of an account.

An estimate for people, made with the arithmetic of the ledger and outside of its steps. Nothing is
decided on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from policy.facts import Rate
from policy.rating import affordable_seconds, price_micros
from policy.reasons import Reason
from server.ledger import keys
from server.ledger.codec import PURSE, UNIT
from server.ledger.errors import AccountUnknown, LedgerDamaged
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

# Nobody is told of more.
MAX_SECONDS = 86_400
_REMEMBERED = 4_096
_NO_BALANCE = "-"


@dataclass(frozen=True, slots=True)
class Pool:
    """A plan's minutes: the tally a call is counted on comes first; any that is full ends it."""

    reason: Reason
    tallies: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Credits:
    """Credits at a rate. `limit_field` counts what one account spends, at most `limit_micros`."""

    reason: Reason
    rate: Rate
    overdraft_micros: int
    post_paid: bool
    limit_micros: int | None
    limit_field: str


class Gone:
    """A purse that pays nothing more; it is there for what it paid."""


# Of a purse that costs nothing there is no end.
FREE = None
GONE = Gone()
Source = Pool | Credits | Gone | None


@dataclass(frozen=True, slots=True)
class Rooms:
    """An account as it stands: what is available, and tallies as (debited, held).

    `n` is the place of the last entry in the journal of its partition.
    """

    n: int
    is_frozen: bool
    available_micros: int | None
    tallies: Mapping[str, tuple[int, int]]
    credit_limit_micros: int = 0


class RoomReader:
    """Reads accounts. Raises `LedgerUnavailable`, `LedgerDamaged` and `AccountUnknown`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, tenant_id: str, sources: Iterable[Source]) -> Rooms:
        """Read what these sources draw on, in one step."""
        fields = sorted({field for source in sources for field in _fields(source)})
        name = keys.tenant_name(tenant_id)
        account = ("meta", f"money/{name}", f"flags/{name}")
        async with named_trouble():
            found = await self._store.command(
                "HMGET", keys.keys_of(tenant_id).accounts, *account, *fields
            )
        if None in found[: len(account)]:
            raise AccountUnknown(tenant_id)
        try:
            meta, money, flags = (text.decode().split(" ") for text in found[: len(account)])
            tallies = {
                field: _tally(text)
                for field, text in zip(fields, found[len(account) :], strict=True)
                if text
            }
            _, frozen, _, *limit = flags
            return Rooms(
                int(meta[1]),
                frozen == "1",
                None if money[0] == _NO_BALANCE else int(money[0]),
                tallies,
                int(limit[0]) if limit else 0,
            )
        except (IndexError, ValueError) as error:
            raise LedgerDamaged(f"the account of {tenant_id}") from error


@lru_cache(_REMEMBERED)
def read_sources(purses_text: str) -> tuple[Source, ...]:
    """Read what may pay a call, as the ledger keeps it with the call."""
    return tuple(_source(text.split(UNIT)) for text in purses_text.split(PURSE) if text)


def remaining_seconds(
    sources: Sequence[Source], granted: Mapping[int, int], rooms: Rooms
) -> int | None:
    """Say how much longer a call could go on beyond what it was granted; None: without an end.

    `granted` counts the seconds of each purse that were granted to the call, used or not.
    """
    total, begun = 0, sum(granted.values()) > 0
    for index, source in enumerate(sources):
        if source is FREE:
            return None
        had = granted.get(index, 0)
        if isinstance(source, Gone):
            continue
        if isinstance(source, Pool):
            seconds = _pool_room(source, rooms)
        else:
            seconds = _credits_room(source, rooms, had, begun=begun or total > 0)
        total += min(seconds, MAX_SECONDS - total)
    return None if total >= MAX_SECONDS else total


def _pool_room(pool: Pool, rooms: Rooms) -> int:
    for field, size in pool.tallies:
        if rooms.tallies.get(field, (0, 0))[0] >= size:
            return 0
    field, size = pool.tallies[0]
    return max(0, size - sum(rooms.tallies.get(field, (0, 0))))


def _credits_room(source: Credits, rooms: Rooms, had: int, *, begun: bool) -> int:
    micros: int | None = None
    if not source.post_paid:
        below_zero = max(source.overdraft_micros, rooms.credit_limit_micros)
        micros = (rooms.available_micros or 0) + below_zero
    if source.limit_micros is not None:
        spendable = source.limit_micros - sum(rooms.tallies.get(source.limit_field, (0, 0)))
        micros = spendable if micros is None else min(micros, spendable)
    if micros is None:
        return MAX_SECONDS
    micros -= 0 if begun else source.rate.connection_fee_micros
    if micros < 0:
        return 0
    total = micros + price_micros(source.rate, had)
    return max(0, affordable_seconds(source.rate, total, had + MAX_SECONDS) - had)


def _fields(source: Source) -> tuple[str, ...]:
    if isinstance(source, Pool):
        return tuple(field for field, _ in source.tallies)
    if isinstance(source, Credits) and source.limit_field:
        return (source.limit_field,)
    return ()


def _source(parts: list[str]) -> Source:
    match parts[0]:
        case "G":
            return GONE
        case "P":
            tallies = tuple(zip(parts[2::2], map(int, parts[3::2]), strict=True))
            return Pool(Reason(int(parts[1])), tallies)
        case "C":
            per_minute, fee, first, following, overdraft = map(int, parts[1:6])
            return Credits(
                Reason(int(parts[8])),
                Rate("", "", per_minute, fee, first, following),
                overdraft,
                parts[6] == "1",
                int(parts[9]) if parts[9] else None,
                parts[10],
            )
        case _:
            return FREE


def _tally(text: bytes) -> tuple[int, int]:
    debited, held = map(int, text.split(b" "))
    return debited, held
