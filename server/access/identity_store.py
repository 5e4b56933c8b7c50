"""The identities that were made by an RPC: kept in SQL, changed with their audit rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from server.access.tables import IDENTITIES, IDENTITY_CHANGES, TOKENS
from server.storage.sql.audit import Audited, AuditTrail, Image
from server.storage.sql.database import Database

# How much of a hash tells one token from another, to people and in the audit trail.
FINGERPRINT_CHARACTERS = 12


class IdentityExists(Exception):
    """There is an identity of this name already."""


class IdentityMissing(Exception):
    """There is no such identity, or it is somebody else's; which of the two is not told."""


class IdentityChanged(Exception):
    """The identity was changed since it was read. Nothing was changed now."""


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token by its hash."""

    sha256: str
    create_ms: int
    expire_ms: int | None

    @property
    def fingerprint(self) -> str:
        """What tells it from others."""
        return self.sha256[:FINGERPRINT_CHARACTERS]


@dataclass(frozen=True, slots=True)
class KeptIdentity:
    """An identity. `tenants` are those it may touch, None for all; `version` grows."""

    identity_id: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None
    create_ms: int
    version: int = 1
    tokens: tuple[KeptToken, ...] = field(default=())

    @property
    def image(self) -> Image:
        """What the audit trail tells of it."""
        return {
            "roles": list(self.roles),
            "tenants": "all" if self.tenants is None else list(self.tenants),
            "tokens": [
                {"fingerprint": one.fingerprint, "expire_ms": one.expire_ms} for one in self.tokens
            ],
        }

    @property
    def tenant_id(self) -> str:
        """Whose audit trail it stands in: that of its only tenant, or of none."""
        return self.tenants[0] if self.tenants is not None and len(self.tenants) == 1 else ""


class IdentityStore:
    """Reads and changes identities. All methods raise `ArchiveUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self) -> int:
        """Count the changes there were; the same number again: nothing is new."""
        return await self._database.read(
            lambda connection: connection.execute(select(IDENTITY_CHANGES.c.number)).scalar_one()
        )

    async def read(self) -> list[KeptIdentity]:
        """Read all of them, by name."""
        return await self._database.read(_read)

    async def find(self, identity_id: str) -> KeptIdentity:
        """Read one. Raises `IdentityMissing`."""
        found = await self._database.read(lambda connection: _read(connection, identity_id))
        if not found:
            raise IdentityMissing
        return found[0]

    async def create(self, identity: KeptIdentity, who: str, trail: AuditTrail) -> None:
        """Keep a new one. Raises `IdentityExists`."""

        def work(connection: Connection) -> None:
            # The row is locked first, so that two changes come one after the other.
            _count_change(connection)
            if _read(connection, identity.identity_id):
                raise IdentityExists
            connection.execute(insert(IDENTITIES), _row(identity))
            _write_tokens(connection, identity)
            _record(trail, connection, who, action="CreateToken", change=(None, identity))

        await self._database.write(work)

    async def replace(self, now: KeptIdentity, who: str, trail: AuditTrail) -> None:
        """Replace the tokens of one by those it has now, if it is still of the version before.

        Raises `IdentityMissing` and `IdentityChanged`.
        """

        def work(connection: Connection) -> None:
            _count_change(connection)
            before = _of_version(connection, now.identity_id, now.version - 1)
            connection.execute(
                update(IDENTITIES)
                .where(IDENTITIES.c.identity_id == now.identity_id)
                .values(version=now.version)
            )
            connection.execute(delete(TOKENS).where(TOKENS.c.identity_id == now.identity_id))
            _write_tokens(connection, now)
            _record(trail, connection, who, action="RotateToken", change=(before, now))

        await self._database.write(work)

    async def remove(self, gone: KeptIdentity, who: str, trail: AuditTrail) -> None:
        """Remove one with its tokens. Raises `IdentityMissing` and `IdentityChanged`."""

        def work(connection: Connection) -> None:
            _count_change(connection)
            before = _of_version(connection, gone.identity_id, gone.version)
            connection.execute(delete(TOKENS).where(TOKENS.c.identity_id == gone.identity_id))
            connection.execute(
                delete(IDENTITIES).where(IDENTITIES.c.identity_id == gone.identity_id)
            )
            _record(trail, connection, who, action="RevokeToken", change=(before, None))

        await self._database.write(work)


def _count_change(connection: Connection) -> None:
    connection.execute(update(IDENTITY_CHANGES).values(number=IDENTITY_CHANGES.c.number + 1))


def _of_version(connection: Connection, identity_id: str, version: int) -> KeptIdentity:
    found = _read(connection, identity_id)
    if not found:
        raise IdentityMissing
    if found[0].version != version:
        raise IdentityChanged
    return found[0]


def _record(
    trail: AuditTrail,
    connection: Connection,
    who: str,
    *,
    action: str,
    change: tuple[KeptIdentity | None, KeptIdentity | None],
) -> None:
    before, after = change
    identity = after or before
    assert identity is not None, "a change has a before or an after"
    trail.record(
        connection,
        who,
        Audited(action, f"identities/{identity.identity_id}", identity.tenant_id),
        before=None if before is None else before.image,
        after=None if after is None else after.image,
    )


def _read(connection: Connection, identity_id: str | None = None) -> list[KeptIdentity]:
    rows = select(IDENTITIES).order_by(IDENTITIES.c.identity_id)
    tokens = select(TOKENS).order_by(TOKENS.c.create_ms, TOKENS.c.sha256)
    if identity_id is not None:
        rows = rows.where(IDENTITIES.c.identity_id == identity_id)
        tokens = tokens.where(TOKENS.c.identity_id == identity_id)
    of_identity: dict[str, list[KeptToken]] = {}
    for row in connection.execute(tokens).mappings():
        token = KeptToken(row["sha256"], row["create_ms"], row["expire_ms"])
        of_identity.setdefault(row["identity_id"], []).append(token)
    return [
        _kept(row, of_identity.get(row["identity_id"], ()))
        for row in connection.execute(rows).mappings()
    ]


def _kept(row: RowMapping, tokens: Iterable[KeptToken]) -> KeptIdentity:
    tenants: Sequence[str] | None = json.loads(row["tenants"])
    return KeptIdentity(
        row["identity_id"],
        tuple(row["roles"].split()),
        None if tenants is None else tuple(tenants),
        row["create_ms"],
        row["version"],
        tuple(tokens),
    )


def _row(identity: KeptIdentity) -> dict[str, Any]:
    return {
        "identity_id": identity.identity_id,
        "roles": " ".join(identity.roles),
        "tenants": json.dumps(identity.tenants),
        "create_ms": identity.create_ms,
        "version": identity.version,
    }


def _write_tokens(connection: Connection, identity: KeptIdentity) -> None:
    rows = [
        {
            "sha256": one.sha256,
            "identity_id": identity.identity_id,
            "create_ms": one.create_ms,
            "expire_ms": one.expire_ms,
        }
        for one in identity.tokens
    ]
    if rows:
        connection.execute(insert(TOKENS), rows)
