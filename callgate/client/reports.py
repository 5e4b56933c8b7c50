"""Ends of calls, delivered now or, when the engine is back, from the spool: once and in order."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from callgate.client.answered import Answered
from callgate.client.spool import Spool
from callgate.errors import (
    CallEnded,
    CallgateError,
    CallRefused,
    CallUnknown,
    Forbidden,
    Mistake,
    NoAnswer,
    Overloaded,
    SpoolTrouble,
)
from callgate.v1 import authorization_pb2 as pb

# Between two rounds while nobody answers, doubled from the first to the longest; and where the
# engine answers, but not about what is left.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STUCK_PAUSE_SECONDS = 0.2, 5.0, 60.0
# So many tenants in a row without an answer, and the engine is away.
MOST_SILENT = 3
# Trouble of the call that a report is about, and of no other one.
_OF_ONE_CALL = frozenset({"DATA_LOSS", "INTERNAL", "UNKNOWN"})

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
        self._answered = Answered()
        self._rejected = state_folder / "rejected" if state_folder else None
        # What was told of why reports wait.
        self._told: set[str] = set()
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

        `question` is what the call was asked for by, should the engine not know it any more. An
        identity that is not accepted now may be later: that is kept as well. Raises `Mistake` where
        the engine will not have it, `SpoolTrouble` where it is kept by this process alone.
        """
        report = pb.ControlQuestion(item_id=1, settle_call=settlement)
        try:
            settled = await _deliver(line, settlement, question)
        except (NoAnswer, Forbidden) as silence:
            self._keep(report, question, silence)
            return None
        self._answered.keep(_written(report, question))
        return settled

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
        except (NoAnswer, Forbidden) as silence:
            self._keep(pb.ControlQuestion(item_id=1, release_call=release), None, silence)
            return None

    async def tell_again(self, line: Line) -> None:
        """Tell the last ends again that were answered; what was not lost moves nothing twice."""
        for record in self._answered.recent():
            try:
                await _deliver_record(line, record)
            except (NoAnswer, Forbidden) as silence:
                self._append(record, silence)
            except CallEnded:
                continue
            except (Mistake, CallRefused) as mistake:
                self._reject(record, mistake)

    async def keep_delivering(self, line: Line) -> None:
        """Deliver what the spool holds, oldest first, for ever."""
        while True:
            await self._filled.wait()
            await self._deliver_all(line)

    def close(self) -> None:
        """Close the spool; what it holds is delivered when it is opened again."""
        self._spool.close()

    async def _deliver_all(self, line: Line) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while self._spool.oldest() is not None:
            self._filled.clear()
            round_ = _Round()
            for number, record in self._spool.records():
                if not round_.takes(record):
                    continue
                await self._deliver_one(line, number, record, round_=round_)
                if round_.is_over:
                    break
            if round_.delivered:
                pause_seconds = FIRST_PAUSE_SECONDS
            if not round_.is_away:
                # Who comes next need not wait for what is left.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._filled.wait(), _drawn(pause_seconds))
            else:
                await asyncio.sleep(_drawn(pause_seconds))
            longest = LONGEST_PAUSE_SECONDS if round_.is_away else STUCK_PAUSE_SECONDS
            pause_seconds = min(2 * pause_seconds, longest)
        self._filled.clear()
        self._told.clear()

    async def _deliver_one(self, line: Line, number: int, record: bytes, *, round_: _Round) -> None:
        """Deliver a report, put it aside, or leave it for later and tell why, once."""
        try:
            await _deliver_record(line, record)
        except (NoAnswer, Forbidden) as trouble:
            round_.note(record, trouble)
            self._tell_once(trouble)
            return
        except (Mistake, CallRefused, DecodeError) as mistake:
            if not self._reject(record, mistake):
                round_.leave(record)
                return
        except Exception as error:  # noqa: BLE001 -- It is told; the other reports are delivered.
            round_.leave(record)
            self._tell_once(error)
            return
        else:
            self._answered.keep(record)
        round_.delivered += 1
        try:
            self._spool.delivered(number)
        except SpoolTrouble as trouble:
            # It is told again after a restart, which moves nothing twice.
            self._tell_once(trouble)

    def _keep(
        self,
        report: pb.ControlQuestion,
        question: pb.AuthorizeCallRequest | None,
        silence: CallgateError,
    ) -> None:
        self._append(_written(report, question), silence)

    def _append(self, record: bytes, silence: CallgateError) -> None:
        try:
            self._spool.append(record)
        finally:
            self._filled.set()
        self._tell_once(silence)

    def _tell_once(self, trouble: Exception) -> None:
        """Tell why ends of calls wait, the first time since none did."""
        what = _words(trouble)
        if what not in self._told:
            self._told.add(what)
            _log.error("Ends of calls wait in the spool, %d so far: %s", self.waiting, what)

    def _reject(self, record: bytes, mistake: Exception) -> bool:
        """Keep a report that the engine will not have for people to look at; say if it could be."""
        try:
            if self._rejected is not None:
                told = Spool(self._rejected)
                try:
                    told.append(record)
                finally:
                    told.close()
        except SpoolTrouble as trouble:
            self._tell_once(trouble)
            return False
        call_id, tenant_id, _ = _call_of(record)
        _log.error(
            "The end of call %s of tenant %s is not accepted: %s",
            *(call_id, tenant_id, _words(mistake)),
        )
        return True


class _Round:
    """One walk over the reports: what one waits for holds up only what has to come after it."""

    def __init__(self) -> None:
        self.delivered = 0
        self._left: set[_Call] = set()
        self._silent: set[str] = set()
        self._is_shut_out = False

    @property
    def is_away(self) -> bool:
        """Whether nobody answers, or we are not let in."""
        return self._is_shut_out or (bool(self._silent) and not self.delivered)

    @property
    def is_over(self) -> bool:
        """Whether those that were not tried yet would fare no better."""
        return self.is_away and (self._is_shut_out or len(self._silent) >= MOST_SILENT)

    def takes(self, record: bytes) -> bool:
        """Tell whether a report can be tried: nothing that was left has to come before it."""
        call = _call_of(record)
        return call not in self._left and call[1] not in self._silent

    def leave(self, record: bytes) -> None:
        """Leave a report for the next round."""
        self._left.add(_call_of(record))

    def note(self, record: bytes, trouble: NoAnswer | Forbidden) -> None:
        """Leave a report that got no answer, and those that would get none either."""
        self.leave(record)
        if trouble.code == "UNAUTHENTICATED" or isinstance(trouble, Overloaded):
            self._is_shut_out = True
        elif trouble.code not in _OF_ONE_CALL:
            self._silent.add(_call_of(record)[1])


def _written(report: pb.ControlQuestion, question: pb.AuthorizeCallRequest | None) -> bytes:
    asked = pb.ControlQuestion(item_id=2, authorize_call=question)
    return pb.ControlCallsRequest(questions=[report, asked]).SerializeToString()


# A call's id, its tenant and its gateway.
_Call = tuple[str, str, str]


def _call_of(record: bytes) -> _Call:
    try:
        report = pb.ControlCallsRequest.FromString(record).questions[0]
    except (DecodeError, IndexError):
        return "", "", ""
    ended = getattr(report, report.WhichOneof("question") or "settle_call")
    return ended.call_id, ended.tenant_id, ended.gateway_id


def _words(trouble: Exception) -> str:
    if isinstance(trouble, CallgateError):
        return f"{trouble.reason or trouble.code} {trouble}"
    return repr(trouble)


def _drawn(seconds: float) -> float:
    return random.uniform(seconds / 2, seconds)


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
