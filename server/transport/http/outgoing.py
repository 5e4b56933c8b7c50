"""Posting to others' URLs: guarded, limited in time and size, and never redirected."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.transport.http.url import Target, read_url, require_outward

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
MAX_REPLY_BYTES = 64 * 1_024


class OutgoingFailed(Exception):
    """No usable answer came: whether the other side took what was sent is not known."""


@dataclass(frozen=True, slots=True)
class OutgoingReply:
    """What the other side answered. A redirect is an answer like any other; nobody follows it."""

    status: int
    body: bytes

    @property
    def taken(self) -> bool:
        """Whether the other side says that it took what was sent."""
        return 200 <= self.status < 300


class OutgoingHttp:
    """Posts to URLs that tenants chose.

    https only, or http to hosts of `listed_hosts`. A name is looked up once a post; every address
    found has to lead outward, unless the host is listed, and the connection goes to the very
    address that was checked. No proxy, no cookie, no redirect, no compression.
    """

    def __init__(
        self, listed_hosts: Collection[str] = (), *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._listed = frozenset(host.lower() for host in listed_hosts)
        self._timeout_seconds = timeout_seconds

    def check(self, url: str) -> None:
        """Check what can be told from a URL's text. Raises `UrlRefused`."""
        read_url(url, self._listed)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutgoingReply:
        """Post once. Raises `UrlRefused` where it must not be asked, and `OutgoingFailed`."""
        from aiohttp import ClientError

        target = read_url(url, self._listed)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                address = await _look_up(target)
                async with self._session(target, address) as session:
                    return await _post(session, target, body, headers=headers)
        except TimeoutError as error:
            raise OutgoingFailed(f"no answer within {self._timeout_seconds:g} s") from error
        except (ClientError, OSError) as error:
            raise OutgoingFailed(f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def _session(self, target: Target, address: str) -> AsyncIterator[ClientSession]:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        connector = TCPConnector(
            resolver=_pinned(target.host, address),
            use_dns_cache=False,
            force_close=True,
            ssl=ssl.create_default_context(),
        )
        timeout = ClientTimeout(total=None, connect=CONNECT_SECONDS)
        async with ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            timeout=timeout,
            auto_decompress=False,
        ) as session:
            yield session


async def _look_up(target: Target) -> str:
    """Find the address to connect to. Raises `UrlRefused` where one found leads inward."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not target.listed:
        # One that leads inward among others is a trick: the next look-up might give it alone.
        for address in addresses:
            require_outward(address)
    return addresses[0]


def _pinned(host: str, address: str) -> Any:
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Pinned(AbstractResolver):
        """Knows one name, and the address that was checked for it."""

        async def resolve(
            self, name: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            if name.lower().rstrip(".") != host.rstrip("."):
                raise OSError(f"{name} was never checked")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            result = ResolveResult(
                hostname=name,
                host=address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            return [result]

        async def close(self) -> None:
            """Hold nothing that could be closed."""

    return Pinned()


async def _post(
    session: ClientSession, target: Target, body: bytes, *, headers: Mapping[str, str]
) -> OutgoingReply:
    sent = {"User-Agent": "callgate", "Accept-Encoding": "identity", **headers}
    async with session.post(target.url, data=body, headers=sent, allow_redirects=False) as response:
        found = bytearray()
        async for piece in response.content.iter_any():
            found += piece
            if len(found) > MAX_REPLY_BYTES:
                raise OutgoingFailed(f"the answer is longer than {MAX_REPLY_BYTES} bytes")
        return OutgoingReply(response.status, bytes(found))
