"""The Connect protocol for unary calls, and streams of answers as server-sent events.

What is served over gRPC is served here too, found by its name: the same handlers behind the same
door. `docs/http.md` tells callers what is spoken.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc
from typing_extensions import override

from server.transport import connect_wire as wire
from server.transport.answering import serve
from server.transport.contract import CheckHead, Context, Early, Ending, TransportServer
from server.transport.http.exchange import Answered, Asked, BodyRefused, Send
from server.transport.http_context import HttpContext, OfferedOverHttp
from server.transport.methods import Handler, Method, MethodTable
from server.transport.options import TransportOptions
from server.transport.wrapping import WrappedServer

_DETAILS, _PUSHBACK = "grpc-status-details-bin", "grpc-retry-pushback-ms"
_IGNORE_UNKNOWN = "ignore-unknown-fields"
_MS = 1_000


class JsonRefused(Exception):
    """JSON that is no message of its method.

    Attributes:
        ending: How its call ends, unless what could be read of it is an emergency.
        salvaged: That much, as a message whose bytes are broken.
    """

    def __init__(self, ending: Ending, salvaged: bytes) -> None:
        super().__init__(ending[1])
        self.ending = ending
        self.salvaged = salvaged


class Messages(Protocol):
    """What is known of the messages of the methods, which are named by their paths."""

    def from_json(self, path: str, text: bytes, *, ignore_unknown: bool) -> bytes:
        """Make a request of its JSON. Raises `JsonRefused`."""

    def to_json(self, path: str, message: bytes) -> bytes:
        """Write an answer as JSON, on one line."""

    def details(self, status: bytes) -> list[dict[str, Any]]:
        """Write the details of a status as Connect has them."""

    def only_reads(self, path: str) -> bool:
        """Tell whether a method has no side effects, so that GET may ask it."""

    def resumed(self, path: str, message: bytes, cursor: str) -> bytes:
        """Let a request for a stream go on after *cursor*."""

    def place(self, path: str, message: bytes) -> tuple[str, bool]:
        """Return the cursor of a stream's message, and whether that is all it says."""


