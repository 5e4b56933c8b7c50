"""Clients that speak something else than HTTP/2: what they are told, and what the log calls it."""

from __future__ import annotations

from typing import NamedTuple

_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ")
_TLS_HANDSHAKE = b"\x16\x03"
_LINE = (
    b"This port speaks gRPC over HTTP/2 (callgate); HTTP/1.1 is spoken at http_listen, if at all.\n"
)
_HTTP_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n"
    b"content-type: text/plain\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%b" % (len(_LINE), _LINE)
)


class Foreign(NamedTuple):
    """What a client speaks, and the bytes that it is answered."""

    protocol: str
    answer: bytes


# A client that agreed to nothing (ALPN) may speak anything.
OVER_TLS = Foreign("TLS without ALPN h2", b"")


def answer_to(first: bytes) -> Foreign | None:
    """Say what is answered to the first bytes of a client; None where nobody knows them."""
    if first.startswith(_METHODS):
        return Foreign("HTTP/1.1", _HTTP_ANSWER)
    if first.startswith(_TLS_HANDSHAKE):
        return Foreign("TLS", b"")
    return None
