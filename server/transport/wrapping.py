"""A transport around another one: every method that is added goes through one place."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio
from typing_extensions import override

from server.transport.contract import CheckHead, Early, TransportServer
from server.transport.tls import TlsFiles

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WrappedServer(TransportServer):
    """Serves on *inner*; a subclass says what becomes of each method's handler."""

    def __init__(self, inner: TransportServer) -> None:
        self.name = inner.name
        self._inner = inner

    @abstractmethod
    def wrap(self, handler: Handler, service: str, method: str) -> Handler:
        """Return the handler that is served in place of *handler*."""

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add methods whose names are known; raises what *wrap* raises."""
        wrapped = {
            name: self.wrap(handler, service_name, name)
            for name, handler in method_handlers.items()
        }
        self._inner.add_registered_method_handlers(service_name, wrapped)

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Add handlers that are asked call by call."""
        self._inner.add_generic_rpc_handlers(
            tuple(_Generic(one, self.wrap) for one in generic_rpc_handlers)
        )

    @override
    def add_insecure_port(self, address: str) -> int:
        """Bind without TLS."""
        return self._inner.add_insecure_port(address)

    @override
    def add_secure_port(self, address: str, server_credentials: TlsFiles) -> int:  # type: ignore[override] # As the contract says.
        """Bind with TLS."""
        return self._inner.add_secure_port(address, server_credentials)

    @override
    def add_listener(self, listener: socket.socket, tls: TlsFiles | None = None, /) -> None:
        """Serve on a socket that is bound already."""
        self._inner.add_listener(listener, tls)

    @override
    def on_move(self, context: _Context, tell: Callable[[], None]) -> None:
        """Call *tell* once when the call should move to a new connection."""
        self._inner.on_move(context, tell)

    @override
    def header(self, context: _Context, name: str) -> str | None:
        """Read a header of a call."""
        return self._inner.header(context, name)

    @override
    def expect_shared(self, context: _Context) -> None:
        """Say that the call will be written shared messages."""
        self._inner.expect_shared(context)

    @override
    def share(self, message: bytes) -> Any:
        """Make of a message one to be written to many calls."""
        return self._inner.share(message)

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer each call to *early* before its servicer."""
        self._inner.offer_first(service, name, early)

    @override
    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Ask *check* about each call when its head has arrived."""
        self._inner.check_head(service, name, check)

    @override
    async def start(self) -> None:
        """Begin to serve."""
        await self._inner.start()

    @override
    async def stop(self, grace: float | None) -> None:
        """Take no new calls, wait for the running ones, then end them."""
        await self._inner.stop(grace)

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped."""
        return await self._inner.wait_for_termination(timeout)


class _Generic(grpc.GenericRpcHandler):
    """Handlers asked call by call, each wrapped once."""

    def __init__(
        self, inner: grpc.GenericRpcHandler, wrap: Callable[[Handler, str, str], Handler]
    ) -> None:
        self._inner = inner
        self._wrap = wrap
        self._wrapped: dict[str, Handler] = {}

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        path = handler_call_details.method
        if path not in self._wrapped:
            handler = self._inner.service(handler_call_details)
            if handler is None:
                return None
            service, _, name = path.removeprefix("/").rpartition("/")
            self._wrapped[path] = self._wrap(handler, service, name)
        return self._wrapped[path]


def behaviour_of(handler: Handler) -> Any:
    """Return the servicer's method, whichever of the four kinds it is."""
    return (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )


def with_behaviour(handler: Handler, behaviour: Any) -> Handler:
    """Make a handler of the same kind and messages with another method."""
    return _made_like(
        handler, behaviour, (handler.request_deserializer, handler.response_serializer)
    )


def with_codec(handler: Handler, parse: Any, serialize: Any) -> Handler:
    """Make a handler of the same kind and method that reads and writes messages another way."""
    return _made_like(handler, behaviour_of(handler), (parse, serialize))


def _made_like(handler: Handler, behaviour: Any, codec: tuple[Any, Any]) -> Handler:
    parse, serialize = codec
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = makers[handler.request_streaming, handler.response_streaming]
    return make(
        behaviour,
        request_deserializer=parse,
        response_serializer=serialize,
    )
