"""What the keeper does to the ledger in Redis: each verb one step of `keeping.lua`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from server.ledger import keys
from server.ledger.answers import Balance
from server.ledger.store_call import named_trouble, pairs
from server.store import FunctionMissing, Store

LIBRARY = "callgate_keeping_v1"
_DROPPED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RestoredLot:
    """A lot that has something left."""

    lot_id: str
    expire_ms: int
    purchase_ms: int
    left_micros: int
    voided: bool


@dataclass(frozen=True, slots=True)
class RestoredAccount:
    """All that an account is written anew with; nothing is reserved in it.

    `tallies` are seconds and micros by the names of `keys`; `known` says of each top-up, debit and
    refund what it was.
    """

    balance: Balance
    prepaid: bool
    digest: str
    version: int
    lots: tuple[RestoredLot, ...]
    tallies: tuple[tuple[str, int], ...]
    known: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """Where a journal ends: place and nonce of its last entry."""

    n: int
    nonce: str


class Keeping:
    """The keeper's steps. All raise `LedgerUnavailable`; none harms when it comes late."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def trim(self, partition: int, *, epoch: int, n: int, nonce: str) -> bool:
        """Drop entries before `n`. False where entry `n` is not the one that was archived."""
        journal = keys.partition_keys(partition).journal
        return bool(await self._call("trim", (journal,), (n, nonce, epoch)) >= 0)

    async def bury(self, call_keys: Sequence[str], lifetime_ms: int) -> int:
        """Let records of calls of one partition go after a time, but of none that runs."""
        return int(await self._call("bury", call_keys, (lifetime_ms,))) if call_keys else 0

    async def close(self, partition: int, *, epoch: int, last: JournalEnd | None) -> bool:
        """Take the journal away if it ends with `last`; False where it does not."""
        of_partition = keys.partition_keys(partition)
        end = (last.n, last.nonce) if last else ("", "")
        return bool(
            await self._call("close", (of_partition.journal, of_partition.rebuild), (epoch, *end))
        )

    async def drop(self, partition: int, *, epoch: int, call_keys: Sequence[str]) -> bool:
        """Delete the reservations of a closed partition: the index and these calls."""
        of_partition = keys.partition_keys(partition)
        all_keys = [of_partition.expiry, *call_keys]
        for start in range(0, len(all_keys), _DROPPED_AT_ONCE):
            some = all_keys[start : start + _DROPPED_AT_ONCE]
            if not await self._call("drop", (of_partition.rebuild, *some), (epoch,)):
                return False
        return True

    async def reserved_calls(self, partition: int) -> list[str]:
        """List the keys of calls that hold something in a partition."""
        expiry = keys.partition_keys(partition).expiry
        async with named_trouble():
            members = await self._store.command("ZRANGE", expiry, 0, -1)
        calls = (keys.parse_expiry_member(member.decode()) for member in members)
        return [keys.call_key(tenant_id, reference) for reference, tenant_id in calls]

    async def restore(self, partition: int, *, epoch: int, account: RestoredAccount) -> bool:
        """Write one account of a closed partition anew."""
        of_account = keys.account_keys(account.balance.tenant_id)
        hashes = (_account_values(account), _lot_values(account.lots), _flat(account.known))
        return bool(
            await self._call(
                "restore",
                (
                    keys.partition_keys(partition).rebuild,
                    *(of_account.account, of_account.lots, of_account.known),
                ),
                (
                    *(epoch, *(len(values) for values in hashes)),
                    *(value for values in hashes for value in values),
                ),
            )
        )

    async def reopen(
        self, partition: int, *, epoch: int, end: JournalEnd, previous_nonce: str, **times: int
    ) -> bool:
        """Begin the journal again: `now_ms`, and `small_until_ms` until which grants are small."""
        of_partition = keys.partition_keys(partition)
        return bool(
            await self._call(
                "reopen",
                (of_partition.rebuild, of_partition.journal),
                (
                    *(epoch, end.n, end.nonce, previous_nonce),
                    *(times["now_ms"], times["small_until_ms"]),
                ),
            )
        )

    async def hold_lease(self, holder: str, lifetime_ms: int) -> bool:
        """Take the keeper's lease, or hold it for longer; False where somebody else has it."""
        return bool(await self._call("hold", (keys.KEEPER_LEASE,), (holder, lifetime_ms)))

    async def let_lease_go(self, holder: str) -> None:
        """Give the lease back, if it is one's own."""
        await self._call("let_go", (keys.KEEPER_LEASE,), (holder,))

    async def sweep(self, tenant_id: str, fields: Sequence[str]) -> int:
        """Forget tallies of past periods that hold nothing; say how many."""
        account = keys.account_keys(tenant_id).account
        return int(await self._call("sweep", (account,), fields))

    async def account_fields(self, tenant_id: str) -> Mapping[str, str]:
        """Read all of an account as it is; empty where there is none."""
        account = keys.account_keys(tenant_id).account
        async with named_trouble():
            flat = await self._store.command("HGETALL", account)
        return {name.decode(): value.decode() for name, value in pairs(flat)}

    async def _call(
        self, function: str, function_keys: Sequence[str], arguments: Iterable[str | int]
    ) -> Any:
        name, arguments = f"{LIBRARY}_{function}", tuple(arguments)
        async with named_trouble():
            try:
                return await self._store.call(name, function_keys, arguments)
            except FunctionMissing:
                await self._store.load_library(_library_code())
                return await self._store.call(name, function_keys, arguments)


def _library_code() -> str:
    return files("server.ledger").joinpath("keeping.lua").read_text()


def _account_values(account: RestoredAccount) -> list[str | int]:
    balance = account.balance
    due = min((lot.expire_ms for lot in account.lots), default=0)
    values: list[str | int] = [
        *("currency", balance.currency, "prepaid", int(account.prepaid)),
        *("digest", account.digest, "version", account.version, "lots_due_ms", due),
        *("reserved", 0, "post_paid", balance.post_paid_micros, "funded", balance.funded_micros),
        *("debited", balance.debited_micros, "refunded", balance.refunded_micros),
        *("expired", balance.expired_micros, "voided", balance.voided_micros),
        *("owed", balance.owed_micros),
    ]
    if balance.available_micros is not None:
        values += ["available", balance.available_micros]
    for field, done in account.tallies:
        values += [field, f"{done} 0"]
    return values


def _lot_values(lots: Iterable[RestoredLot]) -> list[str]:
    return _flat(
        (lot.lot_id, f"{lot.expire_ms} {lot.purchase_ms} {lot.left_micros} {lot.voided:d}")
        for lot in lots
    )


def _flat(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [value for pair in pairs for value in pair]
