"""Every key and field of the ledger in Redis: its spelling, type, content and lifetime.

Keys of one partition share the tag in braces, so that they lie in one cluster slot. A tenant is
always in the same partition. See docs/ledger.md for the table.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from server.ledger.requests import CallKey
from server.storage.redis.references import call_reference

PARTITIONS = 256
# String: which keeper works; it lives some seconds and is of no partition.
KEEPER_LEASE = "callgate:keeper"
_CACHED_TENANTS = 65_536
_CACHED_GATEWAYS = 4_096
# What stands behind the tag in keys of records of calls.
CALL_KINDS = ("call", "other")


class PartitionKeys(NamedTuple):
    """Keys that all tenants of a partition share, as every function takes them.

    They live as long as the store.
    """

    # Hash: the partition's own line `meta`, and the fields of its accounts, named below.
    accounts: str
    # Sorted set: "<call reference>:<tenant>" by the time a reservation lapses, in milliseconds.
    expiry: str
    # Stream: one entry a change, ids n-0; trimmed when archived, but never its last entry. Also
    # the sharded channel on which the id of each new entry is told.
    journal: str


@lru_cache(maxsize=_CACHED_TENANTS)
def partition_of(tenant_id: str) -> int:
    """Name the partition of a tenant: the same in every process and every release."""
    return hashlib.sha256(tenant_id.encode()).digest()[0] % PARTITIONS


@lru_cache(maxsize=PARTITIONS)
def partition_keys(partition: int) -> PartitionKeys:
    """Spell the keys of one partition."""
    tag = f"{{p{partition}}}"
    return PartitionKeys(f"{tag}:accounts", f"{tag}:expiry", f"{tag}:journal")


@lru_cache(maxsize=_CACHED_TENANTS)
def keys_of(tenant_id: str) -> PartitionKeys:
    """Spell the keys of a tenant's partition."""
    return partition_keys(partition_of(tenant_id))


def every_key_of(partition: int) -> str:
    """Give the pattern that all keys of a partition match, and no others."""
    return f"{{p{partition}}}:*"


def every_call_of(partition: int, kind: str) -> str:
    """Give the pattern that keys of one of `CALL_KINDS` match, of one partition."""
    return f"{{p{partition}}}:{kind}:*"


def call_key(tenant_id: str, reference: str) -> str:
    """Spell the key of a call.

    String: the call and the last answer about it. It lives while the call runs and 15 minutes after
    its entries are archived; the record of a refusal lives 15 minutes.
    """
    return call_key_stem(tenant_id) + reference


@lru_cache(maxsize=_CACHED_TENANTS)
def call_key_stem(tenant_id: str) -> str:
    """Spell what the keys of all calls of a tenant begin with."""
    return f"{{p{partition_of(tenant_id)}}}:call:"


def nobodys_key(partition: int) -> str:
    """Spell a key of a partition that is never there: references of calls are longer."""
    return f"{{p{partition}}}:call:probe"


def other_gateway_key(call: CallKey) -> str:
    """Spell the key for what a gateway was answered about a call id that another one has by now.

    String: a refusal because the call id is in use, which lives 15 minutes, or a call that is over
    and was set aside, which lives as any other, until 15 minutes after its end is archived.
    """
    reference = call_reference(call.tenant_id, call.call_id)
    return other_key_stem(call.tenant_id) + reference + gateway_mark(call.gateway_id)


@lru_cache(maxsize=_CACHED_TENANTS)
def other_key_stem(tenant_id: str) -> str:
    """Spell what those keys of a tenant begin with; reference and mark of the gateway follow."""
    return f"{{p{partition_of(tenant_id)}}}:other:"


@lru_cache(maxsize=_CACHED_GATEWAYS)
def gateway_mark(gateway_id: str) -> str:
    """Stand for a gateway behind the reference of a call: 22 characters."""
    return call_reference(gateway_id)


def newest_stream_key(gateway_id: str) -> str:
    """Spell the key of a gateway's newest stream.

    String: the id of that stream. It is of no partition, and lives a day after it was last looked
    at.
    """
    return f"callgate:stream:{call_reference(gateway_id)}"


def expiry_member(tenant_id: str, reference: str) -> str:
    """Name a call in the index of reservations by expiry."""
    return f"{reference}:{tenant_name(tenant_id)}"


def parse_expiry_member(member: str) -> tuple[str, str]:
    """Read (call reference, tenant) from a name in that index."""
    reference, _, name = member.partition(":")
    return reference, tenant_of(name)


META_FIELD = "meta"
# Up to which entry the journal was archived: epoch, place and nonce.
ARCHIVED_FIELD = "archived"
# The partition's line, while what it holds is carried over because its journal was lost.
CARRIED_FIELD = "carried"


def pool_field(tenant_id: str, period: str, *, counter: str, pool_id: str) -> str:
    """Name the tally of a pool: "debited held" seconds of one period."""
    return f"pool/{period}/{counter}/{tenant_name(tenant_id)}/{pool_id}"


def spend_field(tenant_id: str, period: str, account_id: str) -> str:
    """Name the tally of what one account spent in a period: "debited held" micros."""
    return f"spend/{period}/{tenant_name(tenant_id)}/{account_id}"


def running_field(tenant_id: str, account_id: str) -> str:
    """Name the number of running calls of one account."""
    return f"running/{tenant_name(tenant_id)}/{account_id}"


def opening_lot(tenant_id: str) -> str:
    """Name the lot that a balance written in a file becomes."""
    return f"opening:{tenant_id}"


@lru_cache(maxsize=_CACHED_TENANTS)
def tenant_name(tenant_id: str) -> str:
    """Write a tenant's id as it stands in fields and in the journal: with no slash in it."""
    if "/" in tenant_id or "%" in tenant_id:
        return quote(tenant_id, safe="")
    return tenant_id


def tenant_of(name: str) -> str:
    """Read a tenant's id out of a field or the journal."""
    return unquote(name)
