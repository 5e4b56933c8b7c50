"""One call from its set-up to its end: asked for, extended in time, settled whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from callgate.client.endings import Desk, Ending, Why
from callgate.client.time_left import Allowance, Pulse
from callgate.errors import CallEnded, CallgateError, CallRefused, CallUnknown, NoAnswer
from callgate.v1 import authorization_pb2 as pb

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
MAX_PUSHES = 100

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class CallSession:
    """A call that was granted; to be used as `async with client.call(question) as call:`.

    The block is entered once the call may be placed. `CallRefused` is raised where it may not,
    `NoAnswer` where nobody decided and the gateway fails closed, `Mistake` where the question is
    wrong. Say `answered()` when the called party answers: until then nothing is charged. More time
    is asked for by itself; `await over()` returns when the call has to end. Leaving the block, by
    whatever way, ends the call: its use is settled, or all is given back if nobody answered.
    """

    def __init__(
        self,
        desk: Desk,
        question: pb.AuthorizeCallRequest,
        granted: pb.AuthorizeCallResponse | None = None,
    ) -> None:
        self.question = question
        self._desk = desk
        self._granted = granted
        self._asked_engine = True
        self._sequence = question.sequence
        # One question of a call may be unanswered at a time.
        self._turn = asyncio.Lock()
        self._allowance = Allowance(desk.clock)
        self._pulse = Pulse(desk.clock)
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._pushes: asyncio.Queue[pb.ControlItem] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self.answer = pb.AuthorizeCallResponse()
        self.settlement: pb.SettleCallResponse | None = None
        self.is_spooled = False

    # --- What the gateway says --------------------------------------------------------------

    def answered(self) -> None:
        """Say that the called party answered: from now on seconds count."""
        self._allowance.answered()
        self._pulse.beat()

    def hung_up(self) -> None:
        """Say that the talk is over; what follows in the block is not counted."""
        self._allowance.hung_up()

    async def ask_again(self, question: pb.AuthorizeCallRequest) -> None:
        """Ask about the running call anew, say with the organizer whose PIN is known by now.

        Raises `CallRefused`: the call has to end then, and what it talked is charged as it was
        granted. Raises `NoAnswer` where nobody decided: it goes on as before.
        """
        async with self._turn:
            asked = self._as_running(question)
            answer = await self._desk.line.authorize_call(asked)
            if not answer.HasField("grant"):
                self._end_with(Ending(Why.REFUSED, reason=answer.refusal.reason))
                raise CallRefused(answer)
            self.question, self.answer = asked, answer
            self._take(answer.grant, answer)

    # --- What it may know -------------------------------------------------------------------

    @property
    def call_id(self) -> str:
        """The gateway's id of the call."""
        return self.question.call_id

    @property
    def tenant_id(self) -> str:
        """The payer's tenant."""
        return self.answer.payer.tenant_id or self.question.tenant_id

    @property
    def is_emergency(self) -> bool:
        """Whether it is an emergency call: not metered, without an end."""
        return self.answer.grant.emergency

    @property
    def dial_as(self) -> str:
        """The digits to route an emergency call by."""
        return self.answer.grant.dial_as

    @property
    def is_by_own_rules(self) -> bool:
        """Whether this gateway let the call pass, because the engine did not answer."""
        return not self._asked_engine

    @property
    def used_seconds(self) -> int:
        """Seconds since the answer, a second begun counted whole."""
        return self._allowance.used_seconds

    @property
    def granted_seconds(self) -> int | None:
        """Seconds since the answer that are granted so far; None for an emergency."""
        return None if self.is_emergency else self._allowance.granted_seconds

    @property
    def is_final(self) -> bool:
        """Whether no more time will be granted."""
        return self._allowance.is_final

    async def over(self) -> Ending:
        """Wait until the call has to end. For an emergency that is never."""
        return await asyncio.shield(self._over)

    @property
    def ending(self) -> Ending | None:
        """Why the call has to end; None as long as it may go on."""
        return self._over.result() if self._over.done() else None

    async def limits(self) -> AsyncIterator[float]:
        """Yield for how many seconds from now the call may go on, whenever that changed.

        Infinite while it rings. For whoever keeps a timer of its own, such as a proxy.
        """
        while True:
            changed = self._pulse.next_beat()
            yield math.inf if self.is_emergency else self._allowance.left_seconds()
            await asyncio.shield(changed)

    async def pushes(self) -> AsyncIterator[pb.ControlItem]:
        """Yield what the engine says of the call by itself; only for calls of a bridge's stream."""
        while True:
            yield await self._pushes.get()

    # --- The life of the call ---------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._begin()
        if not self.is_emergency:
            self._allowance.take(self.answer.grant, self.answer)
            if self.is_by_own_rules:
                self._allowance.allow_unanswered(self.answer.grant.granted_duration.seconds)
            self._tasks = [
                asyncio.create_task(self._keep_asking()),
                asyncio.create_task(self._watch_the_limit()),
            ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._allowance.hung_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._over.done():
            self._over.set_result(Ending(Why.ENDED))
        if not self.is_emergency:
            # Who cancels us does not cancel what the call costs.
            await self._desk.finish(self._end())

    async def leave(self) -> None:
        """Look after the call no more without ending it: it goes on, and somebody else reports."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_push(self, item: pb.ControlItem) -> None:
        """Take what the engine says of the call by itself, and do what it asks for."""
        match item.WhichOneof("item"):
            case "end":
                self._end_with(
                    Ending(Why.ORDERED, redirect_to=item.end.redirect_to, reason=item.end.reason)
                )
            case "deadline":
                self.take_sequence(item.deadline.sequence)
                self._allowance.move(item.deadline)
                self._pulse.beat()
        while self._pushes.qsize() >= MAX_PUSHES:
            self._pushes.get_nowait()
        self._pushes.put_nowait(item)

    def take_sequence(self, sequence: int) -> None:
        """Ask on above the last sequence that the engine knows."""
        self._sequence = max(self._sequence, sequence)

    def ask_now(self) -> None:
        """Report at once; the engine may have forgotten the call."""
        self._allowance.report_now()
        self._pulse.beat()

    async def _begin(self) -> None:
        if self._granted is not None:
            self.answer = self._granted
        else:
            try:
                self.answer, self._asked_engine = await self._desk.admit(self.question)
            except asyncio.CancelledError:
                # The engine may hold money for it by now.
                with contextlib.suppress(CallgateError):
                    await self._desk.finish(self._give_back())
                raise
        if not self.answer.HasField("grant"):
            raise CallRefused(self.answer)

    async def _end(self) -> None:
        try:
            if not self._allowance.used_seconds:
                await self._give_back()
            else:
                await self._settle()
        except CallEnded as ended:
            _log.info("Call %s was over for the engine: %s", self.call_id, ended.state)

    async def _give_back(self) -> None:
        waiting = self._desk.reports.waiting
        await self._desk.reports.release(self._desk.line, pb.ReleaseCallRequest(**self._next()))
        self.is_spooled = self._desk.reports.waiting > waiting

    async def _settle(self) -> None:
        settlement = pb.SettleCallRequest(**self._next())
        settlement.used_duration.seconds = self._allowance.used_seconds
        if self.is_by_own_rules:
            settlement.unknown_call.CopyFrom(self.question)
        # By it the engine knows the call again, whatever its store has lost.
        question = pb.AuthorizeCallRequest()
        question.CopyFrom(self.question)
        question.running_call.decision_id = self.answer.decision_id
        self.settlement = await self._desk.reports.settle(self._desk.line, settlement, question)
        self.is_spooled = self.settlement is None

    def _next(self) -> dict[str, Any]:
        self._sequence += 1
        return {
            "tenant_id": self.tenant_id,
            "gateway_id": self.question.gateway_id,
            "call_id": self.call_id,
            "sequence": self._sequence,
        }

    # --- Asking for more --------------------------------------------------------------------

    async def _keep_asking(self) -> None:
        try:
            if self.is_by_own_rules:
                await self._until_known()
            while not self._over.done():
                await self._pulse.until(self._allowance.report_in_seconds)
                async with self._turn:
                    await self._report()
        except CallRefused as refused:
            self._end_with(Ending(Why.REFUSED, reason=refused.refusal.reason))
        except CallgateError as error:
            _log.warning("Call %s cannot go on: %s %s", self.call_id, error.reason, error)
            self._end_with(Ending(Why.ENDED))

    async def _until_known(self) -> None:
        """Ask the first question again, as it was, until the engine answers it."""
        answer = await self._insist(self._ask_first)
        if not answer.HasField("grant"):
            raise CallRefused(answer)
        self.answer, self._asked_engine = answer, True
        self._allowance.report_now()
        await self._report()

    async def _ask_first(self) -> pb.AuthorizeCallResponse:
        return await self._desk.line.authorize_call(self.question)

    async def _report(self) -> None:
        """Report the use, and take what is granted on top."""
        request = pb.ExtendCallRequest(**self._next())
        request.used_duration.seconds = self._allowance.used_seconds
        if self.question.HasField("requested_duration"):
            request.requested_duration.CopyFrom(self.question.requested_duration)
        try:
            answer = await self._insist(lambda: self._desk.line.extend_call(request))
        except CallUnknown:
            await self._announce()
            return
        if answer.HasField("refusal"):
            raise CallRefused(pb.AuthorizeCallResponse(refusal=answer.refusal))
        self._take(answer.grant, answer)

    async def _announce(self) -> None:
        """Tell an engine whose store was lost that the call runs."""
        announced = self._as_running(self.question)
        answer = await self._insist(lambda: self._desk.line.authorize_call(announced))
        if not answer.HasField("grant"):
            raise CallRefused(answer)
        self.answer = answer
        self._take(answer.grant, answer)

    def _as_running(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallRequest:
        asked = pb.AuthorizeCallRequest()
        asked.CopyFrom(question)
        asked.gateway_id, asked.call_id = self.question.gateway_id, self.question.call_id
        asked.sequence = self._next()["sequence"]
        asked.running_call.used_duration.seconds = self._allowance.used_seconds
        asked.running_call.decision_id = self.answer.decision_id
        return asked

    def _take(
        self, grant: pb.Grant, answer: pb.AuthorizeCallResponse | pb.ExtendCallResponse
    ) -> None:
        self._allowance.take(grant, answer)
        self._pulse.beat()

    async def _insist(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask the same again and again until somebody answers; meanwhile the limit is watched."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await ask()
            except NoAnswer as silence:
                _log.info("Call %s goes on without an answer: %s", self.call_id, silence)
            await self._desk.clock.sleep(random.uniform(pause_seconds / 2, pause_seconds))
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    # --- The limit --------------------------------------------------------------------------

    async def _watch_the_limit(self) -> None:
        await self._pulse.until(self._allowance.left_seconds)
        if self._allowance.is_final and not self.is_by_own_rules:
            self._end_with(Ending(Why.FINAL, redirect_to=self._allowance.redirect_to))
        else:
            self._end_with(Ending(Why.UNANSWERED))

    def _end_with(self, ending: Ending) -> None:
        if not self._over.done():
            self._over.set_result(ending)
