"""The reference transport: grpcio's own server behind the same seam."""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from server.transport.contract import CheckHead, Early, TransportServer
from server.transport.listeners import AddressUnusable
from server.transport.methods import Handler
from server.transport.options import TransportOptions
from server.transport.tls import Certificates, TlsFiles

_MILLISECONDS = 1000
_UNLIMITED = -1


class GrpcioServer(TransportServer):
    """`grpc.aio.Server`, set up from our options."""

    name = "grpcio"

    def __init__(self, options: TransportOptions) -> None:
        self._options = options
        self._inner = grpc.aio.server(options=_channel_arguments(options))
        self._moving: dict[object, Callable[[], None]] = {}

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        """Add handlers that are asked call by call."""
        self._inner.add_generic_rpc_handlers(tuple(generic_rpc_handlers))

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add methods whose names are known; they come before generic handlers."""
        self._inner.add_registered_method_handlers(service_name, dict(method_handlers))

    @override
    def add_insecure_port(self, address: str) -> int:
        """Bind *address* without TLS; returns the port."""
        return _usable(address, lambda: self._inner.add_insecure_port(address))

    @override
    def add_secure_port(self, address: str, server_credentials: TlsFiles) -> int:  # type: ignore[override] # As the contract says.
        """Bind *address* with TLS; certificates are read again when their files change."""
        credentials = _credentials(Certificates(server_credentials))
        return _usable(address, lambda: self._inner.add_secure_port(address, credentials))

    @override
    def add_listener(self, _listener: socket.socket, _tls: TlsFiles | None = None, /) -> None:
        """Refuse: grpcio opens its own sockets; raises AddressUnusable."""
        raise AddressUnusable("the grpcio transport cannot serve on a socket made elsewhere")

    @override
    def on_move(
        self, context: "grpc.aio.ServicerContext[Any, Any]", tell: Callable[[], None]
    ) -> None:
        """Call *tell* when the call of *context* should move to a new connection.

        grpcio does not show the age of a connection, so that of the call stands for it.
        """
        self._moving[context] = tell
        context.add_done_callback(self._forget)  # type: ignore[arg-type] # Any context is hashable.
        age_seconds = self._options.max_connection_age_seconds
        if age_seconds is not None:
            asyncio.get_running_loop().call_later(age_seconds, self._tell, context)

    @override
    def header(self, context: "grpc.aio.ServicerContext[Any, Any]", name: str) -> str | None:
        """Return what the caller sent under *name*, the last where that is several, or None."""
        found = None
        for key, value in context.invocation_metadata() or ():
            if key == name and isinstance(value, str):
                found = value
        return found

    @override
    def expect_shared(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Do nothing: grpcio would compress for each call anew, which costs more than it saves."""

    @override
    def share(self, message: bytes) -> bytes:
        """Return the message itself."""
        return message

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Leave all calls to their servicers: grpcio knows no other way."""

    @override
    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Leave it to the servicer: grpcio reads a unary request before anybody is asked."""

    @override
    async def start(self) -> None:
        """Begin to serve."""
        await self._inner.start()

    @override
    async def stop(self, grace: float | None) -> None:
        """Take no new calls; wait *grace* seconds for the running ones, then end them."""
        for context in list(self._moving):
            self._tell(context)
        await self._inner.stop(grace)

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped; True if *timeout* seconds passed before that."""
        return await self._inner.wait_for_termination(timeout)

    def _forget(self, ctx: object) -> None:
        self._moving.pop(ctx, None)

    def _tell(self, context: object) -> None:
        tell = self._moving.pop(context, None)
        if tell is not None:
            tell()


def _usable(address: str, bind: Callable[[], int]) -> int:
    try:
        return bind()
    except RuntimeError as error:
        raise AddressUnusable(f"cannot listen on {address}: {error}") from error


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    def refresh() -> grpc.ServerCertificateConfiguration | None:
        return _configuration(certificates.files) if certificates.refresh() else None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(certificates.files),
        refresh,  # type: ignore[arg-type] # None is allowed, and means no change.
        require_client_authentication=certificates.files.client_ca_file is not None,
    )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    authority = None if files.client_ca_file is None else files.client_ca_file.read_bytes()
    pair = (files.key_file.read_bytes(), files.certificate_file.read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], authority)


def _channel_arguments(options: TransportOptions) -> list[tuple[str, Any]]:
    arguments = {
        "grpc.max_receive_message_length": options.max_receive_message_bytes,
        "grpc.max_send_message_length": _UNLIMITED,
        # The soft limit is where grpcio begins to refuse; the absolute one is for certain.
        "grpc.max_metadata_size": options.max_metadata_bytes,
        "grpc.absolute_max_metadata_size": options.max_metadata_bytes,
        "grpc.max_concurrent_streams": options.max_concurrent_streams,
        "grpc.http2.lookahead_bytes": options.stream_window_bytes,
        "grpc.server_handshake_timeout_ms": _milliseconds(options.handshake_timeout_seconds),
        "grpc.keepalive_time_ms": _milliseconds(options.keepalive_time_seconds),
        "grpc.keepalive_timeout_ms": _milliseconds(options.keepalive_timeout_seconds),
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_ping_interval_without_data_ms": _milliseconds(
            options.min_ping_interval_seconds
        ),
        "grpc.http2.max_ping_strikes": options.max_ping_strikes,
        "grpc.so_reuseport": int(options.reuse_port),
    }
    if options.max_connection_age_seconds is not None:
        # Without a grace of its own the old connection waits for its calls, however long.
        arguments["grpc.max_connection_age_ms"] = _milliseconds(options.max_connection_age_seconds)
    return list(arguments.items())


def _milliseconds(seconds: float) -> int:
    return round(seconds * _MILLISECONDS)
