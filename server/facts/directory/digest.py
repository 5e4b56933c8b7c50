"""What identifies a tenant's facts: the same facts, the same digest, however they were written."""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, replace
from itertools import chain
from typing import Any

import msgspec

from policy.facts import ResourceAccount, ServiceNumber, Tenant, User

DIGEST_DIGITS = 32

Item = User | ResourceAccount | ServiceNumber

# Counted by `sum_of`, one by one, so that a change of one of many costs no look at the others.
_TABLES = frozenset({"users", "resource_accounts", "service_numbers"})
_MODULUS = 1 << 256
_ENCODER = msgspec.json.Encoder(order="deterministic")


def with_digest(tenant: Tenant, items_sum: int | None = None) -> Tenant:
    """Give a tenant the digest of all its other facts.

    It is made of the facts after licences and plans were unfolded, so that a change of the plan
    table, too, is a change of the tenants that hold the plan, and of no other. `items_sum` is the
    sum of its users, resource accounts and service numbers by `sum_of`, where it is known.
    """
    facts = {each.name: getattr(tenant, each.name) for each in fields(tenant)}
    tables = [facts.pop(name) for name in sorted(_TABLES)]
    if items_sum is None:
        items_sum = sum_of(*chain.from_iterable(table.values() for table in tables))
    del facts["digest"]
    facts["items"] = f"{items_sum:064x}"
    # A pool is named by two words, and JSON has no pairs for names.
    facts["pool_sizes"] = sorted(tenant.pool_sizes.items())
    canonical = msgspec.json.encode(facts, enc_hook=_spell, order="deterministic")
    return replace(tenant, digest=hashlib.sha256(canonical).hexdigest()[:DIGEST_DIGITS])


def sum_of(*items: Item) -> int:
    """Sum up hashes of items: of the same items the same sum, in whatever order."""
    return sum(map(_hash_of, items)) % _MODULUS


def moved_sum(items_sum: int, *, gone: Item | None, come: Item | None) -> int:
    """Say what a sum becomes when one item gives way to another."""
    lost = 0 if gone is None else _hash_of(gone)
    won = 0 if come is None else _hash_of(come)
    return (items_sum - lost + won) % _MODULUS


def _hash_of(item: Item) -> int:
    kind = type(item).__name__.encode()
    return int.from_bytes(hashlib.sha256(kind + b" " + _ENCODER.encode(item)).digest(), "big")


def _spell(value: Any) -> Any:
    if isinstance(value, re.Pattern):
        return value.pattern
    raise NotImplementedError(f"there is no canonical form of a {type(value).__name__}")
