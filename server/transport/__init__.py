"""The two ways to speak gRPC, behind one seam: `nghttp2` is fast, `grpcio` is the reference.

Both serve the same servicers, those of `grpc.aio`, and keep the same limits; `tests/transport`
holds them to it. What each item of the protocol becomes is in `docs/transport.md`.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Protocol

import grpc
import grpc.aio

from server.transport.grpcio import GrpcioServer
from server.transport.listeners import AddressUnusable
from server.transport.methods import Handler
from server.transport.options import TransportOptions
from server.transport.tls import TlsFiles

__all__ = [
    "AddressUnusable",
    "TlsFiles",
    "TransportName",
    "TransportOptions",
    "TransportServer",
    "make_server",
]

TransportName = Literal["auto", "nghttp2", "grpcio"]

_LOG = logging.getLogger(__name__)
# ngh2 is young: each next minor version is tried before it is allowed. Upper bound excluded.
_NGH2_FROM, _NGH2_BELOW = (0, 3), (0, 4)


class TransportServer(Protocol):
    """What `grpc.aio.Server` offers to generated code and to whoever runs it.

    Handlers and ports are added before `start`. An address is `host:port`, `[v6]:port` or
    `unix:path`; one that cannot be listened on raises AddressUnusable.
    """

    name: str

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add handlers that are asked call by call."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add methods whose names are known; they come before generic handlers."""

    def add_insecure_port(self, address: str) -> int:
        """Bind *address* without TLS; returns the port, 1 for a unix socket."""

    def add_secure_port(self, address: str, tls: TlsFiles) -> int:
        """Bind *address* with TLS; certificates are read again when their files change."""

    def add_listener(self, listener: socket.socket, tls: TlsFiles | None = None, /) -> None:
        """Serve on a socket that is bound already; grpcio cannot: AddressUnusable."""

    def on_move(
        self, context: "grpc.aio.ServicerContext[Any, Any]", tell: Callable[[], None]
    ) -> None:
        """Call *tell* once when the call of *context* should move to a new connection.

        Its connection has reached its age, or the server stops. The call itself goes on.
        """

    async def start(self) -> None:
        """Begin to serve."""

    async def stop(self, grace: float | None) -> None:
        """Take no new calls; wait *grace* seconds for the running ones, then end them.

        None ends them at once.
        """

    async def wait_for_termination(self) -> None:
        """Wait until the server has stopped."""


def make_server(transport: TransportName, options: TransportOptions) -> TransportServer:
    """Make a server; `auto` takes nghttp2 where ngh2 is installed in a version we know.

    Raises ImportError if `nghttp2` is asked for by name and cannot be had.
    """
    if transport == "grpcio":
        return GrpcioServer(options)
    hindrance = _hindrance_to_nghttp2()
    if hindrance is None:
        # Imported here, so that grpcio serves where ngh2 is not installed.
        from server.transport.http2_server import Http2Server

        return Http2Server(options)
    if transport == "nghttp2":
        raise ImportError(hindrance)
    _LOG.warning("serving with grpcio, which is slower: %s", hindrance)
    return GrpcioServer(options)


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
