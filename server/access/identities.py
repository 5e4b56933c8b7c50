"""The identities that are known: looked up by what a caller shows, and replaced as a whole."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from server.access.principal import Principal
from server.access.roles import Role

# Says what it is, so that it is found where it should not be.
TOKEN_PREFIX = "cg_"  # noqa: S105 -- The beginning of every token is no secret.
_TOKEN_BYTES = 32
_MAX_CERTIFICATES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token by its SHA-256 in hexadecimal digits; `expire_ms` is None where it has no end."""

    sha256: str
    expire_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who may ask. `tenants` are those it may touch, None for all."""

    identity_id: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None
    certificate_names: tuple[str, ...] = ()
    tokens: tuple[KnownToken, ...] = ()

    @property
    def access(self) -> Principal:
        """What it may do."""
        return Principal(self.identity_id, self.roles, self.tenants)


def new_token() -> str:
    """Make a token: 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(token: str) -> str:
    """Hash a token. It holds 256 random bits, so that nothing slower is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class Identities:
    """A set of identities, as one process knows them at one time."""

    def __init__(self, identities: Iterable[Identity] = ()) -> None:
        self.by_id = {one.identity_id: one for one in identities}
        self._by_digest: dict[str, Principal] = {}
        self._by_certificate: dict[str, Principal] = {}
        # A connection shows the same names with each RPC.
        self._by_names: dict[tuple[bytes, ...], Principal | None] = {}
        for one in self.by_id.values():
            access = one.access
            for token in one.tokens:
                self._by_digest[token.sha256] = replace(access, expire_ms=token.expire_ms)
            for name in one.certificate_names:
                self._by_certificate[name] = access

    def by_digest(self, digest: str) -> Principal | None:
        """Find whose token has a hash; it may be over."""
        return self._by_digest.get(digest)

    def by_certificate(self, names: tuple[bytes, ...]) -> Principal | None:
        """Find who shows a certificate with these names; None where they name several."""
        try:
            return self._by_names[names]
        except KeyError:
            if len(self._by_names) >= _MAX_CERTIFICATES_KEPT:
                self._by_names.clear()
            access = self._by_names[names] = self._named(names)
            return access

    def _named(self, names: tuple[bytes, ...]) -> Principal | None:
        shown = [self._by_certificate.get(name.decode("utf-8", "replace")) for name in names]
        found = {access.identity_id: access for access in shown if access is not None}
        return next(iter(found.values())) if len(found) == 1 else None


def doubles(identities: Iterable[Identity]) -> Iterator[tuple[str, str]]:
    """Tell of what leads to two identities: whose it is again, and what it is."""
    holders: dict[str, str] = {}
    for one in identities:
        shown = [f"certificate name {name!r}" for name in one.certificate_names]
        shown += [f"token with the SHA-256 {token.sha256[:8]}..." for token in one.tokens]
        for what in shown:
            if what in holders:
                yield one.identity_id, f"the {what} is already that of {holders[what]!r}"
            holders[what] = one.identity_id
