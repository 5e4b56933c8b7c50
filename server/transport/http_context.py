"""What a servicer is given beside a request that came over HTTP/1.1, as over HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from typing_extensions import override

from server.transport.contract import Ending, OfferedCall
from server.transport.framing import SharedMessage
from server.transport.http.exchange import Asked
from server.transport.methods import Method
from server.transport.peer import AuthContext
from server.transport.status import CallFailure


class HttpContext(grpc.aio.ServicerContext[Any, Any]):
    """One call that came over HTTP.

    Attributes:
        ending: How it ended; None while it goes on, and where it ended well.
        answered: Its only message, as bytes.
        on_message: Takes each message of an answer that is a stream.
    """

    def __init__(
        self, asked: Asked, method: Method, message: bytes, *, ends_at: float | None
    ) -> None:
        self._asked = asked
        self._method = method
        self._message = message
        self._ends_at = ends_at
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._trailing: tuple[tuple[str, str | bytes], ...] = ()
        self._done_callbacks: list[Callable[[Any], object]] = []
        self.ending: Ending | None = None
        self.answered: bytes | None = None
        self.on_message: Callable[[bytes], Awaitable[None]] | None = None

    # Messages --------------------------------------------------------------------------------

    def take_request(self) -> Any:
        """Return the request."""
        try:
            return self._method.deserialize(self._message)
        except Exception as error:
            text = "the request cannot be read"
            raise CallFailure(grpc.StatusCode.INVALID_ARGUMENT, text) from error

    @override
    async def read(self) -> Any:
        """Return the end: a stream of requests does not come over HTTP/1.1."""
        return grpc.aio.EOF

    @override
    async def write(self, message: Any) -> None:
        """Send one message of a stream."""
        if self.ending is not None or self.on_message is None:
            raise grpc.aio.UsageError("the call is over, or has one answer")
        is_shared = isinstance(message, SharedMessage)
        await self.on_message(message.message if is_shared else self._method.serialize(message))

    def answer(self, message: Any) -> None:
        """End the call with its only message, or with the status that the servicer has set."""
        if self._code is not grpc.StatusCode.OK:
            self.fail(self._code, self._details)
        elif self.ending is None:
            self.answered = self._method.serialize(message)

    # Metadata and status ---------------------------------------------------------------------

    @override
    def invocation_metadata(self) -> Any:
        """Return the headers of the request."""
        return tuple(self._asked.headers.items())

    def header(self, name: str) -> str | None:
        """Return what the caller sent; a token only where nobody could read it on the way."""
        if name == "authorization" and not self._asked.is_private:
            return None
        return self._asked.headers.get(name)

    @override
    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Do nothing: headers are sent with the first message."""

    @override
    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = tuple((key, value) for key, value in trailing_metadata)

    @override
    def trailing_metadata(self) -> Any:
        return self._trailing

    @override
    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    @override
    def code(self) -> grpc.StatusCode:
        return self._code if self.ending is None else self.ending[0]

    @override
    def set_details(self, details: str) -> None:
        self._details = details

    @override
    def details(self) -> str:
        return self._details

    @override
    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        """End the call with *code*; always raises `grpc.aio.AbortError`."""
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self.fail(grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code, details)
        raise grpc.aio.AbortError(details)

    @override
    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def fail(self, code: grpc.StatusCode, text: str) -> None:
        """End the call with *code*, unless it is over."""
        if self.ending is None and self.answered is None:
            self.ending = (code, text, self._trailing)

    def finish(self) -> None:
        """End the call with the status as it stands, unless it is over."""
        if self._code is not grpc.StatusCode.OK:
            self.fail(self._code, self._details)

    # The rest of what a servicer may use -------------------------------------------------------

    @override
    def set_compression(self, compression: grpc.Compression) -> None:
        """Do nothing: what the caller reads is compressed where that is worth while."""

    @override
    def disable_next_message_compression(self) -> None:
        """Do nothing, as above."""

    @override
    def peer(self) -> str:
        return self._asked.peer.address

    @override
    def peer_identities(self) -> tuple[bytes, ...] | None:
        return self._asked.peer.identities

    @override
    def peer_identity_key(self) -> str | None:
        return self._asked.peer.identity_key

    @override
    def auth_context(self) -> AuthContext:
        return self._asked.peer.auth_context

    @override
    def time_remaining(self) -> float | None:  # type: ignore[override] # As grpcio.
        """Return the seconds until the deadline, None without one; never negative."""
        if self._ends_at is None:
            return None
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())

    @override
    def add_done_callback(self, callback: Any) -> None:
        self._done_callbacks.append(callback)

    @override
    def cancelled(self) -> bool:
        return False

    @override
    def done(self) -> bool:
        return self.ending is not None or self.answered is not None

    def run_done_callbacks(self) -> None:
        """Tell those who asked that the call is over."""
        for callback in self._done_callbacks:
            callback(self)


class OfferedOverHttp(OfferedCall):
    """A unary call as it is offered before its servicer is asked.

    Attributes:
        taken: Done once it is answered, or left to the servicer: whether the servicer is to answer.
    """

    is_behind = False

    def __init__(self, context: HttpContext, message: bytes) -> None:
        self._context = context
        self.message = message
        self.taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @override
    def context(self) -> HttpContext:
        return self._context

    @override
    def time_remaining(self) -> float | None:
        return self._context.time_remaining()

    @override
    def answer(self, message: bytes) -> None:
        if not self._context.done():
            self._context.answered = message
        self._over(for_servicer=False)

    @override
    def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        self._context.set_trailing_metadata(trailing_metadata)
        self._context.fail(code, details)
        self._over(for_servicer=False)

    @override
    def leave_to_servicer(self) -> None:
        self._over(for_servicer=True)

    def _over(self, *, for_servicer: bool) -> None:
        if not self.taken.done():
            self.taken.set_result(for_servicer)
