"""Who asks: an identity with its roles and tenants, as one RPC knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from server.access.errors import IdentityUnknown, RoleMissing, TenantForbidden
from server.access.roles import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """What one identity may do, and until when.

    `tenants` are those it may touch, None for all. `expire_ms` is when what it showed is over, by
    the engine's clock. `refused` is why it may do nothing but ask about emergencies.
    """

    identity_id: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None
    expire_ms: int | None = None
    refused: IdentityUnknown | RoleMissing | None = None

    def may_touch(self, tenant_id: str) -> bool:
        """Tell whether a tenant, if there is one, is this identity's to touch."""
        return self.tenants is None or tenant_id in self.tenants


# Where nobody is asked for an identity, everybody may do everything.
ANYBODY = Principal("anybody", frozenset(Role), None)

_current: ContextVar[Principal] = ContextVar("access", default=ANYBODY)


def refusing(why: IdentityUnknown | RoleMissing) -> Principal:
    """Let in for emergencies alone; whatever else is touched raises why."""
    return Principal("", frozenset(), frozenset(), refused=why)


def current() -> Principal:
    """Say who asks; `ANYBODY` outside of an RPC, where nothing is asked by a stranger."""
    return _current.get()


def set_current(access: Principal) -> None:
    """Say who asks from here on, in this RPC and in what it starts."""
    _current.set(access)


@contextmanager
def admitted(access: Principal) -> Iterator[None]:
    """Ask as somebody while the block lasts."""
    token = _current.set(access)
    try:
        yield
    finally:
        _current.reset(token)


def may_touch(tenant_id: str) -> bool:
    """Tell whether who asks may touch a tenant, if there is one."""
    return _current.get().may_touch(tenant_id)


def check_tenant(tenant_id: str) -> None:
    """Raise `TenantForbidden` where who asks may not touch a tenant, whether there is one or not.

    Raises `IdentityUnknown` or `RoleMissing` where who asks was let in for emergencies alone.
    """
    access = _current.get()
    tenants = access.tenants
    if tenants is not None and tenant_id not in tenants:
        raise access.refused or TenantForbidden()
