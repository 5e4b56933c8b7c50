"""Which URLs of others we may ask, and at which addresses: a way out must not lead back in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

MAX_URL_CHARACTERS = 2_048
_PORTS = {"https": 443, "http": 80}
# Held for global by the library, and yet of no use to a stranger but harm: ways to write an address
# of IPv4 as one of IPv6 (RFC 4291, 2765, 6052, 8215, 3056, 4380), and where one cloud has secrets.
_INWARD = tuple(
    map(
        ip_network,
        (
            *(
                "::/96",
                "::ffff:0:0:0/96",
                "64:ff9b::/96",
                "64:ff9b:1::/48",
                "2002::/16",
                "2001::/32",
                "fec0::/10",
            ),
            "168.63.129.16/32",
        ),
    )
)


class UrlRefused(ValueError):
    """A URL that we do not ask, and why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `listed`: the operator listed the host; it may be in our own network."""

    url: str
    host: str
    port: int
    listed: bool


def read_url(url: str, listed_hosts: Collection[str]) -> Target:
    """Read a URL that we may ask, as far as its text tells. Raises `UrlRefused`.

    It is https; http only to hosts that the operator lists. The addresses that its name stands for
    are checked when it is asked.
    """
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise UrlRefused(f"is no URL of at most {MAX_URL_CHARACTERS} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UrlRefused(f"is no URL: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise UrlRefused("is no URL of https")
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise UrlRefused("holds a user or a backslash; give a plain URL")
    listed = host in listed_hosts
    if parts.scheme != "https" and not listed:
        raise UrlRefused("is not https, and its host is none that the operator lists")
    if not listed and _is_literal(host):
        require_outward(host)
    return Target(url, host, port or _PORTS[parts.scheme], listed)


def require_outward(address: str) -> None:
    """Refuse an address that leads back into our own network. Raises `UrlRefused`."""
    if not _is_outward(ip_address(address.partition("%")[0])):
        raise UrlRefused(f"leads to {address}, which is of a private network; have it listed")


def _is_outward(address: IPv4Address | IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:
        return _is_outward(mapped)
    inward = any(address in network for network in _INWARD)
    return address.is_global and not address.is_multicast and not inward


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
