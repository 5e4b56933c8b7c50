"""Reading a whole partition as it stands at one entry of its journal, for who checks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from policy.decision import CreditsPurse, PoolPurse
from server.ledger import keys
from server.ledger.codec import (
    CallRecord,
    read_account,
    read_call_text,
    read_held,
    read_lots,
    read_meta,
    read_purses,
    read_record,
    tally_fields,
)
from server.ledger.store_calls import named_trouble, pairs
from server.storage.redis import Store

_TALLIES = frozenset({"pool", "spend"})
_MOST_READINGS = 20


@dataclass(frozen=True, slots=True)
class AuditedAccount:
    """The money of one account, as the ledger has it; all sums in micros."""

    available: int
    reserved: int
    post_paid: int
    funded: int
    debited: int
    refunded: int
    expired: int
    voided: int
    owed: int
    lots_left: int

    @property
    def unexplained(self) -> int:
        """What invariant 1 cannot explain; anything but 0 is damage."""
        came = self.funded + self.post_paid + self.refunded
        return came - self.available - self.reserved - self.debited - self.expired - self.voided


@dataclass(slots=True)
class PartitionAudit:
    """A partition after entry `n` of its journal, which was written at `time_ms`.

    `held_micros` by tenant and `held_tallies` by field are what the calls that run hold, added up;
    `lost_calls` stand in the index of reservations and nowhere else.
    """

    epoch: int
    n: int
    nonce: str
    time_ms: int
    accounts: dict[str, AuditedAccount] = field(default_factory=dict)
    # By field: what was debited, and what is held.
    tallies: dict[str, tuple[int, int]] = field(default_factory=dict)
    held_micros: Counter[str] = field(default_factory=Counter)
    # What of it will be invoiced, so that no lot holds it.
    held_unfunded: Counter[str] = field(default_factory=Counter)
    held_tallies: Counter[str] = field(default_factory=Counter)
    lost_calls: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RememberedCall:
    """What a record says of a call: its id, and what the purses that pay it now paid for it."""

    call_id: str
    seconds: int
    micros: int


class PartitionBusy(Exception):
    """So much happens in the partition that it could not be read whole."""


class Auditor:
    """Reads partitions. Raises `LedgerUnavailable` and `LedgerDamaged`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, partition: int) -> PartitionAudit | None:
        """Read one partition; None where it is not open. Raises `PartitionBusy`."""
        of_partition = keys.partition_keys(partition)
        for _ in range(_MOST_READINGS):
            fields = await self._hash(of_partition.accounts)
            meta = fields.get(keys.META_FIELD)
            if meta is None:
                return None
            audit = _read_accounts(meta, fields)
            await self._add_calls(audit, of_partition.expiry)
            async with named_trouble():
                after = await self._store.command("HGET", of_partition.accounts, keys.META_FIELD)
            if after is not None and after.decode() == meta:
                return audit
        raise PartitionBusy

    async def paid(self, partition: int) -> dict[str, RememberedCall]:
        """Say what the store remembers of each call, by the decision that began it."""
        found: dict[str, RememberedCall] = {}
        for kind in keys.CALL_KINDS:
            async with named_trouble():
                async for names in self._store.scan(keys.every_call_of(partition, kind)):
                    for text in await self._store.command("MGET", *names):
                        record = None if text is None else read_record(text)
                        if record is not None and record.state != b"refused":
                            _remember(found, record)
        return found

    async def _add_calls(self, audit: PartitionAudit, expiry: str) -> None:
        async with named_trouble():
            members = await self._store.command("ZRANGE", expiry, 0, -1)
        for member in members:
            reference, tenant_id = keys.parse_expiry_member(member.decode())
            async with named_trouble():
                text = await self._store.command("GET", keys.call_key(tenant_id, reference))
            record = None if text is None else read_record(text)
            if record is not None and record.state == b"live":
                _add_call(audit, tenant_id, record)
            else:
                audit.lost_calls.append(member.decode())

    async def _hash(self, key: str) -> dict[str, str]:
        async with named_trouble():
            flat = await self._store.command("HGETALL", key)
        return {name.decode(): value.decode() for name, value in pairs(flat)}


def _remember(found: dict[str, RememberedCall], record: CallRecord) -> None:
    _, uses = read_held(record)
    opened_id = (record.opened_id or record.decision_id).decode()
    found[opened_id] = RememberedCall(
        read_call_text(record.facts.decode()).call_id,
        sum(use.seconds for use in uses),
        sum(use.micros for use in uses),
    )


def _read_accounts(meta: str, fields: Mapping[str, str]) -> PartitionAudit:
    audit = PartitionAudit(*read_meta(meta)[:4])
    for name, text in fields.items():
        kind, _, rest = name.partition("/")
        if kind == "money":
            audit.accounts[keys.tenant_of(rest)] = _read_account(fields, rest)
        elif kind in _TALLIES:
            done, held = text.split(" ")
            audit.tallies[name] = int(done), int(held)
    return audit


def _read_account(fields: Mapping[str, str], name: str) -> AuditedAccount:
    sums = read_account(fields[f"money/{name}"], fields[f"totals/{name}"])
    lots = read_lots(fields.get(f"lots/{name}", ""))
    return AuditedAccount(sums.available or 0, *sums[1:], sum(lot.left_micros for lot in lots))


def _add_call(audit: PartitionAudit, tenant_id: str, record: CallRecord) -> None:
    purses = read_purses(read_call_text(record.facts.decode()).purses).purses
    segments, _ = read_held(record)
    for index, start, end, held in segments:
        purse = purses[index]
        if isinstance(purse, CreditsPurse):
            audit.held_micros[tenant_id] += held
            if purse.post_paid and record.unfunded == b"1":
                audit.held_unfunded[tenant_id] += held
        amount = end - start if isinstance(purse, PoolPurse) else held
        for field_name, _ in tally_fields(purse, tenant_id)[:1]:
            audit.held_tallies[field_name] += amount
