"""What the keeper does to the ledger in Redis: each verb one step of `maintenance.lua`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from server.ledger import keys
from server.ledger.answers import Balance
from server.ledger.store_calls import named_trouble, pairs
from server.storage.redis import FunctionMissing, Store

LIBRARY = "callgate_keeping_v2"
_DROPPED_AT_ONCE = 500
_TALLIES = frozenset({"pool", "spend"})


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
    refund what it was; `freezing_ms` and `limiting_ms` when freeze and limit were asked for last.
    """

    balance: Balance
    prepaid: bool
    digest: str
    version: int
    frozen: bool
    credit_limit_micros: int
    freezing_ms: int
    limiting_ms: int
    lots: tuple[RestoredLot, ...]
    tallies: tuple[tuple[str, int], ...]
    known: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """Where a journal ends: place and nonce of its last entry."""

    n: int
    nonce: str


class ArchivedPlace(NamedTuple):
    """Up to which entry of a journal the archive has it."""

    epoch: int
    n: int
    nonce: str


class Looked(NamedTuple):
    """A partition at one moment.

    How many reservations its index names, the place of the last entry of its journal (0 where there
    is none), and fields of its accounts.
    """

    reservations: int
    last_n: int
    fields: Mapping[str, str | None]


NOTHING_ARCHIVED = ArchivedPlace(0, 0, "-")


@dataclass(frozen=True, slots=True)
class AsideState:
    """A partition in which nothing is decided: fields of its accounts, records of calls by key."""

    fields: Mapping[str, str]
    records: Mapping[str, bytes]


# A debit or a refund is known by its id for this long after it was made, a lot so long after it
# expired: until then it cannot come in again. Requests are answered by the archive.
KNOWN_MS = 30 * 24 * 60 * 60 * 1_000
_MADE = re.compile(r"(?:debit \d+|refund \d+ \S*|ruled_out 0) (\d{13})")
# What was taken back, and voided at once, has no such time.
_EXPIRED = re.compile(r"lot \d+ (\d{13})(?: voided)?")
# Of what begins so the ledger notes when it was, at the end.
TIMED = ("debit ", "refund ", "ruled_out ")


