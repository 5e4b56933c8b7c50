"""A transport with the door before every method: whatever is served is asked who asks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import grpc
from typing_extensions import override

from server.access.door import Door
from server.access.identity import set_current
from server.access.roles import Rule, rule_of
from server.access.streams import OpenStreams
from server.errors import Context, IdentityEnded, IdentityUnknown, RoleMissing, abort
from server.transport import TlsFiles, TransportServer

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Serving = Callable[[Any, Context], Any]


class Guarded(TransportServer):
    """Serves on another transport, each method behind the door.

    A method without a row in the table of roles is refused when it is added: `KeyError`. Without a
    door (`None`) nobody is asked for anything, and methods are added as they are.
    """

    def __init__(
        self,
        inner: TransportServer,
        door: Door | None,
        streams: OpenStreams,
        *,
        count_failure: Callable[[str], None],
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._door = door
        self._streams = streams
        self._count_failure = count_failure

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add methods whose names are known. Raises `KeyError` for one without a rule."""
        guarded = {
            name: self._guard(handler, rule_of(service_name, name))
            for name, handler in method_handlers.items()
        }
        self._inner.add_registered_method_handlers(service_name, guarded)

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Add handlers that are asked call by call."""
        self._inner.add_generic_rpc_handlers(
            tuple(_Generic(one, self._guard) for one in generic_rpc_handlers)
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
    def on_move(self, context: Context, tell: Callable[[], None]) -> None:
        """Call *tell* once when the call should move to a new connection."""
        self._inner.on_move(context, tell)

    @override
    def header(self, context: Context, name: str) -> str | None:
        """Read a header of a call."""
        return self._inner.header(context, name)

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

    def _guard(self, handler: Handler, rule: Rule) -> Handler:
        if self._door is None or rule.open_to_all:
            return handler
        if handler.request_streaming or handler.response_streaming:
            return _with_behaviour(handler, self._stream(self._door, rule, _behaviour(handler)))
        return _with_behaviour(handler, self._unary(self._door, rule, _behaviour(handler)))

    def _unary(self, door: Door, rule: Rule, serve: _Serving) -> _Serving:
        count = self._count_failure

        async def guarded(request: Any, context: Context) -> Any:
            try:
                access = door.admit(context, rule)
            except (IdentityUnknown, RoleMissing) as error:
                await abort(error, context, count)
            set_current(access)
            return await serve(request, context)

        return guarded

    def _stream(self, door: Door, rule: Rule, serve: _Serving) -> _Serving:
        count, streams = self._count_failure, self._streams

        async def guarded(request: Any, context: Context) -> None:
            try:
                access = door.admit(context, rule)
                set_current(access)
                if access.refused is not None:
                    # It asks about an emergency at once, or is told at once that it may not.
                    await serve(request, context)
                    return
                await streams.serve(
                    serve(request, context), lambda: door.may_go_on(context, rule, access)
                )
            except (IdentityUnknown, RoleMissing, IdentityEnded) as error:
                await abort(error, context, count)

        return guarded


class _Generic(grpc.GenericRpcHandler):
    """Handlers asked call by call, each behind the door."""

    def __init__(
        self,
        inner: grpc.GenericRpcHandler,
        guard: Callable[[Handler, Rule], Handler],
    ) -> None:
        self._inner = inner
        self._guard = guard
        self._guarded: dict[str, Handler] = {}

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        path = handler_call_details.method
        if path not in self._guarded:
            handler = self._inner.service(handler_call_details)
            if handler is None:
                return None
            service, _, name = path.removeprefix("/").rpartition("/")
            self._guarded[path] = self._guard(handler, rule_of(service, name))
        return self._guarded[path]


def _behaviour(handler: Handler) -> Any:
    return (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )


def _with_behaviour(handler: Handler, behaviour: Any) -> Handler:
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = makers[handler.request_streaming, handler.response_streaming]
    return make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
