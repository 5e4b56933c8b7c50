"""The servicers that run for one connection: how many at once, and which calls wait for them."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import grpc

from server.transport.answering import serve
from server.transport.live import Live
from server.transport.servicer_context import ServicerContext
from server.transport.status import CallFailure
from server.transport.stream import Stream
from server.transport.writer import Wire

# Servicers of unary methods that run at once for one connection; further calls wait their turn.
MOST_UNARY_AT_ONCE = 128
# So many calls a connection may have whatever the others have.
ALWAYS_TAKEN = 64
# By which gRPC's own retries wait before they ask again.
_PUSHBACK = (b"grpc-retry-pushback-ms", b"250")


class Servicers:
    """Starts the servicers of a connection's calls.

    A unary call waits while many others run, and while the client does not read what it was
    answered; no servicer is begun whose answer would only lie in memory.
    """

    def __init__(self, wire: Wire, live: Live) -> None:
        self._wire = wire
        self._live = live
        self._count = 0
        self._unary = 0
        self._waiting: deque[Stream] = deque()

    def begin(self, stream: Stream) -> None:
        """Answer a call: now, in its turn, or with RESOURCE_EXHAUSTED where too many run."""
        if self._count >= ALWAYS_TAKEN and self._live.is_full_of_calls:
            text = "more calls run here than this process takes; ask again a little later"
            stream.fail(CallFailure(grpc.StatusCode.RESOURCE_EXHAUSTED, text, (_PUSHBACK,)))
            return
        self._count += 1
        self._live.calls += 1
        if stream.method.is_unary and (self._waiting or not self._may_start_unary()):
            self._waiting.append(stream)
        else:
            self._start(stream)

    def begin_waiting(self) -> None:
        """Start what may be started by now."""
        while self._waiting and self._may_start_unary():
            stream = self._waiting.popleft()
            if stream.code is None:
                self._start(stream)
            else:
                self._forget_one()

    def drop_waiting(self) -> None:
        """Forget the calls that wait; they are over."""
        dropped = len(self._waiting)
        self._waiting.clear()
        self._count -= dropped
        self._live.calls -= dropped

    def _may_start_unary(self) -> bool:
        return self._unary < MOST_UNARY_AT_ONCE and not self._wire.is_behind

    def _start(self, stream: Stream) -> None:
        context = ServicerContext(stream, stream.method)
        task = stream.task = self._wire.loop.create_task(serve(stream.method, context))
        if stream.method.is_unary:
            self._unary += 1
        task.add_done_callback(partial(self._is_over, stream))

    def _is_over(self, stream: Stream, _task: asyncio.Task[None]) -> None:
        # A task that was cancelled keeps the frames it ran in, and they keep the call.
        stream.task = None
        self._forget_one()
        if stream.method.is_unary:
            self._unary -= 1
            if self._waiting:
                self.begin_waiting()

    def _forget_one(self) -> None:
        self._count -= 1
        self._live.calls -= 1
