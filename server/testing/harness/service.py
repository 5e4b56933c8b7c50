"""The HarnessService: a test's hold on the clock and on what goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from callgate.v1 import harness_pb2 as pb
from server.calls.messages.fields import InvalidRequest
from server.storage.redis import Store
from server.testing.harness.clock import Shift
from server.testing.harness.faults import Faults
from server.transport.contract import Context

MOST_ADVANCE_SECONDS = 10 * 366 * 86_400
MOST_DELAY_SECONDS = 60.0
# An engine hangs once its answer to who hung it is on its way.
_BEFORE_HANGING_SECONDS = 0.02
_NANOS_PER_MS = 1_000_000
_MS = 1_000


@dataclass(frozen=True, slots=True)
class Harness:
    """Answers what `harness.proto` promises."""

    shift: Shift
    faults: Faults
    now_ms: Callable[[], int]
    # Does what is due, until nothing is.
    settle_down: Callable[[], Awaitable[None]]
    # The store itself, for what goes wrong in it.
    store: Store
    cut_streams: Callable[[], None]

    async def advance_clock(
        self, request: pb.AdvanceClockRequest, _context: Context
    ) -> pb.AdvanceClockResponse:
        """Move the clock, and do what fell due."""
        self.shift.advance(_span_ms(request))
        await self.settle_down()
        response = pb.AdvanceClockResponse()
        response.engine_time.FromMilliseconds(self.now_ms())
        return response

    async def set_fault(
        self, request: pb.SetFaultRequest, _context: Context
    ) -> pb.SetFaultResponse:
        """Set one fault."""
        delay_seconds = _delay_seconds(request)
        times = _times(request)
        match request.fault:
            case pb.FAULT_REDIS_SLOW:
                self.faults.store_delay_seconds = delay_seconds
            case pb.FAULT_REPLY_LOST:
                self.faults.lost_replies.set(times)
            case pb.FAULT_PAYMENT_DECLINED:
                self.faults.declined_payments.set(times)
            case pb.FAULT_REDIS_READ_ONLY:
                # It has no replica, so it refuses every write until it need have none again.
                await self._need_replicas(1)
            case pb.FAULT_ENGINE_HUNG:
                # Blocking everything is what is asked for.
                asyncio.get_running_loop().call_later(
                    _BEFORE_HANGING_SECONDS, time.sleep, delay_seconds
                )
            case pb.FAULT_STREAM_DROPPED:
                self.cut_streams()
            case _:
                raise InvalidRequest("fault", "one of the faults in harness.proto")
        return pb.SetFaultResponse()

    async def clear_faults(
        self, _request: pb.ClearFaultsRequest, _context: Context
    ) -> pb.ClearFaultsResponse:
        """End all faults."""
        self.faults.clear()
        await self._need_replicas(0)
        return pb.ClearFaultsResponse()

    async def _need_replicas(self, count: int) -> None:
        await self.store.every_node("CONFIG", "SET", "min-replicas-to-write", count)


def _span_ms(request: pb.AdvanceClockRequest) -> int:
    duration = request.duration
    whole = duration.nanos % _NANOS_PER_MS == 0
    if not (whole and 0 <= duration.seconds <= MOST_ADVANCE_SECONDS and duration.nanos >= 0):
        raise InvalidRequest("duration", "whole milliseconds, forward, at most ten years")
    return duration.seconds * _MS + duration.nanos // _NANOS_PER_MS


def _delay_seconds(request: pb.SetFaultRequest) -> float:
    takes = request.fault in {pb.FAULT_REDIS_SLOW, pb.FAULT_ENGINE_HUNG}
    seconds = request.delay.ToMilliseconds() / _MS
    if takes != request.HasField("delay") or not 0 <= seconds <= MOST_DELAY_SECONDS:
        raise InvalidRequest("delay", "at most a minute, with REDIS_SLOW and ENGINE_HUNG alone")
    return seconds


def _times(request: pb.SetFaultRequest) -> int:
    takes = request.fault in {pb.FAULT_REPLY_LOST, pb.FAULT_PAYMENT_DECLINED}
    if request.times < 0 or (request.times and not takes):
        raise InvalidRequest("times", "0 or more, with REPLY_LOST and PAYMENT_DECLINED alone")
    return request.times
