"""One call as the wire sees it: messages in, messages out, and exactly one ending."""

import asyncio
from collections import deque
from collections.abc import Callable

import grpc

from server.transport.framing import PREFIX_BYTES, Frame, MessageReader, decompress, whole_frame
from server.transport.metadata import Fields
from server.transport.methods import Method
from server.transport.nghttp2 import NGH2Error
from server.transport.request import Request
from server.transport.status import OK_TRAILERS, CallFailure, Headers, reset_of_status, trailers
from server.transport.writer import Wire

RESPONSE_HEADERS: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class Stream:
    """The two directions of one call.

    Bytes that the servicer has not asked for are kept back from the client's window, so that a
    client cannot send faster than its call is read. An unfinished message is credited at once: it
    may be larger than the window, and is bounded by the limit of a message.

    Attributes:
        request: The head of the call.
        method: What it calls.
        task: What answers it, once that runs.
        code: How it ended; None while it lasts.
        headers_sent: Whether the client has been sent the first half of the answer.
        deadline: When it must be over, in the loop's time; None without one, and after its end.
        looks: How often its request was found incomplete since a message was last complete.
        abandoned: Whether it ended by its client, its deadline or its connection.
    """

    __slots__ = (
        "_buffered_bytes",
        "_frames",
        "_half_closed",
        "_move_callback",
        "_reader",
        "_reading",
        "_takes_one",
        "_uncredited_bytes",
        "_writing",
        "abandoned",
        "code",
        "deadline",
        "headers_sent",
        "looks",
        "method",
        "request",
        "stream_id",
        "task",
        "wire",
    )

    def __init__(self, wire: Wire, stream_id: int, request: Request, *, method: Method) -> None:
        self.wire = wire
        self.stream_id = stream_id
        self.request = request
        self.method = method
        self.task: asyncio.Task[None] | None = None
        self.code: grpc.StatusCode | None = None
        self.abandoned = False
        self._takes_one = not method.request_streaming
        # There while a message is unfinished.
        self._reader: MessageReader | None = None
        self._frames: deque[Frame] = deque()
        self._reading: asyncio.Future[None] | None = None
        self._buffered_bytes = 0
        self._uncredited_bytes = 0
        self._half_closed = False
        self.headers_sent = False
        self._writing = False
        self.looks = 0
        self._move_callback: Callable[[], None] | None = None
        self.deadline: float | None = None
        if request.timeout_seconds is not None:
            self.deadline = wire.loop.time() + request.timeout_seconds

    # Receiving -------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes of the request; raises CallFailure if the call cannot go on with them."""
        self._uncredited_bytes += len(data)
        if self.code is not None:
            self._credit()
            return
        self._buffered_bytes += len(data)
        wire = self.wire
        wire.buffered_bytes += len(data)
        wire.pool.buffered_bytes += len(data)
        if wire.buffered_bytes > wire.options.max_buffered_bytes:
            raise CallFailure(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "the connection has too much waiting"
            )
        limit_bytes = wire.options.max_receive_message_bytes
        frame = whole_frame(data, limit_bytes) if self._reader is None else None
        if frame is None:
            self._gather(data, limit_bytes)
        else:
            self.looks = 0
            self._frames.append(frame)
        if not self._frames:
            self._credit()
        elif self._takes_one and len(self._frames) > 1:
            raise CallFailure(grpc.StatusCode.UNIMPLEMENTED, "the method takes one message")
        if self._reading is not None:
            self._wake_reader()

    @property
    def buffered_bytes(self) -> int:
        """What is kept of its request that nobody has read yet."""
        return self._buffered_bytes

    @property
    def is_incomplete(self) -> bool:
        """Whether the client has yet to send what it began: a unary request, or a message."""
        if self.code is not None or self._half_closed:
            return False
        return self._takes_one or self._reader is not None

    def half_close(self) -> None:
        """Note that the request is complete; raises CallFailure if it is not whole."""
        self._half_closed = True
        if self.code is not None:
            return
        if self._reader is not None:
            raise CallFailure(grpc.StatusCode.INTERNAL, "the request ends inside a message")
        if self._takes_one and not self._frames:
            raise CallFailure(grpc.StatusCode.UNIMPLEMENTED, "the method takes one message")
        if self._reading is not None:
            self._wake_reader()

    async def read(self) -> bytes | None:
        """Wait for the next message; None after the last."""
        while not self._frames:
            self.check_open()
            if self._half_closed:
                return None
            await self._more()
        return self.take()

    def take(self) -> bytes:
        """Return the oldest message; raises CallFailure if it is damaged or too large."""
        compressed, payload = self._frames.popleft()
        wire, taken_bytes = self.wire, PREFIX_BYTES + len(payload)
        self._buffered_bytes -= taken_bytes
        wire.buffered_bytes -= taken_bytes
        wire.pool.buffered_bytes -= taken_bytes
        if not self._frames:
            wire.credit(self.stream_id, self._uncredited_bytes)
            self._uncredited_bytes = 0
        if not compressed:
            return payload
        return decompress(payload, self.request.encoding, wire.options.max_receive_message_bytes)

    def whole_message(self) -> bytes | None:
        """Look at the oldest message, which stays to be taken; None if it is compressed."""
        compressed, payload = self._frames[0]
        return None if compressed else payload

    # Sending ---------------------------------------------------------------------------------

    def send_headers(self, headers: Headers) -> None:
        """Send the headers of the answer."""
        self.headers_sent = True
        try:
            self.wire.engine.send_response(self.stream_id, headers)
        except NGH2Error:
            self.abandon(grpc.StatusCode.UNAVAILABLE)
            return
        self.wire.answered()

    async def write(self, sealed: bytes) -> None:
        """Send one message; waits while the client does not take what was sent before."""
        wire = self.wire
        try:
            wire.engine.send_data(self.stream_id, sealed)
        except NGH2Error:
            self.abandon(grpc.StatusCode.UNAVAILABLE)
            self.check_open()
        self.wire.answered()
        if wire.engine.queued_body_size(self.stream_id) > wire.options.max_unsent_bytes:
            await self._drained()
        self.check_open()

    def answer(self, headers: Headers, sealed: bytes, end: Headers = OK_TRAILERS) -> None:
        """Send the one message of a call and end it: the whole answer to a unary call."""
        engine, stream_id = self.wire.engine, self.stream_id
        try:
            if not self.headers_sent:
                engine.send_response(stream_id, headers)
                self.headers_sent = True
            engine.send_data(stream_id, sealed)
            engine.send_trailers(stream_id, end)
        except NGH2Error:
            self.abandon(grpc.StatusCode.UNAVAILABLE)
            return
        self._finished(grpc.StatusCode.OK)

    def finish(self, code: grpc.StatusCode, end: Headers) -> None:
        """End the call with trailers; with them alone if nothing was sent before."""
        if self.code is not None:
            return
        try:
            if self.headers_sent:
                self.wire.engine.send_trailers(self.stream_id, end)
            else:
                self.wire.engine.send_response(
                    self.stream_id, RESPONSE_HEADERS + end, end_stream=True
                )
        except NGH2Error:
            self.abandon(grpc.StatusCode.UNAVAILABLE)
            return
        self._finished(code)

    # Ending ----------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise if the call is over: CancelledError if it was taken from its servicer."""
        if self.abandoned:
            raise asyncio.CancelledError("the call is over")
        if self.code is not None:
            raise grpc.aio.UsageError("the call is over")

    def fail(self, failure: CallFailure) -> None:
        """End the call by our own doing: tell the client why, and stop the servicer."""
        if self.code is not None:
            return
        if self.wire.engine.queued_body_size(self.stream_id):
            # Trailers would wait behind what the client does not read.
            self.wire.reset(self.stream_id, reset_of_status(failure.code))
            self._over(failure.code)
        else:
            self.finish(failure.code, self.trailers(failure.code, failure.text, failure.metadata))
        self._stop_servicer()

    def abandon(self, code: grpc.StatusCode) -> None:
        """Note that the call was ended from outside, and stop the servicer."""
        if self.code is None:
            self._over(code)
            self._stop_servicer()

    def trailers(self, code: grpc.StatusCode, text: str, metadata: Fields) -> Headers:
        """Make the trailers that end this call; `metadata` is encoded already."""
        limit = self.wire.options.max_status_text_bytes
        return trailers(code, text, metadata, max_text_bytes=limit)

    def time_remaining_seconds(self) -> float | None:
        """Return how long the call may still last; None without a deadline."""
        if self.request.timeout_seconds is None or self.deadline is None:
            return None
        return max(0.0, self.deadline - self.wire.loop.time())

    def on_move(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the server wants the call to move to a new connection."""
        self._move_callback = callback
        if self.wire.moving:
            callback()

    def ask_to_move(self) -> None:
        """Tell the servicer, if it wants to know, that the connection will not take new calls."""
        if self._move_callback is not None:
            self._move_callback()

    def expire(self) -> None:
        """End the call: its deadline has passed."""
        self.fail(CallFailure(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed"))

    def give_up(self) -> None:
        """End the call: its request does not arrive."""
        text = "the request did not arrive in time"
        self.fail(CallFailure(grpc.StatusCode.DEADLINE_EXCEEDED, text))

    def make_room(self) -> None:
        """End the call: it keeps more than others, and there is no more memory for requests."""
        text = "too much waits in this process, and this call is among those with the most"
        self.fail(CallFailure(grpc.StatusCode.RESOURCE_EXHAUSTED, text))

    def _finished(self, code: grpc.StatusCode) -> None:
        self._over(code)
        if not self._half_closed:
            self.wire.reset_when_sent(self.stream_id)
        self.wire.answered()

    def _over(self, code: grpc.StatusCode) -> None:
        """Let go of all that the call holds; nothing is read or written from here on."""
        self.code = code
        self.deadline = None
        self._move_callback = None
        if self._buffered_bytes:
            self.wire.buffered_bytes -= self._buffered_bytes
            self.wire.pool.buffered_bytes -= self._buffered_bytes
            self._buffered_bytes = 0
            self._frames.clear()
            self._reader = None
        if self._uncredited_bytes:
            self.wire.credit(self.stream_id, self._uncredited_bytes)
            self._uncredited_bytes = 0
        if self._reading is not None:
            self._wake_reader()
        if self._writing:
            self.wire.wake_writer(self.stream_id)

    def _stop_servicer(self) -> None:
        self.abandoned = True
        if self.task is not None:
            self.task.cancel()

    # Helpers ---------------------------------------------------------------------------------

    def _gather(self, data: bytes, limit_bytes: int) -> None:
        """Take a part of a message, or more than one."""
        reader = self._reader or MessageReader(limit_bytes)
        whole = reader.feed(data)
        self._reader = reader if reader.unfinished_bytes else None
        if whole:
            self.looks = 0
            self._frames += whole

    def _credit(self) -> None:
        """Let the client send as much again as has been taken from it."""
        self.wire.credit(self.stream_id, self._uncredited_bytes)
        self._uncredited_bytes = 0

    async def _drained(self) -> None:
        if self._writing:
            raise grpc.aio.UsageError("only one may write to a call at a time")
        self._writing = True
        try:
            await self.wire.drained(self.stream_id)
        finally:
            self._writing = False

    async def _more(self) -> None:
        if self._reading is not None:
            raise grpc.aio.UsageError("only one may read from a call at a time")
        self._reading = self.wire.loop.create_future()
        try:
            await self._reading
        finally:
            self._reading = None

    def _wake_reader(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)
