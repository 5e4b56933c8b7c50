"""Bytes in and out: gRPC on nghttp2 or grpcio behind one seam, and HTTP.

Both serve the same servicers, those of `grpc.aio`, and keep the same limits; `tests/transport`
holds them to it. What each item of the protocol becomes is in `docs/transport.md`.
"""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from server.transport.contract import Early, OfferedCall, TransportServer
from server.transport.grpcio import GrpcioServer
from server.transport.listeners import AddressUnusable
from server.transport.options import TransportOptions
from server.transport.tls import TlsFiles

__all__ = [
    "AddressUnusable",
    "Early",
    "OfferedCall",
    "TlsFiles",
    "TransportName",
    "TransportOptions",
    "TransportServer",
    "available_transports",
    "make_server",
]

TransportName = Literal["auto", "nghttp2", "grpcio"]

_LOG = logging.getLogger(__name__)
# ngh2 is young: each next minor version is tried before it is allowed. Upper bound excluded.
_NGH2_FROM, _NGH2_BELOW = (0, 3), (0, 4)


def make_server(
    transport: TransportName,
    options: TransportOptions,
    count_refused: Callable[[str], None] = lambda _why: None,
) -> TransportServer:
    """Make a server; `auto` takes nghttp2 where ngh2 is installed in a version we know.

    *count_refused* is told why each connection is that is turned away or thrown out, in one word;
    grpcio tells of none.

    Raises ImportError if `nghttp2` is asked for by name and cannot be had.
    """
    if transport == "grpcio":
        return GrpcioServer(options)
    hindrance = _hindrance_to_nghttp2()
    if hindrance is None:
        # Imported here, so that grpcio serves where ngh2 is not installed.
        from server.transport.http2_server import Http2Server

        return Http2Server(options, count_refused)
    if transport == "nghttp2":
        raise ImportError(hindrance)
    _LOG.warning("serving with grpcio, which is slower: %s", hindrance)
    return GrpcioServer(options)


def available_transports() -> tuple[str, ...]:
    """List what can serve here, the fast one first."""
    return ("grpcio",) if _hindrance_to_nghttp2() else ("nghttp2", "grpcio")


def _hindrance_to_nghttp2() -> str | None:
    """Say why ngh2 cannot be used; None if it can."""
    try:
        installed = version("ngh2")
    except PackageNotFoundError:
        return "ngh2 is not installed"
    major, minor = installed.split(".")[:2]
    if _NGH2_FROM <= (int(major), int(minor)) < _NGH2_BELOW:
        return None
    return f"ngh2 {installed} is not a version that was tried"
