"""The door: who asks, by what was shown with the RPC or with its connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote

from server.access.certificates import end_ms
from server.access.identities import Identities, digest_of
from server.access.identity import Access, refusing
from server.access.roles import Rule
from server.errors import Context, IdentityUnknown, RoleMissing

_BEARER = re.compile(r"bearer +([!-~]{1,512})", re.IGNORECASE)


class TokensFrom(Enum):
    """From where a token is taken; it is worth as much as what can be done with it."""

    ANYWHERE = auto()
    # Without TLS others could read it on the way.
    THIS_MACHINE = auto()


@dataclass(frozen=True, slots=True)
class Door:
    """Says who asks. A token is the RPC's identity, a certificate that of its connection.

    `header` reads one header of an RPC. `by_certificate` tells that every client has shown a
    certificate which the authority in the settings has signed.
    """

    identities: Callable[[], Identities]
    now_ms: Callable[[], int]
    header: Callable[[Context, str], str | None]
    tokens_from: TokensFrom
    by_certificate: bool

    def admit(self, context: Context, rule: Rule) -> Access:
        """Let in who may. Raises `IdentityUnknown` and `RoleMissing`.

        Where emergencies come first nothing is raised here, but by whatever else is touched.
        """
        access = self.known(context)
        if access is None:
            if rule.emergencies_first:
                return refusing(IdentityUnknown())
            raise IdentityUnknown
        if rule.roles.isdisjoint(access.roles):
            if rule.emergencies_first:
                return refusing(RoleMissing())
            raise RoleMissing
        return access

    def known(self, context: Context) -> Access | None:
        """Find who asks; None for a stranger, and for who shows a token that is not in force."""
        shown = self.header(context, "authorization")
        if shown is not None:
            return self._by_token(context, shown)
        return self._by_certificate(context) if self.by_certificate else None

    def may_go_on(self, context: Context, rule: Rule, access: Access) -> bool:
        """Tell whether a stream that somebody opened is still theirs to have."""
        now = self.known(context)
        return (
            now is not None
            and now.identity_id == access.identity_id
            and now.tenants == access.tenants
            and not rule.roles.isdisjoint(now.roles)
        )

    def _by_certificate(self, context: Context) -> Access | None:
        access = self.identities().by_certificate(tuple(context.peer_identities() or ()))
        # A connection may outlive what it was opened with.
        if access is None or _certificate_end_ms(context) <= self.now_ms():
            return None
        return access

    def _by_token(self, context: Context, shown: str) -> Access | None:
        if self.tokens_from is TokensFrom.THIS_MACHINE and not _is_of_this_machine(context.peer()):
            return None
        digest = _digest_of_header(shown)
        access = None if digest is None else self.identities().by_digest(digest)
        if access is None or (access.expire_ms is not None and access.expire_ms <= self.now_ms()):
            return None
        return access


def _certificate_end_ms(context: Context) -> int:
    for name, values in context.auth_context().items():
        if name == "x509_pem_cert":
            return end_ms(bytes(next(iter(values))))
    return 0


# A gateway shows the same token with each of its questions.
@lru_cache(maxsize=1_024)
def _digest_of_header(shown: str) -> str | None:
    found = _BEARER.fullmatch(shown)
    return None if found is None else digest_of(found[1])


def _is_of_this_machine(peer: str) -> bool:
    """Tell whether a peer, as gRPC writes it, is on this machine."""
    kind, _, address = peer.partition(":")
    if kind == "unix":
        return True
    host = unquote(address).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
