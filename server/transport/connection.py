"""One HTTP/2 connection: what libnghttp2 reports becomes calls, and calls become tasks."""

import asyncio
import contextlib
import logging
import random
import struct
from collections.abc import Callable
from typing import Any

import grpc
from typing_extensions import override

from server.transport import foreign, nghttp2, peer, police
from server.transport.arrivals import Arrivals
from server.transport.contract import CheckHead, Early
from server.transport.deadlines import Deadlines
from server.transport.early import Offered
from server.transport.intake import Intake, Reactions
from server.transport.keepalive import Keepalive
from server.transport.live import Live
from server.transport.metadata import Fields
from server.transport.methods import MethodTable
from server.transport.options import TransportOptions
from server.transport.police import PingPolice
from server.transport.request import NotGrpc, Request, read_request
from server.transport.seldom import Seldom
from server.transport.servicer_context import ServicerContext
from server.transport.servicers import Servicers
from server.transport.status import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    CallFailure,
    Headers,
    status_of_reset,
    trailers,
)
from server.transport.stream import RESPONSE_HEADERS, Stream
from server.transport.turns import Turns
from server.transport.writer import Wire

_SELDOM = Seldom(logging.getLogger(__name__))

# Answered once everything that the client sent before it knew of the drain has arrived.
_DRAIN_PING = b"draining"
_KEEPALIVE_PING = b"keepaliv"
_AGE_SPREAD = 0.1  # So that connections opened together do not move together.


