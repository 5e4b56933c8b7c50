"""Who comes in: limits on connections, and the handshake of TLS, before HTTP/2 begins."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from server.transport.options import TransportOptions
from server.transport.peer import shown_address
from server.transport.seldom import Seldom
from server.transport.tls import Certificates

# Clients that are let in in one turn of the loop.
_MOST_AT_ONCE = 64
# How long nobody is let in where the process can open no further file.
_REST_SECONDS = 0.5
# Who has one address of version 6 has all that begin like it.
_V6_PREFIX_BITS = 64
_CERTIFICATE_REASONS = frozenset(
    {"PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED", "NO_CERTIFICATE_RETURNED"}
)

_SELDOM = Seldom(logging.getLogger(__name__))

CountRefused = Callable[[str], None]
# Makes what speaks with a client; told is what it calls when the client is gone.
Make = Callable[[Callable[[], None]], asyncio.Protocol]


class Guests:
    """The connections that are open, in all and from each address."""

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._count = 0
        self._by_house: Counter[str] = Counter()

    def admits(self, house: str) -> bool:
        """Tell whether one more may come from *house*; empty for a socket of this machine."""
        options = self._options
        if self._count >= options.max_connections:
            return False
        return not house or self._by_house[house] < options.max_connections_per_peer

    def come(self, house: str) -> None:
        """Count one in."""
        self._count += 1
        self._by_house[house] += 1

    def leave(self, house: str) -> None:
        """Count one out."""
        self._count -= 1
        self._by_house[house] -= 1
        if not self._by_house[house]:
            del self._by_house[house]


@dataclass(frozen=True, slots=True)
class House:
    """What all listeners of a server share."""

    options: TransportOptions
    guests: Guests
    make: Make
    count_refused: CountRefused


class Reception:
    """Lets clients in by one listener, and hands them over to HTTP/2."""

    def __init__(
        self, listener: socket.socket, certificates: Certificates | None, house: House
    ) -> None:
        self._listener = listener
        self._certificates = certificates
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._coming: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None

    def open(self, backlog: int) -> None:
        """Let clients in from now on."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._loop.add_reader(self._listener, self._let_in)

    def close(self) -> None:
        """Let nobody in any more, nor who is at the door."""
        self._loop.remove_reader(self._listener)
        if self._rest is not None:
            self._rest.cancel()
        for coming in list(self._coming):
            coming.cancel()
        self._listener.close()

    def _let_in(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _SELDOM.tell(logging.ERROR, "No further client can be let in: %s.", error)
                self._rest_a_while()
                return
            self._receive(client)

    def _rest_a_while(self) -> None:
        self._loop.remove_reader(self._listener)
        self._rest = self._loop.call_later(
            _REST_SECONDS, self._loop.add_reader, self._listener, self._let_in
        )

    def _receive(self, client: socket.socket) -> None:
        try:
            name = client.getpeername()
        except OSError:  # It has left already.
            client.close()
            return
        guests, house = self._house.guests, house_of(name)
        if not guests.admits(house):
            _SELDOM.tell(
                logging.WARNING,
                "A connection from %s was closed: as many are open as max_connections or "
                "max_connections_per_peer allow.",
                shown_address(name),
            )
            self._house.count_refused("too_many")
            client.close()
            return
        guests.come(house)
        coming = self._loop.create_task(self._greet(client, name, house))
        self._coming.add(coming)
        coming.add_done_callback(self._coming.discard)

    async def _greet(self, client: socket.socket, name: object, house: str) -> None:
        """Shake hands, where there is TLS, and hand over."""
        guests = self._house.guests
        has_left = False

        def leave() -> None:
            nonlocal has_left
            if not has_left:
                has_left = True
                guests.leave(house)

        context = None if self._certificates is None else self._certificates.current()
        timeout = None if context is None else self._house.options.handshake_timeout_seconds
        try:
            client.setblocking(False)
            await self._loop.connect_accepted_socket(
                lambda: self._house.make(leave), client, ssl=context, ssl_handshake_timeout=timeout
            )
        except (OSError, asyncio.CancelledError) as error:
            if isinstance(error, ssl.SSLError):
                self._tell_refused(shown_address(name), error)
            client.close()
            leave()

    def _tell_refused(self, address: str, error: ssl.SSLError) -> None:
        if error.reason in _CERTIFICATE_REASONS:
            why = getattr(error, "verify_message", "") or "it showed none"
            text = "The client certificate of %s was refused: %s."
            self._house.count_refused("certificate")
        else:
            why = (error.reason or str(error)).replace("_", " ").lower()
            text = "The TLS handshake of %s failed: %s."
            self._house.count_refused("handshake")
        _SELDOM.tell(logging.WARNING, text, address, why)


def house_of(name: object) -> str:
    """Say where a client comes from: its address, or those it can choose from.

    Empty for a unix socket.
    """
    if not isinstance(name, tuple):
        return ""
    address = ip_address(name[0].partition("%")[0])
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _V6_PREFIX_BITS), strict=False))
