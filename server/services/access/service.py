"""The AccessService: tokens for identities, and the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from callgate.v1 import access_pb2 as pb
from server.access import check_every_tenant, check_tenant, current
from server.access.errors import IdentitiesNotKept, RoleBeyond, TenantForbidden
from server.access.identities import Identity, digest_of, new_token
from server.access.identity_store import (
    IdentityExists,
    IdentityMissing,
    IdentityStore,
    KeptIdentity,
    KeptToken,
)
from server.access.in_use import IdentitiesInUse
from server.access.roles import Role
from server.archive import Archive
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.services.access import messages as wire
from server.storage.sql.audit import AuditTrail, read_trail
from server.transport.contract import Context

# Old tokens are dropped once they are over; so many may be good at a time.
MAX_TOKENS = 10
_ADMINISTRATORS_MAY_GIVE = frozenset({Role.BRIDGE, Role.READER, Role.TENANT_ADMINISTRATOR})


@dataclass(frozen=True, slots=True)
class Identities:
    """Answers what `access.proto` promises.

    `are_kept` says whether the engine asks for the identities of the archive, or for none yet.
    """

    archive: Archive
    keeper: IdentitiesInUse
    now_ms: Callable[[], int]
    are_kept: bool

    async def create_token(
        self, request: pb.CreateTokenRequest, _context: Context
    ) -> pb.CreateTokenResponse:
        """Make an identity with its first token."""
        self._check_kept()
        wish, now_ms = wire.read_wish(request.identity), self.now_ms()
        has_end = request.HasField("expire_time")
        expire_ms = wire.expire_ms(request.expire_time, now_ms) if has_end else None
        _check_may_give(wish.roles, wish.tenants)
        _check_name(wish.identity_id)
        if wish.identity_id in self.keeper.current.by_id:
            raise IdentityExists
        token = new_token()
        made = KeptIdentity(
            wish.identity_id,
            tuple(sorted(wish.roles)),
            None if wish.tenants is None else tuple(sorted(wish.tenants)),
            now_ms,
            tokens=(KeptToken(digest_of(token), now_ms, expire_ms),),
        )
        await self._store.create(made, current().identity_id, self._trail)
        await self.keeper.look()
        return pb.CreateTokenResponse(identity=wire.kept_identity(made), token=token)

    async def rotate_token(
        self, request: pb.RotateTokenRequest, _context: Context
    ) -> pb.RotateTokenResponse:
        """Give an identity another token."""
        now_ms = self.now_ms()
        has_overlap, has_end = (
            request.HasField("overlap_duration"),
            request.HasField("expire_time"),
        )
        overlap_ms = wire.overlap_ms(request.overlap_duration) if has_overlap else _A_DAY_MS
        expire_ms = wire.expire_ms(request.expire_time, now_ms) if has_end else None
        before = await self._find(request.identity_id)
        token = new_token()
        kept = [_ending(one, now_ms + overlap_ms) for one in before.tokens]
        going_on = [one for one in kept if one.expire_ms is not None and one.expire_ms > now_ms]
        rotated = replace(
            before,
            version=wire.version_of(request.etag, before) + 1,
            tokens=(*going_on[1 - MAX_TOKENS :], KeptToken(digest_of(token), now_ms, expire_ms)),
        )
        await self._store.replace(rotated, current().identity_id, self._trail)
        await self.keeper.look()
        return pb.RotateTokenResponse(identity=wire.kept_identity(rotated), token=token)

    async def revoke_token(
        self, request: pb.RevokeTokenRequest, _context: Context
    ) -> pb.RevokeTokenResponse:
        """Remove an identity with all its tokens."""
        before = await self._find(request.identity_id)
        gone = replace(before, version=wire.version_of(request.etag, before))
        await self._store.remove(gone, current().identity_id, self._trail)
        await self.keeper.look()
        return pb.RevokeTokenResponse()

    async def list_identities(
        self, request: pb.ListIdentitiesRequest, _context: Context
    ) -> pb.ListIdentitiesResponse:
        """List identities, by name."""
        size, after = limits.page_size(request.page_size), wire.identity_page(request.page_token)
        kept = {one.identity_id: one for one in await self._store.read()}
        filed = {name: one for name, one in self.keeper.current.by_id.items() if name not in kept}
        tenants = {name: one.tenants for name, one in kept.items()} | {
            name: one.tenants for name, one in filed.items()
        }
        names = sorted(name for name, of in tenants.items() if name > after and _is_mine(of))
        page = names[:size]
        return pb.ListIdentitiesResponse(
            identities=[_told(kept.get(name), filed.get(name)) for name in page],
            next_page_token=page[-1] if len(names) > size else "",
        )

    async def list_audit_entries(
        self, request: pb.ListAuditEntriesRequest, _context: Context
    ) -> pb.ListAuditEntriesResponse:
        """List changes, the newest first."""
        size, before_id = limits.page_size(request.page_size), wire.audit_page(request.page_token)
        tenant_id = limits.tenant_id(request.tenant_id) if request.tenant_id else None
        if tenant_id is None:
            check_every_tenant()
        else:
            check_tenant(tenant_id)
        entries = await self.archive.database.read(
            lambda on: read_trail(on, tenant_id, before_id, limit=size + 1)
        )
        return pb.ListAuditEntriesResponse(
            entries=[wire.audit_entry(one) for one in entries[:size]],
            next_page_token=str(entries[size - 1].audit_id) if len(entries) > size else "",
        )

    @property
    def _store(self) -> IdentityStore:
        return IdentityStore(self.archive.database)

    @property
    def _trail(self) -> AuditTrail:
        return AuditTrail(self.now_ms)

    def _check_kept(self) -> None:
        if not self.are_kept:
            raise IdentitiesNotKept

    async def _find(self, identity_id: str) -> KeptIdentity:
        """Find an identity that is to be changed. Raises `IdentityMissing` and `RoleBeyond`."""
        self._check_kept()
        found = await self._store.find(wire.identity_id("identity_id", identity_id))
        if not _is_mine(found.tenants):
            raise IdentityMissing
        _check_may_give(frozenset(Role(role) for role in found.roles), found.tenants)
        return found


_A_DAY_MS = wire.DEFAULT_OVERLAP_SECONDS * 1_000


def _ending(token: KeptToken, end_ms: int) -> KeptToken:
    is_over_before = token.expire_ms is not None and token.expire_ms <= end_ms
    return token if is_over_before else replace(token, expire_ms=end_ms)


def _is_mine(tenants: Iterable[str] | None) -> bool:
    """Tell whether all that an identity may touch is the caller's too."""
    mine = current().tenants
    return mine is None or (tenants is not None and mine.issuperset(tenants))


def _check_may_give(roles: frozenset[Role], tenants: Iterable[str] | None) -> None:
    """Raise `TenantForbidden` or `RoleBeyond` where somebody would give what they have not."""
    if not _is_mine(tenants):
        raise TenantForbidden
    is_operator = Role.OPERATOR in current().roles
    if not is_operator and not roles <= _ADMINISTRATORS_MAY_GIVE:
        raise RoleBeyond


def _check_name(identity_id: str) -> None:
    """Keep names of one tenant's administrator apart from all others, whom they would tell of."""
    mine = current().tenants
    _, at, tenant_id = identity_id.rpartition("@")
    if mine is not None and not (at and tenant_id in mine):
        raise InvalidRequest("identity.identity_id", "NAME@TENANT, by a tenant that is yours")


def _told(kept: KeptIdentity | None, filed: Identity | None) -> pb.Identity:
    if kept is not None:
        return wire.kept_identity(kept)
    assert filed is not None, "an identity is kept or stands in a file"
    return wire.file_identity(filed)