class Connection(asyncio.Protocol):
    """Serves the calls of one client until it leaves, misbehaves, or is asked to go."""

    _wire: Wire
    _deadlines: Deadlines
    _arrivals: Arrivals
    _keepalive: Keepalive
    _servicers: Servicers
    _intake: Intake

    def __init__(
        self,
        methods: MethodTable,
        options: TransportOptions,
        live: Live,
        *,
        turns: Turns,
        on_lost: Callable[[], None],
    ) -> None:
        self._methods = methods
        self._on_lost = on_lost
        self._options = options
        self._live = live
        self._turns = turns
        self._streams: dict[int, Stream] = {}
        self._last_stream_id = 0
        self._last_request: Request | None = None
        self._ping_police = PingPolice(options)
        self._ageing: asyncio.TimerHandle | None = None

    # What the event loop tells -----------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet a new client."""
        # Not an isinstance: the transports of uvloop are no subclasses of asyncio's.
        sender: Any = transport
        self._wire = Wire(
            sender,
            self._live,
            peer=peer.describe(transport),
            on_caught_up=self._on_caught_up,
        )
        self._intake = Intake(
            self._wire,
            self._turns,
            self._reactions(),
            on_broken=self._break_off,
            on_ended=self._on_engine_end,
        )
        now = self._wire.loop.time()
        self._resets = police.resets(now, self._options)
        self._idle_frames = police.idle_frames(now)
        self._servicers = Servicers(self._wire, self._live)
        self._deadlines = Deadlines(self._wire.loop, self._streams)
        self._arrivals = Arrivals(
            self._wire.loop, self._streams, self._options.arrival_timeout_seconds
        )
        self._keepalive = Keepalive(self._options, ping=self._ping, give_up=self._wire.abort)
        self._live.add(self)
        if not peer.speaks_http2(transport):
            self._turn_away_foreign(foreign.OVER_TLS)
            return
        age_seconds = self._options.max_connection_age_seconds
        if age_seconds is not None:
            spread = random.uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)
            self._ageing = self._wire.loop.call_later(age_seconds * spread, self.drain)
        self._wire.flush_soon()

    @override
    def data_received(self, data: bytes) -> None:
        """Act on what the client sent, or let it wait for a turn."""
        if self._wire.is_closing:
            return
        self._keepalive.heard()
        self._intake.arrived(data)

    @override
    def pause_writing(self) -> None:
        """Stop sending: the client, or the network, does not keep up."""
        self._wire.pause()

    @override
    def resume_writing(self) -> None:
        """Send again."""
        self._wire.resume()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """End what nobody can be told any more."""
        self._wire.lost()
        self._stop_timers()
        self._intake.stop()
        self._abandon_all(grpc.StatusCode.CANCELLED)
        self._live.discard(self)
        self._on_lost()

    # What the server wants ---------------------------------------------------------------------

    def drain(self) -> None:
        """Ask the client to take new calls elsewhere, and close once the running ones are over.

        The first GOAWAY promises to serve whatever is on its way; the last one, which names the
        last call that was served, follows when the client has seen the first.
        """
        if self._wire.moving or self._wire.is_closing:
            return
        self._wire.moving = True
        with contextlib.suppress(nghttp2.NGH2Error):  # The engine may be ending by itself.
            self._wire.engine.send_shutdown_notice()
            self._wire.engine.ping(_DRAIN_PING)
        self._wire.flush_soon()
        for stream in list(self._streams.values()):
            stream.ask_to_move()

    def end(self) -> None:
        """End every call with UNAVAILABLE and close."""
        failure = CallFailure(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        for stream in list(self._streams.values()):
            stream.fail(failure)
            self._live.linger(stream.task)
        self._dismiss(NO_ERROR, b"")

    def holders(self) -> list[Stream]:
        """List the calls that keep what nobody has read."""
        return [stream for stream in self._streams.values() if stream.buffered_bytes]

    # What libnghttp2 reports -------------------------------------------------------------------

    def _on_request(self, event: nghttp2.RequestReceived) -> None:
        self._intake.calls_left -= 1
        stream_id = self._last_stream_id = event.stream_id
        try:
            request = self._read(event.headers)
            method = self._methods.find(request)
        except NotGrpc as foreign:
            self._turn_away(event, [(b":status", foreign.http_status)])
            return
        except CallFailure as failure:
            self._turn_away(event, self._trailers_only(failure))
            return
        stream = self._streams[stream_id] = Stream(self._wire, stream_id, request, method=method)
        self._arrivals.watch()
        if method.check is not None and self._ends_by_its_head(stream, method.check):
            return
        if stream.deadline is not None:
            self._deadlines.watch(stream.deadline)
        if method.request_streaming:
            self._servicers.begin(stream)
        if event.end_stream:
            self._on_request_end(stream)

    def _on_data(self, event: nghttp2.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self._wire.credit(event.stream_id, len(event.data))  # It was turned away.
            return
        try:
            stream.receive(event.data)
        except CallFailure as failure:
            stream.fail(failure)
        if self._live.buffered_bytes > self._options.max_buffered_bytes_in_all:
            self._live.relieve()
        if event.end_stream:
            self._on_request_end(stream)
        elif not event.data:
            self._on_idle_frame(event)

    def _on_trailers(self, event: nghttp2.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._on_request_end(stream)

    def _on_request_end(self, stream: Stream) -> None:
        try:
            stream.half_close()
        except CallFailure as failure:
            stream.fail(failure)
        method = stream.method
        if method.request_streaming or stream.code is not None:
            return
        if method.early is None:
            self._servicers.begin(stream)
        else:
            self._offer(stream, method.early)

    def _on_closed(self, event: nghttp2.StreamClosed) -> None:
        self._wire.closed(event.stream_id)
        stream = self._streams.pop(event.stream_id, None)
        if stream is None:
            return
        if stream.code is None:
            self._intake.calls_left -= 1  # It costs as much as one that begins.
            stream.abandon(status_of_reset(event.error_code))
        if stream.task is not None:
            self._live.linger(stream.task)

    def _on_reset(self, _event: nghttp2.StreamReset) -> None:
        if self._resets.is_overdrawn(self._wire.loop.time(), earned=self._wire.answers):
            self._throw_out(b"too_many_resets")

    def _on_settings(self, event: nghttp2.SettingsReceived) -> None:
        self._keepalive.greeted()
        self._on_idle_frame(event)

    def _on_idle_frame(self, _event: nghttp2.Event) -> None:
        earned = self._wire.sent_bytes // police.BYTES_AN_IDLE_FRAME
        if self._idle_frames.is_overdrawn(self._wire.loop.time(), earned=earned):
            self._throw_out(b"too_many_idle_frames")

    def _on_ping(self, _event: nghttp2.PingReceived) -> None:
        now, has_answered = self._wire.loop.time(), self._wire.has_answered
        self._wire.has_answered = False
        if self._ping_police.is_too_much(now, has_answered=has_answered):
            self._throw_out(b"too_many_pings")

    def _on_ping_answer(self, event: nghttp2.PingAcknowledged) -> None:
        if event.opaque_data == _DRAIN_PING:
            self._wire.engine.send_goaway(NO_ERROR)
        elif event.opaque_data != _KEEPALIVE_PING:
            self._on_idle_frame(event)

    def _on_connection_closed(self, _event: nghttp2.ConnectionClosed) -> None:
        self._close()

    def _on_caught_up(self) -> None:
        self._servicers.begin_waiting()

    def _on_engine_end(self) -> None:
        """Close: for a violation that the engine answers with a GOAWAY, or at a drain's end."""
        self._abandon_all(grpc.StatusCode.UNAVAILABLE)
        self._wire.flush()
        self._close()

    def _reactions(self) -> Reactions:
        return {
            nghttp2.RequestReceived: self._on_request,
            nghttp2.DataReceived: self._on_data,
            nghttp2.TrailersReceived: self._on_trailers,
            nghttp2.StreamReset: self._on_reset,
            nghttp2.StreamClosed: self._on_closed,
            nghttp2.WindowUpdated: self._on_idle_frame,
            nghttp2.SettingsReceived: self._on_settings,
            nghttp2.PingReceived: self._on_ping,
            nghttp2.PingAcknowledged: self._on_ping_answer,
            nghttp2.ConnectionClosed: self._on_connection_closed,
        }

    # Helpers -----------------------------------------------------------------------------------

    def _read(self, fields: Fields) -> Request:
        """Read the headers of a call, unless they are those of the last one once more.

        Clients repeat themselves, and comparing costs a tenth of reading.
        """
        if self._last_request is None or fields != self._last_request.fields:
            self._last_request = read_request(fields, self._options.max_metadata_bytes)
        return self._last_request

    def _ends_by_its_head(self, stream: Stream, check: CheckHead) -> bool:
        """Ask whether a call may go on; end it before its request is read if it may not."""
        context = ServicerContext(stream, stream.method)
        ending = check(context)
        if ending is None:
            return False
        code, details, trailing_metadata = ending
        context.set_trailing_metadata(trailing_metadata)
        context.fail(code, details)
        return True

    def _offer(self, stream: Stream, early: Early) -> None:
        """Offer a unary call to who may answer it at once; its servicer has what is left."""
        message = stream.whole_message()
        if message is None or not early(Offered(stream, message, self._servicers.begin)):
            self._servicers.begin(stream)

    def _turn_away(self, event: nghttp2.RequestReceived, headers: Headers) -> None:
        """Answer a request for which no call is made."""
        try:
            self._wire.engine.send_response(event.stream_id, headers, end_stream=True)
        except nghttp2.NGH2Error:
            return  # The client has reset it already.
        self._wire.has_answered = True
        if not event.end_stream:
            self._wire.reset_when_sent(event.stream_id)

    def _trailers_only(self, failure: CallFailure) -> Headers:
        return RESPONSE_HEADERS + trailers(
            failure.code,
            failure.text,
            failure.metadata,
            max_text_bytes=self._options.max_status_text_bytes,
        )

    def _abandon_all(self, code: grpc.StatusCode) -> None:
        left = list(self._streams.values())
        self._streams.clear()
        self._servicers.drop_waiting()
        self._live.partings.take(left, code)

    def _ping(self) -> None:
        with contextlib.suppress(nghttp2.NGH2Error):  # The engine may be ending by itself.
            self._wire.engine.ping(_KEEPALIVE_PING)
        self._wire.flush_soon()

    def _throw_out(self, reason: bytes) -> None:
        """End the connection of a client that floods us."""
        self._live.count_refused("flood")
        _SELDOM.tell(
            logging.WARNING,
            "The connection of %s was ended: %s.",
            self._wire.peer.address,
            reason.decode().replace("_", " "),
        )
        self._abandon_all(grpc.StatusCode.UNAVAILABLE)
        self._dismiss(ENHANCE_YOUR_CALM, reason)

    def _dismiss(self, error_code: int, reason: bytes) -> None:
        # An engine that ends by itself has sent its GOAWAY, and takes no other.
        with contextlib.suppress(nghttp2.NGH2Error):
            self._wire.engine.send_goaway(error_code, debug_data=reason)
            self._wire.flush()
        self._close()

    def _break_off(self, error: nghttp2.NGH2Error, piece: bytes) -> None:
        """Leave a client that broke the protocol, or floods us; the engine is of no use any more.

        Its GOAWAY is written by hand, so that the client knows which of its calls were served.
        """
        if not self._keepalive.has_greeted and (said := foreign.answer_to(piece)) is not None:
            self._turn_away_foreign(said)
            return
        flood = isinstance(error, nghttp2.DenialOfServiceError)
        self._live.count_refused("flood" if flood else "broken")
        text = "The connection of %s broke off: %s."
        _SELDOM.tell(logging.INFO, text, self._wire.peer.address, error)
        error_code = ENHANCE_YOUR_CALM if flood else PROTOCOL_ERROR
        self._abandon_all(grpc.StatusCode.UNAVAILABLE)
        self._wire.send_raw(_goaway(self._last_stream_id, error_code))
        self._close()

    def _turn_away_foreign(self, said: foreign.Foreign) -> None:
        """Tell a client that speaks something else what listens here."""
        self._live.count_refused("foreign")
        text = "A client at %s speaks %s, where gRPC over HTTP/2 is spoken."
        _SELDOM.tell(logging.INFO, text, self._wire.peer.address, said.protocol)
        self._wire.send_raw(said.answer)
        self._close()

    def _close(self) -> None:
        self._stop_timers()
        self._intake.stop()
        self._wire.close()

    def _stop_timers(self) -> None:
        self._keepalive.stop()
        self._arrivals.stop()
        self._deadlines.stop()
        if self._ageing is not None:
            self._ageing.cancel()


def _goaway(last_stream_id: int, error_code: int) -> bytes:
    """Write a GOAWAY frame: length, type 7, no flags, stream 0 (RFC 9113, section 6.8)."""
    return struct.pack(">BHBBIII", 0, 8, 7, 0, 0, last_stream_id, error_code)
