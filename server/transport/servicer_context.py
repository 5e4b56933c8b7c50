"""What a servicer is given beside the request: `grpc.aio.ServicerContext` over libnghttp2."""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import grpc
import grpc.aio
from typing_extensions import override

from server.transport import metadata
from server.transport.framing import SharedMessage, seal_message
from server.transport.methods import Method
from server.transport.peer import AuthContext
from server.transport.status import OK_TRAILERS, CallFailure, Headers
from server.transport.stream import RESPONSE_HEADERS, Stream

MetadataInput = Iterable[tuple[str, str | bytes]]
DoneCallback = Callable[["ServicerContext"], object]

_GZIP_HEADERS: Headers = [*RESPONSE_HEADERS, (b"grpc-encoding", b"gzip")]


class ServicerContext(grpc.aio.ServicerContext[Any, Any]):
    """One call as its servicer sees it; behaves as the context of `grpc.aio` does."""

    # Few calls change any of these; kept on the class, they cost the others nothing.
    _code = grpc.StatusCode.OK
    _details = ""
    _trailing: tuple[tuple[str, str | bytes], ...] = ()
    _gzip = False
    _next_uncompressed = False
    _shares_gzip = False
    _done_callbacks: tuple[DoneCallback, ...] = ()

    def __init__(self, stream: Stream, method: Method) -> None:
        self._stream = stream
        self._method = method

    # Messages --------------------------------------------------------------------------------

    def take_request(self) -> Any:
        """Return the only message of a unary request, which has arrived already."""
        return self._deserialize(self._stream.take())

    @override
    async def read(self) -> Any:
        """Return the next message of the request, `grpc.aio.EOF` after the last."""
        try:
            message = await self._stream.read()
            return grpc.aio.EOF if message is None else self._deserialize(message)
        except CallFailure as failure:
            self._end(failure.code, failure.text)
            raise grpc.aio.AbortError(failure.text) from failure

    @override
    async def write(self, message: Any) -> None:
        """Send one message; waits while the client does not take what was sent before."""
        self._stream.check_open()
        if isinstance(message, SharedMessage):
            sealed = message.sealed(gzip=self._shares_gzip)
        else:
            sealed = self._seal(message)
        if not self._stream.headers_sent:
            self._stream.send_headers(self._headers())
        await self._stream.write(sealed)

    def answer(self, message: Any) -> None:
        """End the call with its only message, or with the status that the servicer has set."""
        if self._code is not grpc.StatusCode.OK:
            self._end(self._code, self._details)
        elif self._stream.code is None:
            headers = _GZIP_HEADERS if self._gzip else RESPONSE_HEADERS
            end = self._ok_trailers() if self._trailing or self._details else OK_TRAILERS
            self._stream.answer(headers, self._seal(message), end)

    # Metadata and status ---------------------------------------------------------------------

    @override
    def invocation_metadata(self) -> Any:
        """Return what the caller sent, as pairs; bytes under names in `-bin`."""
        return self._stream.request.metadata()

    def header(self, name: bytes) -> str | None:
        """Return what the caller sent under *name*, the last where that is several, or None."""
        for key, value in reversed(self._stream.request.fields):
            if key == name:
                return value.decode("latin-1")
        return None

    @override
    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send metadata ahead of the answer."""
        self._stream.check_open()
        if self._stream.headers_sent:
            raise grpc.aio.UsageError("the initial metadata has been sent already")
        self._stream.send_headers(self._headers() + self._encode(initial_metadata))

    @override
    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the metadata that ends the call; raises ValueError if it cannot be sent."""
        pairs = tuple((key, value) for key, value in trailing_metadata)
        self._encode(pairs)
        self._trailing = pairs

    @override
    def trailing_metadata(self) -> Any:
        """Return what `set_trailing_metadata` was given."""
        return self._trailing

    @override
    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status with which the call will end."""
        self._code = code

    @override
    def code(self) -> grpc.StatusCode:
        """Return the status: how the call ended, or will end as it stands."""
        return self._stream.code or self._code

    @override
    def set_details(self, details: str) -> None:
        """Set the text of the status."""
        self._details = details

    @override
    def details(self) -> str:
        """Return the text of the status."""
        return self._details

    @override
    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        """End the call now with *code*; always raises `grpc.aio.AbortError`."""
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        # An abort that claims success would leave a unary caller without its message.
        self._end(grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code, details)
        raise grpc.aio.AbortError(details)

    @override
    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call now with a rich status (`grpc_status.rpc_status.to_status`)."""
        await self.abort(status.code, status.details, status.trailing_metadata)

    # Compression -----------------------------------------------------------------------------

    @override
    def set_compression(self, compression: grpc.Compression) -> None:
        """Compress the answer with gzip, if the caller can read it."""
        if self._stream.headers_sent:
            raise grpc.aio.UsageError("the answer has begun without compression")
        self._gzip = compression is grpc.Compression.Gzip and self._stream.request.accepts_gzip()

    @override
    def disable_next_message_compression(self) -> None:
        """Send the next message as it is."""
        self._next_uncompressed = True

    def expect_shared(self) -> None:
        """Let messages that other calls are sent as well come compressed, if the caller reads it.

        Its own messages are as `set_compression` says.
        """
        self._shares_gzip = self._stream.request.accepts_gzip()

    # The caller ------------------------------------------------------------------------------

    @override
    def peer(self) -> str:
        """Return the address of the caller."""
        return self._stream.wire.peer.address

    @override
    def peer_identities(self) -> tuple[bytes, ...] | None:
        """Return the names in the caller's certificate, None without one."""
        return self._stream.wire.peer.identities

    @override
    def peer_identity_key(self) -> str | None:
        """Return the property that names the caller, None without a certificate."""
        return self._stream.wire.peer.identity_key

    @override
    def auth_context(self) -> AuthContext:
        """Return the properties of the TLS session."""
        return self._stream.wire.peer.auth_context

    # Time and ending -------------------------------------------------------------------------

    @override
    def time_remaining(self) -> float | None:  # type: ignore[override] # As grpcio.
        """Return the seconds until the deadline, None without one; never negative."""
        # The stub promises a float always, which grpcio does not keep either.
        return self._stream.time_remaining_seconds()

    @override
    def add_done_callback(self, callback: Any) -> None:
        """Call *callback* with this context once the call is over."""
        self._done_callbacks += (callback,)

    def add_move_callback(self, callback: Callable[[], None]) -> None:
        """Call *callback* once, when the server wants this call to move to a new connection."""
        self._stream.on_move(callback)

    @override
    def cancelled(self) -> bool:
        """Tell whether the call was taken from its servicer: by client, deadline or connection."""
        return self._stream.abandoned

    @override
    def done(self) -> bool:
        """Tell whether the call is over."""
        return self._stream.code is not None

    def finish(self) -> None:
        """End the call with the status as it stands, unless it is over."""
        if self._stream.code is None:
            self._end(self._code, self._details)

    def fail(self, code: grpc.StatusCode, text: str) -> None:
        """End the call with *code*, whatever the servicer has set, unless it is over."""
        if self._stream.code is None:
            self._end(code, text)

    def run_done_callbacks(self) -> None:
        """Tell those who asked that the call is over."""
        for callback in self._done_callbacks:
            callback(self)

    # Helpers ---------------------------------------------------------------------------------

    def _end(self, code: grpc.StatusCode, text: str) -> None:
        self._code, self._details = code, text
        fields = self._encode(self._trailing)
        self._stream.finish(code, self._stream.trailers(code, text, fields))

    def _headers(self) -> Headers:
        return _GZIP_HEADERS if self._gzip or self._shares_gzip else RESPONSE_HEADERS

    def _ok_trailers(self) -> Headers:
        fields = self._encode(self._trailing)
        return self._stream.trailers(grpc.StatusCode.OK, self._details, fields)

    def _encode(self, pairs: MetadataInput) -> Headers:
        return metadata.encode(pairs, self._stream.wire.options.max_metadata_bytes)

    def _deserialize(self, message: bytes) -> Any:
        try:
            return self._method.deserialize(message)
        except Exception as error:
            # Whatever a parser raises, it is the request that it could not read.
            raise CallFailure(
                grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read"
            ) from error

    def _seal(self, message: Any) -> bytes:
        try:
            raw = self._method.serialize(message)
        except Exception as error:
            raise CallFailure(grpc.StatusCode.INTERNAL, "the answer cannot be written") from error
        if not self._gzip:
            return seal_message(raw)
        compressed, self._next_uncompressed = not self._next_uncompressed, False
        return seal_message(raw, compressed=compressed)
