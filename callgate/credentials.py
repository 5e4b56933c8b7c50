"""What a client shows to say who it is, and by what it knows the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

CA_VARIABLE = "CALLGATE_CA"
CERTIFICATE_VARIABLE = "CALLGATE_CERT"
KEY_VARIABLE = "CALLGATE_KEY"
TOKEN_VARIABLE = "CALLGATE_TOKEN"  # noqa: S105 -- The name of a variable is no secret.

_Options = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What to connect with; without anything, in plain text and as nobody.

    Attributes:
        ca: A file with the certificates of the engine's authority, PEM. It turns TLS on.
        certificate: A file with the client's own certificate, PEM, with those that lead to its
            authority. It turns TLS on too, by the system's authorities where `ca` is not given.
        key: The file of that certificate's key.
        token: Sent with every question. It is shown nowhere.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raise `ValueError` where these do not go together."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key are of no use without each other")
        if not all("!" <= character <= "~" for character in self.token):
            raise ValueError("the token holds what no token does: give it without spaces or lines")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Credentials:
        """Take them from CALLGATE_CA, CALLGATE_CERT, CALLGATE_KEY and CALLGATE_TOKEN."""

        def path(name: str) -> Path | None:
            return Path(environment[name]) if environment.get(name) else None

        return cls(
            ca=path(CA_VARIABLE),
            certificate=path(CERTIFICATE_VARIABLE),
            key=path(KEY_VARIABLE),
            token=environment.get(TOKEN_VARIABLE, ""),
        )

    @property
    def is_private(self) -> bool:
        """Whether the connection is to be encrypted."""
        return self.ca is not None or self.certificate is not None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with each question; empty without a token."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def open_channel(self, address: str, options: _Options = ()) -> grpc.Channel:
        """Open a channel; `metadata` is to be sent on it.

        Raises `OSError` where a file cannot be read, and `ValueError` where others could read the
        token on its way.
        """
        if not self._is_secure_for(address):
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, self._tls(), options=options)

    def open_asynchronous_channel(self, address: str, options: _Options = ()) -> grpc.aio.Channel:
        """Do the same for asyncio."""
        if not self._is_secure_for(address):
            return grpc.aio.insecure_channel(address, options=options)
        return grpc.aio.secure_channel(address, self._tls(), options=options)

    def _is_secure_for(self, address: str) -> bool:
        if self.token and not self.is_private and not stays_here(address):
            raise ValueError(
                f"a token is sent to {address} over TLS only: name the engine's authority (ca)"
            )
        return self.is_private

    def _tls(self) -> grpc.ChannelCredentials:
        ca, key, certificate = (
            None if path is None else path.read_bytes()
            for path in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


ANONYMOUS = Credentials()


def stays_here(address: str) -> bool:
    """Tell whether an address, as gRPC writes it, is on this machine."""
    kind, colon, rest = address.partition(":")
    if colon and kind in {"unix", "unix-abstract"}:
        return True
    if kind in {"dns", "ipv4", "ipv6"} and colon:
        address = rest.rpartition("/")[2]
    host = unquote(address).rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
