"""The fast transport: a gRPC server on libnghttp2 and asyncio."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from server.transport import listeners
from server.transport.connection import Connection
from server.transport.contract import CheckHead, Early, TransportServer
from server.transport.framing import SharedMessage
from server.transport.live import Live
from server.transport.methods import Handler, MethodTable
from server.transport.options import TransportOptions
from server.transport.reception import CountRefused, Guests, House, Reception
from server.transport.servicer_context import ServicerContext
from server.transport.tls import Certificates, TlsFiles
from server.transport.turns import Turns

# How long servicers may take to clean up after their calls were ended; then they are left alone.
_CLEAN_UP_SECONDS = 5.0


class Http2Server(TransportServer):
    """Serves what generated code registers, as `grpc.aio.Server` does."""

    name = "nghttp2"

    def __init__(self, options: TransportOptions, count_refused: CountRefused) -> None:
        self._options = options
        self._count_refused = count_refused
        self._guests = Guests(options)
        self._methods = MethodTable()
        self._live = Live(options, count_refused)
        self._turns: Turns | None = None
        self._sockets: list[tuple[socket.socket, Certificates | None]] = []
        self._unix_paths: list[Path] = []
        self._receptions: list[Reception] = []
        self._stopping: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._stopped = asyncio.Event()

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Add handlers that are asked call by call."""
        self._methods.add_generic(generic_rpc_handlers)

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add methods whose names are known; they come before generic handlers."""
        self._methods.add_registered(service_name, method_handlers)

    @override
    def add_insecure_port(self, address: str) -> int:
        """Bind *address* without TLS; returns the port, 1 for a unix socket as grpcio does."""
        return self._bind(address, None)

    @override
    def add_secure_port(self, address: str, server_credentials: TlsFiles) -> int:  # type: ignore[override] # As the contract says.
        """Bind *address* with TLS; certificates are read again when their files change."""
        return self._bind(address, Certificates(server_credentials))

    @override
    def add_listener(self, listener: socket.socket, tls: TlsFiles | None = None, /) -> None:
        """Serve on a socket that is bound already, such as one inherited from a parent."""
        self._sockets.append((listener, None if tls is None else Certificates(tls)))

    @override
    def on_move(
        self, context: "grpc.aio.ServicerContext[Any, Any]", tell: Callable[[], None]
    ) -> None:
        """Call *tell* when the call of *context* should move to a new connection."""
        assert isinstance(context, ServicerContext)
        context.add_move_callback(tell)

    @override
    def header(self, context: "grpc.aio.ServicerContext[Any, Any]", name: str) -> str | None:
        """Return what the caller sent under *name*, the last where that is several, or None."""
        assert isinstance(context, ServicerContext)
        return context.header(name.encode())

    @override
    def expect_shared(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Tell the caller, if it reads gzip, that it may come."""
        assert isinstance(context, ServicerContext)
        context.expect_shared()

    @override
    def share(self, message: bytes) -> SharedMessage:
        """Make of a message one that is sealed once, and compressed once."""
        return SharedMessage(message)

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer each call of a unary method, before its servicer is asked."""
        self._methods.offer(service, name, early)

    @override
    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Ask *check* about each call of a method when its head has arrived."""
        self._methods.check_head(service, name, check)

    @override
    async def start(self) -> None:
        """Begin to serve."""
        self._turns = Turns()
        house = House(self._options, self._guests, self._connect, self._count_refused)
        for listener, certificates in self._sockets:
            reception = Reception(listener, certificates, house)
            reception.open(listeners.BACKLOG)
            self._receptions.append(reception)

    @override
    async def stop(self, grace: float | None) -> None:
        """Take no new calls; wait *grace* seconds for the running ones, then end them.

        None ends them at once. May be called again: the shorter patience wins.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        if grace is None:
            self._hurry.set()
        else:
            asyncio.get_running_loop().call_later(grace, self._hurry.set)
        await asyncio.shield(self._stopping)

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped; True if *timeout* seconds passed before that."""
        try:
            await asyncio.wait_for(self._stopped.wait(), timeout)
        except TimeoutError:
            return True
        return False

    def _bind(self, address: str, certificates: Certificates | None) -> int:
        bound = listeners.bind(address, reuse_port=self._options.reuse_port)
        self._sockets += [(listener, certificates) for listener in bound]
        if bound[0].family == socket.AF_UNIX:
            self._unix_paths.append(listeners.unix_path(address))
            return 1
        port: int = bound[0].getsockname()[1]
        return port

    def _connect(self, on_lost: Callable[[], None]) -> Connection:
        assert self._turns is not None, "nobody is let in before the start"
        return Connection(
            self._methods, self._options, self._live, turns=self._turns, on_lost=on_lost
        )

    async def _stop(self) -> None:
        self._close_listeners()
        for connection in list(self._live.connections):
            connection.drain()
        await self._gone_or_hurry()
        for connection in list(self._live.connections):
            connection.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._live.gone(), _CLEAN_UP_SECONDS)
        self._stopped.set()

    def _close_listeners(self) -> None:
        for reception in self._receptions:
            reception.close()
        for listener, _certificates in self._sockets:
            listener.close()
        for path in self._unix_paths:
            path.unlink(missing_ok=True)

    async def _gone_or_hurry(self) -> None:
        """Wait until all is over, or somebody has no more patience."""
        waiting = [
            asyncio.ensure_future(self._live.gone()),
            asyncio.ensure_future(self._hurry.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiting:
                waiter.cancel()
