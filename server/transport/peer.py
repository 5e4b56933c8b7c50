"""Who is at the other end: the address, and what a client certificate says."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

AuthContext = Mapping[str, tuple[bytes, ...]]

_COMMON_NAME = "x509_common_name"
_ALTERNATIVE_NAME = "x509_subject_alternative_name"
# A directory's name, for one, is no text but a tree; grpcio leaves out all but these too.
_NAME_KINDS = frozenset({"DNS", "URI", "email", "IP Address"})


@dataclass(frozen=True, slots=True)
class Peer:
    """One client, as `grpc.aio` describes it.

    Attributes:
        address: `ipv4:...`, `ipv6:...` or `unix:...`.
        auth_context: Properties of the TLS session, empty without TLS.
        identity_key: The property that names the client, None without a client certificate.
    """

    address: str
    auth_context: AuthContext = field(default_factory=dict)
    identity_key: str | None = None

    @property
    def identities(self) -> tuple[bytes, ...] | None:
        """Return the names of the client, None without a client certificate."""
        return None if self.identity_key is None else self.auth_context[self.identity_key]


def describe(transport: asyncio.BaseTransport) -> Peer:
    """Describe the client behind *transport*."""
    address = shown_address(transport.get_extra_info("peername"))
    session: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if session is None:
        return Peer(address)
    context = _auth_context(session)
    for key in (_ALTERNATIVE_NAME, _COMMON_NAME):
        if key in context:
            return Peer(address, context, key)
    return Peer(address, context)


def speaks_http2(transport: asyncio.BaseTransport) -> bool:
    """Tell whether TLS agreed on HTTP/2 (ALPN); without TLS the first bytes will tell."""
    session: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return session is None or session.selected_alpn_protocol() == "h2"


def shown_address(name: object) -> str:
    """Write the name of a socket's other end as gRPC does."""
    if not isinstance(name, tuple):
        return "unix:" + (name if isinstance(name, str) else "")
    host, port = name[:2]
    if ":" in host:
        return f"ipv6:{quote(f'[{host}]')}:{port}"
    return f"ipv4:{host}:{port}"


def _auth_context(session: ssl.SSLObject) -> AuthContext:
    context: dict[str, tuple[bytes, ...]] = {"transport_security_type": (b"ssl",)}
    certificate = session.getpeercert(binary_form=True)
    if not certificate:
        return context
    context["x509_pem_cert"] = (ssl.DER_cert_to_PEM_cert(certificate).encode(),)
    facts: dict[str, Any] = session.getpeercert() or {}
    common_names = tuple(
        value.encode()
        for name in facts.get("subject", ())
        for key, value in name
        if key == "commonName"
    )
    alternative_names = tuple(
        value.encode() for kind, value in facts.get("subjectAltName", ()) if kind in _NAME_KINDS
    )
    if common_names:
        context[_COMMON_NAME] = common_names
    if alternative_names:
        context[_ALTERNATIVE_NAME] = alternative_names
    return context
