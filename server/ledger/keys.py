"""Every key and field of the ledger in Redis: its spelling, type, content and lifetime.

Keys of one partition share the tag in braces, so that they lie in one cluster slot. A tenant is
always in the same partition. See docs/ledger.md for the table.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache

from server.ledger.questions import CallKey

PARTITIONS = 256
# String: which keeper works; it lives some seconds and is of no partition.
KEEPER_LEASE = "callgate:keeper"
_CACHED_TENANTS = 65_536
_CALL_REFERENCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class PartitionKeys:
    """Keys that all tenants of a partition share."""

    # Sorted set: "<call reference>:<tenant>" by the time a reservation lapses, in milliseconds.
    expiry: str
    # Stream: one entry a change, ids n-0; trimmed when archived, but never its last entry.
    journal: str
    # String: the epoch a lost partition is being filled for; gone when its journal begins again.
    rebuild: str
    # Sharded channel: the id of a new journal entry, while a tenant of the partition is watched.
    channel: str


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Keys of one tenant; all live as long as the tenant."""

    # Hash: sums of money, tallies, counts of running calls, flags.
    account: str
    # Hash: lot id -> "expire_ms purchase_ms left_micros voided", lots with something left.
    lots: str
    # Hash: id of a top-up, debit or refund -> what it was.
    known: str
    partition: PartitionKeys

    def for_call(self, *calls: str) -> tuple[str, ...]:
        """List the keys of a function about calls, in the order that all of them share."""
        shared = self.partition
        return (self.account, shared.expiry, shared.journal, self.lots, shared.channel, *calls)


@lru_cache(maxsize=_CACHED_TENANTS)
def partition_of(tenant_id: str) -> int:
    """Name the partition of a tenant: the same in every process and every release."""
    return hashlib.sha256(tenant_id.encode()).digest()[0] % PARTITIONS


@lru_cache(maxsize=PARTITIONS)
def partition_keys(partition: int) -> PartitionKeys:
    """Spell the keys of one partition."""
    tag = f"{{p{partition}}}"
    return PartitionKeys(
        expiry=f"{tag}:expiry",
        journal=f"{tag}:journal",
        rebuild=f"{tag}:rebuild",
        channel=f"{tag}:changes",
    )


@lru_cache(maxsize=_CACHED_TENANTS)
def account_keys(tenant_id: str) -> AccountKeys:
    """Spell the keys of one tenant."""
    partition = partition_of(tenant_id)
    tag = f"{{p{partition}}}"
    return AccountKeys(
        account=f"{tag}:account:{tenant_id}",
        lots=f"{tag}:lots:{tenant_id}",
        known=f"{tag}:known:{tenant_id}",
        partition=partition_keys(partition),
    )


def every_key_of(partition: int) -> str:
    """Give the pattern that all keys of a partition match, and no others."""
    return f"{{p{partition}}}:*"


def call_reference(*parts: str) -> str:
    """Stand for a call in keys: 22 characters; no byte of a caller's is ever part of a key."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()[:_CALL_REFERENCE_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def call_key(tenant_id: str, reference: str) -> str:
    """Spell the key of a call.

    Hash: the call and the last answer about it. It lives while the call runs and 15 minutes after
    its entries are archived; the record of a refusal lives 120 s.
    """
    return f"{{p{partition_of(tenant_id)}}}:call:{reference}"


def other_gateway_key(call: CallKey) -> str:
    """Spell the key for a refusal because another gateway has the call id in use. Hash; 120 s."""
    reference = call_reference(call.tenant_id, call.call_id, call.gateway_id)
    return f"{{p{partition_of(call.tenant_id)}}}:other:{reference}"


def expiry_member(tenant_id: str, reference: str) -> str:
    """Name a call in the index of reservations by expiry."""
    return f"{reference}:{tenant_id}"


def parse_expiry_member(member: str) -> tuple[str, str]:
    """Read (call reference, tenant) from a name in that index."""
    reference, _, tenant_id = member.partition(":")
    return reference, tenant_id


def pool_field(period: str, counter: str, pool_id: str) -> str:
    """Name the tally of a pool in the account: "debited held" seconds of one period."""
    return f"pool/{period}/{counter}/{pool_id}"


def spend_field(period: str, account_id: str) -> str:
    """Name the tally of what one account spent in a period: "debited held" micros."""
    return f"spend/{period}/{account_id}"


def period_of(field: str) -> str:
    """Say of which period a field of the account is a tally; "" where it is none."""
    kind, _, rest = field.partition("/")
    return rest.partition("/")[0] if kind in {"pool", "spend"} else ""


def running_field(account_id: str) -> str:
    """Name the number of running calls of one account."""
    return f"running/{account_id}"


def opening_lot(tenant_id: str) -> str:
    """Name the lot that a balance written in a file becomes."""
    return f"opening:{tenant_id}"
