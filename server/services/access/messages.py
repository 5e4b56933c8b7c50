"""Identities and the audit trail, from the wire and for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import access_pb2 as pb
from server.access.identities import Identity
from server.access.identity_file import IDENTITY_ID
from server.access.identity_store import FINGERPRINT_CHARACTERS, KeptIdentity
from server.access.roles import Role
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest, no_such_page
from server.calls.messages.parts import set_time
from server.storage.sql.audit import AuditEntry

MAX_TENANTS = 1_000
MAX_OVERLAP_SECONDS = 30 * 86_400
DEFAULT_OVERLAP_SECONDS = 86_400
LEAST_LIFE_MS = 60_000
_MS = 1_000
_AUDIT_ID = re.compile(r"[1-9]\d{0,17}", re.ASCII)

_ROLES: Mapping[int, Role] = {
    pb.ROLE_BRIDGE: Role.BRIDGE,
    pb.ROLE_TENANT_ADMINISTRATOR: Role.TENANT_ADMINISTRATOR,
    pb.ROLE_OPERATOR: Role.OPERATOR,
    pb.ROLE_READER: Role.READER,
}
_WIRE_ROLES = {role: pb.Role.ValueType(number) for number, role in _ROLES.items()}


class Wish(NamedTuple):
    """Who is to be known."""

    identity_id: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None


def read_wish(told: pb.Identity) -> Wish:
    """Read an identity that is to be made. Raises `InvalidRequest`."""
    if not told.roles:
        raise InvalidRequest("identity.roles", "at least one role")
    for place, number in enumerate(told.roles):
        if number not in _ROLES:
            raise InvalidRequest(f"identity.roles[{place}]", "a role")
    roles = frozenset(_ROLES[number] for number in told.roles)
    return Wish(identity_id("identity.identity_id", told.identity_id), roles, _tenants(told))


def identity_id(field: str, value: str) -> str:
    """Check the name of an identity."""
    if not IDENTITY_ID.fullmatch(value):
        raise InvalidRequest(field, "1 to 64 letters, digits and any of . _ @ + -")
    return value


def expire_ms(told: Timestamp, now_ms: int) -> int:
    """Read until when a token is good. Raises `InvalidRequest`."""
    try:
        wanted_ms = told.ToMilliseconds()
    except (ValueError, OverflowError) as error:
        raise InvalidRequest("expire_time", "a time") from error
    if wanted_ms < now_ms + LEAST_LIFE_MS:
        raise InvalidRequest("expire_time", "at least a minute from now, or absent")
    return wanted_ms


def overlap_ms(told: Duration) -> int:
    """Read how long old tokens stay good. Raises `InvalidRequest`."""
    if told.nanos or not 0 <= told.seconds <= MAX_OVERLAP_SECONDS:
        raise InvalidRequest(
            "overlap_duration", f"whole seconds from 0 to {MAX_OVERLAP_SECONDS}, or absent"
        )
    return told.seconds * _MS


def version_of(etag: str, kept: KeptIdentity) -> int:
    """Say which version a change begins from: that of its etag, or the one there is."""
    if not etag:
        return kept.version
    return kept.version if etag == _etag(kept) else -1


def identity_page(token: str) -> str:
    """Read behind which identity a page begins."""
    if token and not IDENTITY_ID.fullmatch(token):
        raise no_such_page()
    return token


def audit_page(token: str) -> int | None:
    """Read before which change a page begins."""
    if not token:
        return None
    if not _AUDIT_ID.fullmatch(token):
        raise no_such_page()
    return int(token)


def kept_identity(kept: KeptIdentity) -> pb.Identity:
    """Tell an identity of the archive."""
    told = pb.Identity(
        identity_id=kept.identity_id,
        roles=[_WIRE_ROLES[Role(role)] for role in kept.roles],
        tenant_ids=kept.tenants or (),
        all_tenants=kept.tenants is None,
        source=pb.IDENTITY_SOURCE_ARCHIVE,
        etag=_etag(kept),
    )
    for token in kept.tokens:
        added = told.tokens.add(fingerprint=token.fingerprint)
        set_time(added.create_time, token.create_ms)
        if token.expire_ms is not None:
            set_time(added.expire_time, token.expire_ms)
    return told


def file_identity(one: Identity) -> pb.Identity:
    """Tell an identity of the engine's file."""
    told = pb.Identity(
        identity_id=one.identity_id,
        roles=sorted(_WIRE_ROLES[role] for role in one.roles),
        tenant_ids=sorted(one.tenants or ()),
        all_tenants=one.tenants is None,
        certificate_names=one.certificate_names,
        source=pb.IDENTITY_SOURCE_FILE,
    )
    for token in one.tokens:
        added = told.tokens.add(fingerprint=token.sha256[:FINGERPRINT_CHARACTERS])
        if token.expire_ms is not None:
            set_time(added.expire_time, token.expire_ms)
    return told


def audit_entry(entry: AuditEntry) -> pb.AuditEntry:
    """Tell one change."""
    told = pb.AuditEntry(
        audit_id=entry.audit_id,
        identity_id=entry.identity_id,
        action=entry.what.action,
        resource=entry.what.resource,
        tenant_id=entry.what.tenant_id,
    )
    set_time(told.change_time, entry.time_ms)
    if entry.before is not None:
        told.before.update(json.loads(entry.before))
    if entry.after is not None:
        told.after.update(json.loads(entry.after))
    return told


def _tenants(told: pb.Identity) -> frozenset[str] | None:
    if told.all_tenants:
        if told.tenant_ids:
            raise InvalidRequest("identity.tenant_ids", "none, with all_tenants")
        return None
    if not 1 <= len(told.tenant_ids) <= MAX_TENANTS:
        raise InvalidRequest("identity.tenant_ids", f"1 to {MAX_TENANTS}, or all_tenants")
    for place, tenant_id in enumerate(told.tenant_ids):
        limits.tenant_id(tenant_id, f"identity.tenant_ids[{place}]")
    return frozenset(told.tenant_ids)


def _etag(kept: KeptIdentity) -> str:
    # A name that is used again begins with another time.
    return f"{kept.create_ms:x}-{kept.version}"
