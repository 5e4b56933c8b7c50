"""What may be wrong with who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class TenantForbidden(Exception):
    """The tenant is unknown or not the caller's; which of the two is not told."""

    def __init__(self) -> None:
        super().__init__("There is no such tenant, or it is not yours to ask about.")


class TenantUnknown(TenantForbidden):
    """No tenant of this id is in use here; `look` finds out whether it is new."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.look = look


class IdentityUnknown(Exception):
    """Who asks shows no certificate or token that is known and in force; which, is not told."""


class RoleMissing(Exception):
    """Who asks is known, and may not call this method at all."""


class IdentityEnded(Exception):
    """What a stream was opened with has expired, was revoked, or may no longer do this."""


class RoleBeyond(Exception):
    """Who asks would give away, or take, a role that is beyond its own."""


class IdentitiesNotKept(Exception):
    """Identities of the archive are not those that this engine asks for."""
