"""What identifies a tenant's facts: the same facts, the same digest, however they were written."""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, replace
from typing import Any

import msgspec

from policy.facts import Tenant

DIGEST_DIGITS = 32


def with_digest(tenant: Tenant) -> Tenant:
    """Give a tenant the digest of all its other facts.

    It is made of the facts after licences and plans were unfolded, so that a change of the plan
    table, too, is a change of the tenants that hold the plan, and of no other.
    """
    facts = {field.name: getattr(tenant, field.name) for field in fields(tenant)}
    del facts["digest"]
    # A pool is named by two words, and JSON has no pairs for names.
    facts["pool_sizes"] = sorted(tenant.pool_sizes.items())
    canonical = msgspec.json.encode(facts, enc_hook=_spell, order="deterministic")
    return replace(tenant, digest=hashlib.sha256(canonical).hexdigest()[:DIGEST_DIGITS])


def _spell(value: Any) -> Any:
    if isinstance(value, re.Pattern):
        return value.pattern
    raise NotImplementedError(f"there is no canonical form of a {type(value).__name__}")
