"""Ends of calls, delivered now or, when the engine is back, from the spool: once and in order."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path
from typing import Protocol

from callgate.client.spool import Spool
from callgate.errors import CallEnded, CallgateError, CallRefused, CallUnknown, Mistake, NoAnswer
from callgate.v1 import authorization_pb2 as pb

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0

_log = logging.getLogger(__name__)


class Line(Protocol):
    """A way to the engine: unary questions, or a bridge's stream. Raises `CallgateError`."""

    async def authorize_calls(
        self, question: pb.AuthorizeCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallsResponse:
        """Ask about several legs in one step."""
        ...

    async def authorize_call(
        self, question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed."""
        ...

    async def extend_call(
        self, question: pb.ExtendCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ExtendCallResponse:
        """Report the use and ask for more time."""
        ...

    async def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        """Report the end of a call."""
        ...

    async def release_call(
        self, question: pb.ReleaseCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ReleaseCallResponse:
        """Report that nobody answered."""
        ...


class Reports:
    """Delivers the ends of calls over one line."""

    def __init__(self, state_folder: Path | None) -> None:
        self._spool = Spool(state_folder / "spool" if state_folder else None)
        self._rejected = state_folder / "rejected" if state_folder else None
        self._filled = asyncio.Event()
        if len(self._spool):
            self._filled.set()

    @property
    def waiting(self) -> int:
        """How many ends of calls wait for the engine to come back."""
        return len(self._spool)

    async def settle(
        self, line: Line, settlement: pb.SettleCallRequest, question: pb.AuthorizeCallRequest
    ) -> pb.SettleCallResponse | None:
        """Settle a call, or keep its settlement for later: then None.

        `question` is what the call was asked for by, should the engine not know it any more. Raises
        `Mistake` where the engine will not have it, `SpoolTrouble` where it cannot be kept.
        """
        try:
            return await _deliver(line, settlement, question)
        except NoAnswer:
            self._keep(pb.ControlQuestion(item_id=1, settle_call=settlement), question)
            return None

    async def release(
        self, line: Line, release: pb.ReleaseCallRequest
    ) -> pb.ReleaseCallResponse | None:
        """Give back all that a call holds, now or later: then None.

        A call that holds nothing at the engine has nothing to give back: None as well.
        """
        try:
            return await line.release_call(release)
        except (CallUnknown, CallEnded):
            return None
        except NoAnswer:
            self._keep(pb.ControlQuestion(item_id=1, release_call=release), None)
            return None

    async def keep_delivering(self, line: Line) -> None:
        """Deliver what the spool holds, oldest first, for ever."""
        while True:
            await self._filled.wait()
            await self._deliver_all(line)
            self._filled.clear()

    def close(self) -> None:
        """Close the spool; what it holds is delivered when it is opened again."""
        self._spool.close()

    async def _deliver_all(self, line: Line) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while (oldest := self._spool.oldest()) is not None:
            number, record = oldest
            try:
                await _deliver_record(line, record)
            except NoAnswer:
                await asyncio.sleep(random.uniform(pause_seconds / 2, pause_seconds))
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                continue
            except (Mistake, CallRefused) as mistake:
                self._reject(record, mistake)
            pause_seconds = FIRST_PAUSE_SECONDS
            self._spool.delivered(number)

    def _keep(self, report: pb.ControlQuestion, question: pb.AuthorizeCallRequest | None) -> None:
        asked = pb.ControlQuestion(item_id=2, authorize_call=question)
        kept = pb.ControlCallsRequest(questions=[report, asked])
        self._spool.append(kept.SerializeToString())
        self._filled.set()

    def _reject(self, record: bytes, mistake: CallgateError) -> None:
        """Tell of a report that the engine will not have, and keep it for people to look at."""
        report = pb.ControlCallsRequest.FromString(record).questions[0]
        ended = getattr(report, report.WhichOneof("question") or "settle_call")
        _log.error(
            "The end of call %s of tenant %s is not accepted: %s %s",
            ended.call_id,
            ended.tenant_id,
            mistake.reason or mistake.code,
            mistake,
        )
        if self._rejected is not None:
            told = Spool(self._rejected)
            told.append(record)
            told.close()


async def _deliver_record(line: Line, record: bytes) -> None:
    kept = pb.ControlCallsRequest.FromString(record)
    report = kept.questions[0]
    if report.WhichOneof("question") == "release_call":
        try:
            await line.release_call(report.release_call)
        except (CallUnknown, CallEnded):
            return
    else:
        await _deliver(line, report.settle_call, kept.questions[1].authorize_call)


async def _deliver(
    line: Line, settlement: pb.SettleCallRequest, question: pb.AuthorizeCallRequest
) -> pb.SettleCallResponse:
    """Settle; a call that the engine does not know is announced, as it ran, and settled then.

    Told anew after a crash, each step has the sequence and the content it had before, so that
    it moves money once.
    """
    unknown: Mistake | None = None
    # A call to a service number has a tenant once the engine said whose number it is.
    if settlement.tenant_id:
        try:
            return await line.settle_call(settlement)
        except CallUnknown as mistake:
            unknown = mistake
    announced = pb.AuthorizeCallRequest()
    announced.CopyFrom(question)
    announced.sequence = settlement.sequence + 1
    announced.running_call.used_duration.CopyFrom(settlement.used_duration)
    answer = await line.authorize_call(announced)
    if answer.HasField("refusal"):
        raise unknown or CallRefused(answer)
    again = pb.SettleCallRequest()
    again.CopyFrom(settlement)
    again.ClearField("unknown_call")
    again.tenant_id = answer.payer.tenant_id
    again.sequence = settlement.sequence + 2
    return await line.settle_call(again)
