"""A copy of the archive's tenants in the store, to start with while the archive is away.

Nothing is decided by it alone: what it says has a digest, and the ledger refuses another than the
one it was told when the facts came into use. So it may be behind, or half written: that does no
harm.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from dataclasses import dataclass

from server.storage.redis import Store, StoreUnavailable
from server.storage.redis.references import call_reference

# So much goes in one command, so that no question waits long behind it.
FIELDS_A_COMMAND = 500
_HEAD, _REVISION = "head", "revision"

# Kind, id and body of an item; without a body it is gone.
Item = tuple[str, str, str | None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HotTenant:
    """What the copy says of a tenant."""

    tenant_id: str
    head: str
    revision: int
    items: Sequence[Item]


class HotCopy:
    """Writes and reads the copy. A store that is away is no trouble: it is only a help."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def revision(self, tenant_id: str) -> int | None:
        """Say as of when a tenant is copied; None where it is not, or nobody knows."""
        try:
            found = await self._store.command("HGET", hot_tenant_key(tenant_id), _REVISION)
        except StoreUnavailable:
            return None
        return None if found is None else int(found)

    async def write(self, tenant: HotTenant, *, whole: bool) -> None:
        """Write all that a tenant is and owns, or only what changed since the last time."""
        key = hot_tenant_key(tenant.tenant_id)
        try:
            if whole:
                await self._store.command("DEL", key)
            for start in range(0, len(tenant.items), FIELDS_A_COMMAND):
                await self._write_items(key, tenant.items[start : start + FIELDS_A_COMMAND])
            # Last, so that a copy that was not finished is known by its revision.
            await self._store.command(
                "HSET", key, _HEAD, tenant.head, _REVISION, str(tenant.revision)
            )
            await self._store.command("SADD", HOT_TENANTS, tenant.tenant_id)
        except StoreUnavailable as error:
            _log.debug("The copy of %s is written later: %s", tenant.tenant_id, error)

    async def drop(self, tenant_id: str) -> None:
        """Forget a tenant."""
        try:
            await self._store.command("SREM", HOT_TENANTS, tenant_id)
            await self._store.command("DEL", hot_tenant_key(tenant_id))
        except StoreUnavailable as error:
            _log.debug("The copy of %s stays for now: %s", tenant_id, error)

    async def read(self, known: Container[str] = ()) -> AsyncIterator[HotTenant]:
        """Yield every tenant there is a copy of, whole or not, but for those that are known.

        Raises `StoreUnavailable`.

        That is raised at the end where only some of them could not be read.
        """
        trouble: StoreUnavailable | None = None
        for name in sorted(await self._store.command("SMEMBERS", HOT_TENANTS)):
            if name.decode() in known:
                continue
            try:
                found = await self._read_one(name.decode())
            except StoreUnavailable as error:
                trouble = error
            else:
                if found is not None:
                    yield found
        if trouble is not None:
            raise trouble

    async def _read_one(self, tenant_id: str) -> HotTenant | None:
        fields: dict[str, str] = {}
        cursor = b"0"
        while True:
            cursor, found = await self._store.command(
                "HSCAN", hot_tenant_key(tenant_id), cursor, "COUNT", FIELDS_A_COMMAND
            )
            texts = [part.decode() for part in found]
            fields.update(zip(texts[::2], texts[1::2], strict=True))
            if cursor == b"0":
                break
        head, revision = fields.pop(_HEAD, None), fields.pop(_REVISION, None)
        if head is None or revision is None:
            return None
        return HotTenant(tenant_id, head, int(revision), sorted(map(_item, fields.items())))

    async def _write_items(self, key: str, items: Iterable[Item]) -> None:
        come, gone = [], []
        for kind, item_id, body in items:
            field = f"{kind}/{item_id}"
            if body is None:
                gone.append(field)
            else:
                come += [field, body]
        if come:
            await self._store.command("HSET", key, *come)
        if gone:
            await self._store.command("HDEL", key, *gone)


def _item(found: tuple[str, str]) -> tuple[str, str, str]:
    kind, _, item_id = found[0].partition("/")
    return kind, item_id, found[1]


# Set: the tenants of the archive that there is a copy of. It is of no partition, and no record.
HOT_TENANTS = "callgate:tenants"


def hot_tenant_key(tenant_id: str) -> str:
    """Spell the key of the copy of a tenant of the archive.

    Hash: "head" and "revision", and "<kind>/<id>" for each thing it owns. It is of no partition,
    and lives until the tenant is deleted; where it is missing the archive is read.
    """
    return f"callgate:tenant:{call_reference(tenant_id)}"