class Keeping:
    """The keeper's steps. All raise `LedgerUnavailable`; none harms when it comes late."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def trim(self, partition: int, *, epoch: int, n: int, nonce: str) -> bool:
        """Drop entries before `n`. False where entry `n` is not the one that was archived."""
        of_partition = keys.partition_keys(partition)
        function_keys = (of_partition.journal, of_partition.accounts)
        return bool(await self._call("trim", function_keys, (n, nonce, epoch)) >= 0)

    async def bury(self, call_keys: Sequence[str], lifetime_ms: int) -> int:
        """Let records of calls of one partition go after a time, but of none that runs."""
        return int(await self._call("bury", call_keys, (lifetime_ms,))) if call_keys else 0

    async def has_accounts(self, partition: int) -> bool:
        """Tell whether the line of a partition is there, without which nothing is decided in it."""
        async with named_trouble():
            accounts = keys.partition_keys(partition).accounts
            return bool(await self._store.command("HEXISTS", accounts, keys.META_FIELD))

    async def holds_nothing(self, partition: int) -> bool:
        """Tell whether no call of a partition holds anything."""
        async with named_trouble():
            return not await self._store.command("ZCARD", keys.partition_keys(partition).expiry)

    async def look(self, partition: int, fields: Sequence[str]) -> Looked:
        """Read what an inspection goes by, at one moment."""
        of_partition = keys.partition_keys(partition)
        function_keys = (of_partition.accounts, of_partition.expiry, of_partition.journal)
        count, last_n, *values = await self._call("look", function_keys, fields)
        texts = (None if value is None else value.decode() for value in values)
        return Looked(int(count), int(last_n), dict(zip(fields, texts, strict=True)))

    async def close(self, partition: int, *, epoch: int, last: JournalEnd | None) -> bool:
        """Empty a partition if its journal ends with `last`; False where it does not."""
        end = (last.n, last.nonce) if last else ("", "")
        of_partition = keys.partition_keys(partition)
        return bool(await self._call("close", of_partition, (epoch, *end)))

    async def set_aside(self, partition: int, *, epoch: int, archived: ArchivedPlace) -> bool:
        """Shut a partition that lost its journal alone; all else in it stays as it is.

        False where it lost something else, or another rebuild was faster.
        """
        of_partition = keys.partition_keys(partition)
        function_keys = (of_partition.accounts, of_partition.journal)
        return bool(await self._call("set_aside", function_keys, (epoch, *archived)))

    async def read_aside(self, partition: int) -> AsideState | None:
        """Read all that a partition holds which was set aside; None where it was not."""
        of_partition = keys.partition_keys(partition)
        async with named_trouble():
            flat = await self._store.command("HGETALL", of_partition.accounts)
            fields = {name.decode(): text.decode() for name, text in pairs(flat)}
            if keys.CARRIED_FIELD not in fields:
                return None
            records: dict[str, bytes] = {}
            for kind in keys.CALL_KINDS:
                async for names in self._store.scan(keys.every_call_of(partition, kind)):
                    texts = await self._store.command("MGET", *names)
                    found = zip(names, texts, strict=True)
                    records |= {name.decode(): text for name, text in found if text is not None}
        return AsideState(fields, records)

    async def drop_calls(self, partition: int, *, epoch: int) -> bool:
        """Delete every record of a call of a closed partition, whatever it is of.

        False where another rebuild was faster.
        """
        of_partition = keys.partition_keys(partition)
        dropped = True
        async with named_trouble():
            async for found in self._store.scan(keys.every_key_of(partition)):
                names = [name.decode() for name in found]
                calls = [name for name in names if name not in of_partition]
                for start in range(0, len(calls), _DROPPED_AT_ONCE):
                    some = calls[start : start + _DROPPED_AT_ONCE]
                    keys_given = (of_partition.accounts, *some)
                    dropped = dropped and bool(await self._call("drop", keys_given, (epoch,)))
        return dropped

    async def restore(self, partition: int, *, epoch: int, account: RestoredAccount) -> bool:
        """Write one account of a closed partition anew."""
        accounts = keys.partition_keys(partition).accounts
        values = _account_values(account)
        return bool(await self._call("restore", (accounts,), (epoch, *values)))

    async def reopen(
        self, partition: int, *, epoch: int, end: JournalEnd, previous_nonce: str, **times: int
    ) -> bool:
        """Begin the journal again: `now_ms`, and `small_until_ms` until which grants are small."""
        of_partition = keys.partition_keys(partition)
        return bool(
            await self._call(
                "reopen",
                (of_partition.accounts, of_partition.journal),
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

    async def sweep(self, partition: int, oldest_period: str, known_since_ms: int) -> int:
        """Forget tallies of periods before `oldest_period` that hold nothing; say how many.

        Also which debits and refunds were made, and lots over, before `known_since_ms`: nobody asks
        for them again.
        """
        accounts = keys.partition_keys(partition).accounts
        swept, cursor = 0, b"0"
        while True:
            async with named_trouble():
                cursor, found = await self._store.command("HSCAN", accounts, cursor, "COUNT", 1_000)
            fields = ((name.decode(), text.decode()) for name, text in pairs(found))
            past = [
                name
                for name, text in fields
                if is_past(name, oldest_period)
                or is_long_known(*_known_of(name), text, since_ms=known_since_ms)
            ]
            if past:
                swept += int(await self._call("sweep", (accounts,), past))
            if cursor in {0, b"0"}:
                return swept

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
    return files("server.ledger").joinpath("maintenance.lua").read_text()


def is_past(field: str, oldest_period: str) -> bool:
    """Tell whether a field is a tally of a period before the oldest that is kept."""
    kind, _, rest = field.partition("/")
    return kind in _TALLIES and rest.partition("/")[0] < oldest_period


def is_long_known(tenant_id: str, known_id: str, text: str, *, since_ms: int) -> bool:
    """Tell whether this is what was written of what was made, or of a lot that was over, before.

    By an opening lot it is known for good that the balance was given.
    """
    made = _MADE.fullmatch(text) or _EXPIRED.fullmatch(text)
    is_past = made is not None and int(made[1]) < since_ms
    return is_past and known_id != keys.opening_lot(tenant_id)


def _known_of(field: str) -> tuple[str, str]:
    """Say of which account, and of which id, a field tells; no such id stands for none."""
    kind, _, rest = field.partition("/")
    tenant, _, known_id = rest.partition("/")
    return (keys.tenant_of(tenant), known_id) if kind == "known" else ("", "")


def _account_values(account: RestoredAccount) -> list[str]:
    balance, name = account.balance, keys.tenant_name(account.balance.tenant_id)
    due_ms = min((lot.expire_ms for lot in account.lots), default=0)
    available = "-" if balance.available_micros is None else balance.available_micros
    limit = f" {account.credit_limit_micros}" if account.credit_limit_micros else ""
    totals = (
        *(balance.funded_micros, balance.debited_micros, balance.refunded_micros),
        *(balance.expired_micros, balance.voided_micros, balance.owed_micros),
    )
    values = {
        f"about/{name}": f"{balance.currency} {account.prepaid:d} {account.version}",
        f"flags/{name}": f"{account.digest} {account.frozen:d} {due_ms}{limit}",
        f"money/{name}": f"{available} 0 {balance.post_paid_micros}",
        f"totals/{name}": " ".join(map(str, totals)),
        f"lots/{name}": "\x1e".join(map(_lot_text, account.lots)),
        f"freezing/{name}": str(account.freezing_ms),
        f"limiting/{name}": str(account.limiting_ms),
        **{f"known/{name}/{known_id}": text for known_id, text in account.known},
        **{field: f"{done} 0" for field, done in account.tallies},
    }
    return [text for pair in values.items() for text in pair]


def _lot_text(lot: RestoredLot) -> str:
    return f"{lot.expire_ms} {lot.purchase_ms} {lot.left_micros} {lot.voided:d} {lot.lot_id}"
