"""The seam: what a transport is to generated code and to whoever runs it."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import grpc.aio
from typing_extensions import override

from server.transport.tls import TlsFiles

Context = grpc.aio.ServicerContext[Any, Any]


class OfferedCall(Protocol):
    """A unary call whose request is complete, offered before its servicer is asked.

    Who takes it answers, aborts, or leaves it to the servicer after all, once; of a call that is
    over meanwhile nothing becomes of that.

    Attributes:
        message: The request as it came.
    """

    message: bytes

    @property
    def is_behind(self) -> bool:
        """Whether its client has much to read before another answer would reach it."""

    def context(self) -> grpc.aio.ServicerContext[Any, Any]:
        """Make what a servicer would be given, to look at."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline, None without one; never negative."""

    def answer(self, message: bytes) -> None:
        """End the call with its only message."""

    def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        """End the call with *code*."""

    def leave_to_servicer(self) -> None:
        """Let the servicer answer."""


# Takes a call, or says at once that its servicer has to: False.
Early = Callable[[OfferedCall], bool]


# The code, the text and the trailing metadata of a call that ends.
Ending = tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]
# Says how a call ends before its request is read; None where it may go on.
CheckHead = Callable[["grpc.aio.ServicerContext[Any, Any]"], Ending | None]


class TransportServer(grpc.aio.Server):
    """A `grpc.aio.Server` by its interface, so that what was written for one runs on it.

    Handlers and ports are added before `start`. An address is `host:port`, `[v6]:port` or
    `unix:path`; one that cannot be listened on raises AddressUnusable.

    Attributes:
        name: Which transport this is.
    """

    name: str

    @abstractmethod
    @override
    def add_secure_port(self, address: str, server_credentials: TlsFiles) -> int:  # type: ignore[override] # See below.
        """Bind *address* with TLS; returns the port, 1 for a unix socket.

        Certificates are read again when their files change. They are named by their files, for
        grpcio's credentials cannot be looked into.
        """

    @abstractmethod
    def add_listener(self, listener: socket.socket, tls: TlsFiles | None = None, /) -> None:
        """Serve on a socket that is bound already, such as one inherited from a parent.

        grpcio cannot: it raises AddressUnusable.
        """

    @abstractmethod
    def on_move(
        self, context: grpc.aio.ServicerContext[Any, Any], tell: Callable[[], None]
    ) -> None:
        """Call *tell* once when the call of *context* should move to a new connection.

        Its connection has reached its age, or the server stops. The call itself goes on.
        """

    @abstractmethod
    def header(self, context: grpc.aio.ServicerContext[Any, Any], name: str) -> str | None:
        """Return what the caller sent under *name*, the last where that is several, or None.

        The name is in lower case, and no binary one.
        """

    @abstractmethod
    def expect_shared(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Say that the call of *context* will be written shared messages; before it is answered."""

    @abstractmethod
    def share(self, message: bytes) -> Any:
        """Make of a message one to be written to many calls: what it takes is done once for all.

        A call that does not expect it must not be written it.
        """

    @abstractmethod
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer each call of a registered unary method to *early*, before its servicer is asked.

        A transport may leave all calls to their servicers instead.
        """

    @abstractmethod
    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Ask *check* about each call of a registered method before its request is read.

        A transport may leave that to the servicer, which has to check all the same.
        """
