"""One engine in a test's hands: its clock, its faults, and what is expected of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from callgate.testing.expecting import Expecting
from callgate.v1 import harness_pb2 as pb
from callgate.v1.harness_pb2_grpc import HarnessServiceStub

# Moving the clock waits for all that fell due.
_ADVANCE_SECONDS = 120.0
_ASK_SECONDS = 10.0


class Fault(StrEnum):
    """What can go wrong, by name."""

    # The store answers late, by `delay_seconds`.
    REDIS_SLOW = "redis_slow"
    # The store does what it is asked; its reply is lost `times` times, 0 for always.
    REPLY_LOST = "reply_lost"
    # The store takes no writes.
    REDIS_READ_ONLY = "redis_read_only"
    # The engine does nothing at all for `delay_seconds`, once.
    ENGINE_HUNG = "engine_hung"
    # The means of payment is declined `times` times, 0 for always.
    PAYMENT_DECLINED = "payment_declined"
    # Every open stream is cut, once.
    STREAM_DROPPED = "stream_dropped"


class Engine(Expecting):
    """A real engine, on a store of its own. Methods block; each `expect_...` raises AssertionError.

    Attributes:
        address: Where it listens, "host:port".
        folder: Where it keeps its data, its `log` and its recording.
        pid: Its process.
        start_seconds: How long it took to start.
    """

    def __init__(self, address: str, folder: Path, pid: int, *, start_seconds: float) -> None:
        self.address = address
        self.folder = folder
        self.pid = pid
        self.start_seconds = start_seconds
        self._channel = grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),))
        self._harness = HarnessServiceStub(self._channel)
        super().__init__(self._channel, folder)

    def advance(self, **span: float) -> datetime:
        """Move the engine's clock forward by a `timedelta(**span)`: `advance(days=31, seconds=5)`.

        Returns the engine's time, once all that fell due is done: reservations and credits expired,
        recharges made, notices sent.
        """
        request = pb.AdvanceClockRequest()
        request.duration.FromTimedelta(timedelta(**span))
        answer = self._harness.AdvanceClock(request, timeout=_ADVANCE_SECONDS)
        return answer.engine_time.ToDatetime(tzinfo=UTC)

    def settle_down(self) -> datetime:
        """Have the engine do all that is due now, and wait for it."""
        return self.advance()

    def set_fault(self, fault: Fault | str, *, delay_seconds: float = 0, times: int = 0) -> None:
        """Let something go wrong from now on. See `Fault`."""
        request = pb.SetFaultRequest(
            fault=pb.Fault.Value(f"FAULT_{Fault(fault).name}"), times=times
        )
        if delay_seconds:
            request.delay.FromTimedelta(timedelta(seconds=delay_seconds))
        self._harness.SetFault(request, timeout=_ASK_SECONDS)

    def clear_faults(self) -> None:
        """Let nothing go wrong from now on."""
        self._harness.ClearFaults(pb.ClearFaultsRequest(), timeout=_ASK_SECONDS)

    @contextmanager
    def fault(
        self, fault: Fault | str, *, delay_seconds: float = 0, times: int = 0
    ) -> Iterator[None]:
        """Let something go wrong while the block lasts."""
        self.set_fault(fault, delay_seconds=delay_seconds, times=times)
        try:
            yield
        finally:
            self.clear_faults()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process of the engine while the block lasts, as a host that hangs."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Let go of the engine; whoever started it ends it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
