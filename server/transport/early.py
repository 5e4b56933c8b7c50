"""Answering a unary call before any servicer: without a task, and perhaps without a context.

Whoever knows the answer, or soon will, takes the call; every other call goes to its servicer, also
later. A call that is taken has its deadline and its end as every call has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from server.transport.contract import OfferedCall
from server.transport.framing import seal_message
from server.transport.servicer_context import ServicerContext
from server.transport.stream import RESPONSE_HEADERS, Stream


class Offered(OfferedCall):
    """A unary call on libnghttp2, as it is offered."""

    __slots__ = ("_serve", "_stream", "message")

    def __init__(self, stream: Stream, message: bytes, serve: Callable[[Stream], None]) -> None:
        self._stream = stream
        self._serve = serve
        self.message = message

    @property
    def is_behind(self) -> bool:
        """Whether its client has much to read before another answer would reach it."""
        return self._stream.wire.is_behind

    def context(self) -> ServicerContext:
        """Make what a servicer would be given, to look at."""
        return ServicerContext(self._stream, self._stream.method)

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline, None without one; never negative."""
        return self._stream.time_remaining_seconds()

    def answer(self, message: bytes) -> None:
        """End the call with its only message, unless it is over."""
        if self._stream.code is None:
            self._stream.answer(RESPONSE_HEADERS, seal_message(message))

    def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        """End the call with *code*, unless it is over."""
        context = self.context()
        context.set_trailing_metadata(trailing_metadata)
        context.fail(code, details)

    def leave_to_servicer(self) -> None:
        """Let the servicer answer, unless the call is over."""
        if self._stream.code is None:
            self._serve(self._stream)