class ConnectServer(WrappedServer):
    """Serves over gRPC as *inner* does, and answers the same calls over HTTP."""

    def __init__(
        self, inner: TransportServer, messages: Messages, options: TransportOptions
    ) -> None:
        super().__init__(inner)
        self._methods = MethodTable()
        self._messages = messages
        self._options = options
        self._working = 0
        self._moving: set[Callable[[], None]] = set()

    # What is served, as the transport is told ----------------------------------------------------

    @override
    def wrap(self, handler: Handler, service: str, method: str) -> Handler:
        return handler

    @override
    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add the methods of a service."""
        super().add_registered_method_handlers(service_name, method_handlers)
        self._methods.add_registered(service_name, method_handlers)

    @override
    def offer_first(self, service: str, name: str, early: Early) -> None:
        """Offer each call to *early* before its servicer."""
        super().offer_first(service, name, early)
        self._methods.offer(service, name, early)

    @override
    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Ask *check* about each call when its head has arrived."""
        super().check_head(service, name, check)
        self._methods.check_head(service, name, check)

    @override
    def header(self, context: Context, name: str) -> str | None:
        """Read a header of a call."""
        if isinstance(context, HttpContext):
            return context.header(name)
        return self._inner.header(context, name)

    @override
    def expect_shared(self, context: Context) -> None:
        """Say that the call will be written shared messages."""
        if not isinstance(context, HttpContext):
            self._inner.expect_shared(context)

    @override
    def on_move(self, context: Context, tell: Callable[[], None]) -> None:
        """Call *tell* once when the call should move to a new connection."""
        if not isinstance(context, HttpContext):
            self._inner.on_move(context, tell)
            return
        self._moving.add(tell)
        context.add_done_callback(lambda _: self._moving.discard(tell))

    @override
    async def stop(self, grace: float | None) -> None:
        """End the streams over HTTP as those over gRPC, and stop."""
        for tell in list(self._moving):
            tell()
        await self._inner.stop(grace)

    # What is asked -----------------------------------------------------------------------------

    async def answer(self, asked: Asked) -> Answered | None:
        """Answer a request of the protocol, or say what is wrong with it."""
        try:
            answered = await self._answer(asked)
        except wire.Refused as refused:
            return refused.answered
        except BodyRefused as refused:
            return wire.refused_body(refused)
        return None if answered is None else wire.packed(asked, answered)

    async def call(self, path: str, asked: Asked, message: bytes) -> HttpContext:
        """Have a unary method of ours answer *message*, which is asked by *asked*.

        Raises `Refused`.
        """
        method = self._methods.registered(path.encode())
        assert method is not None, f"{path} is served"
        wire.check_headers(asked, self._options.max_metadata_bytes)
        self._check_head(method, asked)
        return await self._run(method, asked, message, ends_at=wire.deadline_of(asked))

    async def _answer(self, asked: Asked) -> Answered | None:
        method = self._methods.registered(asked.path.encode(errors="replace"))
        if method is None or method.request_streaming:
            text = f"path: {asked.path[:128]} is no method that is served over HTTP"
            raise wire.Refused(text, wire.NOT_FOUND, code=grpc.StatusCode.UNIMPLEMENTED)
        self._check_method(asked)
        wire.check_headers(asked, self._options.max_metadata_bytes)
        if method.response_streaming:
            return await self._events(method, asked)
        ends_at = wire.deadline_of(asked)
        is_json, message = await self._message(method, asked)
        if isinstance(message, JsonRefused):
            context = await self._run(method, asked, message.salvaged, ends_at=ends_at)
            if context.ending and context.ending[0] is grpc.StatusCode.INVALID_ARGUMENT:
                context.ending = message.ending
        else:
            context = await self._run(method, asked, message, ends_at=ends_at)
        return self._ended(asked.path, context, as_json=is_json)

    def _check_method(self, asked: Asked) -> None:
        if asked.method == "POST" or (
            asked.method == "GET" and self._messages.only_reads(asked.path)
        ):
            return
        allowed = "GET, POST" if self._messages.only_reads(asked.path) else "POST"
        raise wire.Refused(
            f"method: {asked.method[:32]} is not served here; use {allowed}",
            wire.WRONG_METHOD,
            code=grpc.StatusCode.UNIMPLEMENTED,
            headers={"Allow": allowed},
        )

    async def _message(self, method: Method, asked: Asked) -> tuple[bool, bytes | JsonRefused]:
        """Read the request: whether it is JSON, and its bytes."""
        self._check_head(method, asked)
        query = wire.parameters(asked.query)
        if asked.method == "GET":
            is_json, body = self._from_query(query)
        else:
            kind = wire.media_type(asked)
            if kind not in {wire.JSON, wire.PROTO}:
                raise wire.Refused(
                    f'content-type: "{kind[:64]}" is not known; use {wire.JSON} or {wire.PROTO}',
                    wire.WRONG_TYPE,
                    headers={"Accept-Post": f"{wire.JSON}, {wire.PROTO}"},
                )
            is_json, body = kind == wire.JSON, await self.body(asked)
        if not is_json:
            return False, body
        ignore = query.get(_IGNORE_UNKNOWN, asked.headers.get(_IGNORE_UNKNOWN, ""))
        try:
            is_lenient = ignore.lower() in {"1", "true", "yes"}
            return True, self._messages.from_json(asked.path, body, ignore_unknown=is_lenient)
        except JsonRefused as refused:
            return True, refused

    def _from_query(self, query: Mapping[str, str]) -> tuple[bool, bytes]:
        encoding, text = query.get("encoding", "json"), query.get("message", "")
        if encoding not in {"json", "proto"}:
            raise wire.Refused("encoding: must be json or proto", wire.WRONG_TYPE)
        body = text.encode()
        if query.get("base64") == "1":
            try:
                body = base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_")
            except binascii.Error:
                raise wire.Refused("message: is not base64, as base64=1 says") from None
        most_bytes = self._options.max_receive_message_bytes
        body = wire.unpacked(body, query.get("compression", ""), most_bytes)
        return encoding == "json", body or (b"{}" if encoding == "json" else b"")

    async def body(self, asked: Asked) -> bytes:
        """Read and unpack the body of a request. Raises `Refused` and `BodyRefused`."""
        options = self._options
        most_bytes = options.max_receive_message_bytes
        body = await asked.read(most_bytes, options.arrival_timeout_seconds)
        return wire.unpacked(body, asked.headers.get("content-encoding", ""), most_bytes)

    def _check_head(self, method: Method, asked: Asked) -> None:
        """Let nobody send a body who may not ask at all. Raises `Refused`."""
        if method.early is None and self._working >= self._options.max_calls:
            text = "more calls run here than this process takes (max_calls); ask again later"
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise wire.Refused(text, 429, code=code, headers={"Retry-After": "1"})
        if method.check is None:
            return
        ending = method.check(HttpContext(asked, method, b"", ends_at=None))
        if ending is not None:
            refused = wire.Refused(ending[1])
            refused.answered = self.failed(ending)
            raise refused

    # How it is answered --------------------------------------------------------------------------

    async def _run(
        self, method: Method, asked: Asked, message: bytes, *, ends_at: float | None
    ) -> HttpContext:
        context = HttpContext(asked, method, message, ends_at=ends_at)
        self._working += 1
        try:
            if context.time_remaining() == 0.0:
                raise TimeoutError
            async with asyncio.timeout_at(ends_at):
                if not await _offered(method, context, message):
                    await serve(method, context)
        except TimeoutError:
            context.ending = (grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed", ())
        finally:
            self._working -= 1
        return context

    def _ended(self, path: str, context: HttpContext, *, as_json: bool) -> Answered:
        if context.ending is not None:
            return self.failed(context.ending)
        message = context.answered or b""
        trailers = {f"Trailer-{name}": str(value) for name, value in context.trailing_metadata()}
        if not as_json:
            return Answered(200, message, {"Content-Type": wire.PROTO, **trailers})
        text = self._messages.to_json(path, message)
        return Answered(200, text, {"Content-Type": wire.JSON, **trailers})

    def failed(self, ending: Ending) -> Answered:
        """Write how a call ended that failed."""
        code, text, trailing = ending
        headers = {}
        for name, value in trailing:
            if name == _PUSHBACK:
                headers["Retry-After"] = str(math.ceil(int(value) / _MS))
            elif isinstance(value, str):
                headers[f"Trailer-{name}"] = value
        return wire.failed(code, text, self._details(ending), headers=headers)

    def _details(self, ending: Ending) -> list[dict[str, Any]]:
        for name, value in ending[2]:
            if name == _DETAILS and isinstance(value, bytes):
                return self._messages.details(value)
        return []

    # Streams -----------------------------------------------------------------------------------

    async def _events(self, method: Method, asked: Asked) -> Answered | None:
        """Answer with a stream of server-sent events; None once that is over."""
        if wire.EVENTS not in asked.headers.get("accept", ""):
            raise wire.Refused(
                f"accept: must be {wire.EVENTS}; as anything else this stream is served over gRPC",
                wire.WRONG_TYPE,
            )
        is_json, message = await self._message(method, asked)
        if isinstance(message, JsonRefused):
            return self.failed(message.ending)
        if not is_json:
            raise wire.Refused("content-type: must be application/json", wire.WRONG_TYPE)
        last = asked.headers.get("last-event-id", "")
        if last:
            message = self._messages.resumed(asked.path, message, last)
        events = _Events(asked, self._messages)
        context = HttpContext(asked, method, message, ends_at=None)
        context.on_message = events.tell
        self._working += 1
        try:
            await serve(method, context)
            if events.send is None:
                return self.failed(context.ending) if context.ending else Answered(204)
            if context.ending is not None:
                code, text, _ = context.ending
                await events.fail(wire.error_of(code, text, self._details(context.ending)))
        except ConnectionError:
            return None  # The reader left; what it missed it asks for by Last-Event-ID.
        finally:
            self._working -= 1
        return None


class _Events:
    """Writes the messages of a stream as server-sent events, each with its cursor as id."""

    def __init__(self, asked: Asked, messages: Messages) -> None:
        self._asked = asked
        self._messages = messages
        self.send: Send | None = None

    async def tell(self, message: bytes) -> None:
        if self.send is None:
            headers = {"Content-Type": wire.EVENTS, "Cache-Control": "no-store"}
            self.send = await self._asked.begin(headers)
        cursor, is_checkpoint = self._messages.place(self._asked.path, message)
        text = self._messages.to_json(self._asked.path, message)
        said = b": checkpoint " if is_checkpoint else b"data: "
        await self.send(said + text + b"\nid: " + cursor.encode() + b"\n\n")

    async def fail(self, error: dict[str, Any]) -> None:
        if self.send is not None:
            await self.send(b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n")


async def _offered(method: Method, context: HttpContext, message: bytes) -> bool:
    """Offer a call before its servicer is asked; tell whether it was taken and is over."""
    if method.early is None:
        return False
    offered = OfferedOverHttp(context, message)
    return method.early(offered) and not await offered.taken
