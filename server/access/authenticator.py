"""The door: who asks, by what was shown with the RPC or with its connection."""

from __future__ import annotations

import datetime as dt
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote

from server.access.errors import IdentityUnknown, RoleMissing
from server.access.identities import Identities, digest_of
from server.access.principal import Principal, refusing
from server.access.roles import Rule
from server.transport.contract import Context

_BEARER = re.compile(r"bearer +([!-~]{1,512})", re.IGNORECASE)


class TokensFrom(Enum):
    """From where a token is taken; it is worth as much as what can be done with it."""

    ANYWHERE = auto()
    # Without TLS others could read it on the way.
    THIS_MACHINE = auto()


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Says who asks. A token is the RPC's identity, a certificate that of its connection.

    `header` reads one header of an RPC. `by_certificate` tells that every client has shown a
    certificate which the authority in the settings has signed.
    """

    identities: Callable[[], Identities]
    now_ms: Callable[[], int]
    header: Callable[[Context, str], str | None]
    tokens_from: TokensFrom
    by_certificate: bool

    def admit(self, context: Context, rule: Rule) -> Principal:
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

    def known(self, context: Context) -> Principal | None:
        """Find who asks; None for a stranger, and for who shows a token that is not in force."""
        shown = self.header(context, "authorization")
        if shown is not None:
            return self._by_token(context, shown)
        return self._by_certificate(context) if self.by_certificate else None

    def may_go_on(self, context: Context, rule: Rule, access: Principal) -> bool:
        """Tell whether a stream that somebody opened is still theirs to have."""
        now = self.known(context)
        return (
            now is not None
            and now.identity_id == access.identity_id
            and now.tenants == access.tenants
            and not rule.roles.isdisjoint(now.roles)
        )

    def _by_certificate(self, context: Context) -> Principal | None:
        access = self.identities().by_certificate(tuple(context.peer_identities() or ()))
        # A connection may outlive what it was opened with.
        if access is None or _certificate_end_ms(context) <= self.now_ms():
            return None
        return access

    def _by_token(self, context: Context, shown: str) -> Principal | None:
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


_MS = 1_000
_LONG_FORM = 0x80
_VERSION = 0xA0
_UTC_TIME = 0x17
_FORMATS = {_UTC_TIME: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
# Serial number, signature algorithm, issuer: what stands before the time (RFC 5280, section 4.1).
_FIELDS_BEFORE = 3


# A connection shows the same bytes with each RPC.
@lru_cache(maxsize=4_096)
def end_ms(pem: bytes) -> int:
    """Read when a certificate is over. Raises `ValueError` where it is none."""
    der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
    at, _, _ = _open(der, 0)
    at, _, _ = _open(der, at)
    if der[at] == _VERSION:
        at = _after(der, at)
    for _ in range(_FIELDS_BEFORE):
        at = _after(der, at)
    validity, _, _ = _open(der, at)
    begin, end, kind = _open(der, _after(der, validity))
    text = der[begin:end].decode("ascii")
    told = dt.datetime.strptime(text, _FORMATS[kind]).replace(tzinfo=dt.UTC)
    return int(told.timestamp()) * _MS


def _open(der: bytes, at: int) -> tuple[int, int, int]:
    """Say where the content of the value at a place begins and ends, and of what kind it is."""
    length, begin = der[at + 1], at + 2
    if length & _LONG_FORM:
        size = length & ~_LONG_FORM
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return begin, begin + length, der[at]


def _after(der: bytes, at: int) -> int:
    return _open(der, at)[1]
