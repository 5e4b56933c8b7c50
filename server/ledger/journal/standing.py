"""Where in a journal something is, and how an account stands there."""

from __future__ import annotations

from dataclasses import dataclass

from server.ledger import keys
from server.ledger.codec import read_balance, read_meta
from server.ledger.errors import AccountUnknown, LedgerDamaged, PartitionNotOpen
from server.ledger.store_calls import named_trouble
from server.storage.redis import Store

# Before the first entry of an epoch.
NO_NONCE = "-"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a partition's journal: after entry `n` of `epoch`, whose nonce is `nonce`.

    The nonce tells that entry from another one that took its number after a store lost its tail.
    """

    partition: int
    epoch: int
    n: int
    nonce: str = NO_NONCE


@dataclass(frozen=True, slots=True)
class Standing:
    """The sums of one account at a place. No `available_micros`: there is no balance."""

    place: Place
    currency: str
    available_micros: int | None
    reserved_micros: int
    debited_micros: int


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """The sums of one account after entry `n` of its partition's journal.

    No `available_micros`: there is no balance.
    """

    epoch: int
    n: int
    nonce: str
    currency: str
    available_micros: int | None
    reserved_micros: int
    debited_micros: int


async def read_standing(store: Store, tenant_id: str) -> AccountStanding:
    """Read how an account stands; lots that are due count until an entry says otherwise.

    Raises `AccountUnknown`, `LedgerUnavailable` and `LedgerDamaged`.
    """
    name = keys.tenant_name(tenant_id)
    fields = (keys.META_FIELD, f"about/{name}", f"money/{name}", f"totals/{name}")
    async with named_trouble():
        values = await store.command("HMGET", keys.keys_of(tenant_id).accounts, *fields)
    if values[0] is None:
        raise PartitionNotOpen
    if values[1] is None:
        raise AccountUnknown(tenant_id)
    if None in values:
        raise LedgerDamaged("an account")
    meta, balance = read_meta(values[0].decode()), read_balance(tenant_id, values[1:])
    return AccountStanding(
        epoch=meta.epoch,
        n=meta.n,
        nonce=meta.nonce,
        currency=balance.currency,
        available_micros=balance.available_micros,
        reserved_micros=balance.reserved_micros,
        debited_micros=balance.debited_micros,
    )
