"""The sending half of a connection: what is queued goes out once per turn of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from server.transport import nghttp2
from server.transport.options import KIBIBYTE, TransportOptions
from server.transport.peer import Peer
from server.transport.status import NO_ERROR

# What is taken from libnghttp2 at once. It stays there, counted per call, while the socket is full.
_CHUNK_BYTES = 256 * KIBIBYTE
# With more than this unsent, a client is too far behind for further answers to be made for it.
_BEHIND_BYTES = 1_024 * KIBIBYTE
# How long a closing connection may take to send its last bytes to a client that does not read.
_LINGER_SECONDS = 1.0


class Pool(Protocol):
    """What all connections keep together.

    Attributes:
        options: The limits.
        buffered_bytes: What their calls hold of requests that nobody has read yet.
    """

    options: TransportOptions
    buffered_bytes: int


class Wire:
    """Sends for all calls of one connection; a full socket or window makes their writers wait.

    Attributes:
        engine: The HTTP/2 state of the connection.
        buffered_bytes: What its calls hold of requests that nobody has read yet.
        pool: The same of all connections.
        has_answered: Whether anything was sent to a call since the client's last ping.
        answers: How often a call was given something to send.
        sent_bytes: What was sent in all.
        is_behind: Whether the client has much to read before anything new would reach it.
        is_closing: Whether the connection is closed, or about to be.
        on_events: Is told what came of sending.
        moving: Whether the client has been asked to open a new connection for new calls.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        pool: Pool,
        *,
        peer: Peer,
        on_caught_up: Callable[[], None],
    ) -> None:
        self.engine = nghttp2.open_connection(pool.options)
        self.options = pool.options
        self.peer = peer
        self.loop = asyncio.get_running_loop()
        self.buffered_bytes = 0
        self.pool = pool
        self.has_answered = False
        self.answers = 0
        self.sent_bytes = 0
        self.is_behind = False
        self.is_closing = False
        self._unsent_bytes = 0
        self.moving = False
        self._transport = transport
        self.on_events: Callable[[list[nghttp2.Event]], None] = _nothing
        self._on_caught_up = on_caught_up
        self._flush_scheduled = False
        self._paused = False
        self._answered_early: set[int] = set()
        self._waiting_writers: dict[int, asyncio.Future[None]] = {}
        self._lingering: asyncio.TimerHandle | None = None

    def flush_soon(self) -> None:
        """Send what is queued after the callbacks that are ready now have queued theirs."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what the windows of the client and the buffer of the socket allow."""
        self._flush_scheduled = False
        was_behind, was_closing = self.is_behind, self.is_closing
        if was_closing or not self._pump():
            return
        events = self.engine.events()
        if events:  # Calls end by what was sent, too.
            self.on_events(events)
            if self.is_closing:
                return
        if self._answered_early:
            self._reset_answered_early()
        if self._waiting_writers:
            self._wake_writers()
        if was_behind and not self.is_behind:
            self._on_caught_up()

    def answered(self) -> None:
        """Send what a call has just been given, and count that it was."""
        self.has_answered = True
        self.answers += 1
        if not self._flush_scheduled:
            self.flush_soon()

    def pause(self) -> None:
        """Stop sending: the socket's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """Send again."""
        self._paused = False
        self.flush_soon()

    def pause_reading(self) -> None:
        """Read no further: what was read is to be dealt with first."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def reset_when_sent(self, stream_id: int) -> None:
        """End the client's half of a call whose answer is complete, once that answer is out.

        Without it the client might go on sending a request that nobody reads.
        """
        self._answered_early.add(stream_id)

    async def drained(self, stream_id: int) -> None:
        """Wait until a call has little left to send, or is over."""
        waiter = self.loop.create_future()
        self._waiting_writers[stream_id] = waiter
        try:
            await waiter
        finally:
            self._waiting_writers.pop(stream_id, None)

    def closed(self, stream_id: int) -> None:
        """Let go of a stream that is closed on both sides."""
        self._answered_early.discard(stream_id)

    def wake_writer(self, stream_id: int) -> None:
        """Let whoever waits to write on a call find that it is over."""
        waiter = self._waiting_writers.get(stream_id)
        if waiter and not waiter.done():
            waiter.set_result(None)

    def reset(self, stream_id: int, error_code: int) -> None:
        """End a call at once, with all of it that is not sent yet."""
        try:
            self.engine.reset_stream(stream_id, error_code)
        except nghttp2.NGH2Error:
            return  # The whole connection is ending.
        self.flush_soon()

    def credit(self, stream_id: int, received_bytes: int) -> None:
        """Give back to the client's windows what a call has taken; also after its end."""
        try:
            self.engine.acknowledge_received_data(received_bytes, stream_id)
        except nghttp2.NGH2Error:
            return  # The connection is ending; there is no window left to give back to.
        if not self._flush_scheduled:
            self.flush_soon()

    def send_raw(self, data: bytes) -> None:
        """Send bytes past the engine, which can say no more."""
        self._transport.write(data)

    def close(self) -> None:
        """Close once the last bytes are out, or a moment later even if they are not."""
        if not self.is_closing:
            self.is_closing = True
            self._transport.close()
            self._lingering = self.loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def lost(self) -> None:
        """Send nothing more: the connection is gone."""
        self.is_closing = True
        # So that the connection, and all that it kept, is free at once: no cycle leads back to it.
        self.on_events = self._on_caught_up = _nothing
        if self._lingering is not None:
            self._lingering.cancel()

    def _pump(self) -> bool:
        """Move bytes from the engine to the socket; tell whether all that may go has gone."""
        engine = self.engine
        has_all_gone = False
        while not (self._paused or has_all_gone):
            chunk = engine.data_to_send(_CHUNK_BYTES)
            if chunk:
                self._transport.write(chunk)
                self.sent_bytes += len(chunk)
            has_all_gone = len(chunk) < _CHUNK_BYTES
        unsent_bytes = engine.queued_body_size()
        if unsent_bytes < self._unsent_bytes:
            self.has_answered = True  # More of an answer that was begun earlier.
        self._unsent_bytes = unsent_bytes
        self.is_behind = unsent_bytes > _BEHIND_BYTES
        return has_all_gone

    def _reset_answered_early(self) -> None:
        for stream_id in list(self._answered_early):
            if not self.engine.queued_body_size(stream_id):
                self._answered_early.discard(stream_id)
                self.engine.reset_stream(stream_id, NO_ERROR)
        self._pump()
        self.on_events(self.engine.events())

    def _wake_writers(self) -> None:
        for stream_id, waiter in self._waiting_writers.items():
            queued_bytes = self.engine.queued_body_size(stream_id)
            if queued_bytes <= self.options.max_unsent_bytes and not waiter.done():
                waiter.set_result(None)


def _nothing(*_: object) -> None:
    pass
