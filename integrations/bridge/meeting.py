"""A meeting: who is in it by telephone, and whom its organizer pays for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from contextlib import suppress

from callgate import (
    AuthorizeCallRequest,
    AuthorizeCallsRequest,
    CallMe,
    CallRefused,
    CallSession,
    Control,
    MeetingDialOut,
    NoAnswer,
    ServiceNumberCall,
)
from callgate.v1.authorization_pb2 import LEG_MODE_ALL_OR_NOTHING
from integrations.bridge.leg import Leg
from integrations.bridge.telephony import Line, Telephony

NO_ENTRY = "you-cannot-enter-this-meeting"
NO_SUCH_PIN = "there-is-no-such-meeting"


class Meeting:
    """One meeting of one organizer, who pays for everybody whom it calls."""

    def __init__(
        self,
        control: Control,
        telephony: Telephony,
        *,
        tenant_id: str,
        organizer_id: str,
        meeting_id: str,
    ) -> None:
        self.tenant_id = tenant_id
        self.organizer_id = organizer_id
        self.legs: set[Leg] = set()
        self._control = control
        self._telephony = telephony
        self._names = (f"{meeting_id}-{number}" for number in itertools.count(1))
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial_out(self, numbers: Sequence[str]) -> None:
        """Call these into the meeting: all of them, or none.

        Raises `CallRefused` if one of them may not be called, `NoAnswer` if nobody decided; then
        nobody's telephone has rung, and nothing is held.
        """
        organizer = MeetingDialOut(organizer_id=self.organizer_id)
        legs = [
            AuthorizeCallRequest(
                tenant_id=self.tenant_id,
                call_id=next(self._names),
                called_number=number,
                meeting_dial_out=organizer,
            )
            for number in numbers
        ]
        asked = AuthorizeCallsRequest(legs=legs, mode=LEG_MODE_ALL_OR_NOTHING)
        answers = (await self._control.authorize_calls(asked)).answers
        for answer in answers:
            if not answer.HasField("grant"):
                raise CallRefused(answer)
        for number, leg, answer in zip(numbers, legs, answers, strict=True):
            self._begin(self._call_out(number, self._control.call(leg, answer)))

    async def call_me(self, number: str) -> None:
        """Call a participant's telephone. Raises as `dial_out` does."""
        question = AuthorizeCallRequest(
            tenant_id=self.tenant_id,
            call_id=next(self._names),
            called_number=number,
            call_me=CallMe(organizer_id=self.organizer_id),
        )
        answer = await self._control.authorize_call(question)
        if not answer.HasField("grant"):
            raise CallRefused(answer)
        self._begin(self._call_out(number, self._control.call(question, answer)))

    async def take_in(self, number: str, call: CallSession, line: Line) -> None:
        """Take in somebody who called the bridge, and return when they have left."""
        await self._carry(Leg(number, call, line))

    async def leave(self, leg: Leg) -> None:
        """Take somebody out of the meeting."""
        await leg.line.hang_up()

    async def end(self) -> None:
        """End the meeting: hang up, and settle every leg. Raises what a leg failed with."""
        for leg in list(self.legs):
            await leg.line.hang_up()
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _begin(self, leg: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(leg)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call_out(self, number: str, session: CallSession) -> None:
        # Leaving the block pays for the leg, or gives back what it held, however it ended.
        async with session as call:
            line = self._telephony.line_to(number)
            try:
                if await line.ring():
                    call.answered()
                    await self._carry(Leg(number, call, line))
            finally:
                await line.hang_up()

    async def _carry(self, leg: Leg) -> None:
        self.legs.add(leg)
        try:
            await leg.carry()
        finally:
            self.legs.discard(leg)


class Entrance:
    """The telephone number of the bridge, through which people come into meetings by a PIN."""

    def __init__(self, control: Control, meetings: dict[str, Meeting]) -> None:
        self._control = control
        self._meetings = meetings

    async def arrive(self, line: Line, service_number: str, calling_number: str) -> None:
        """Take one arriving call from its first ring to its end.

        A toll-free call costs from the moment it is picked up, so it is asked for before: the
        tenant of the number pays, and without a positive balance nobody is let in.
        """
        question = AuthorizeCallRequest(
            called_number=service_number,
            calling_number=calling_number,
            service_number_call=ServiceNumberCall(),
        )
        try:
            async with self._control.call(question) as call:
                call.answered()
                await line.pick_up()
                await self._let_in(line, call, question)
        except CallRefused as refused:
            await line.refuse(refused.refusal.sip_status, refused.refusal.q850_cause)
        except NoAnswer as silence:
            await line.refuse(silence.sip_status, silence.q850_cause)
        finally:
            await line.hang_up()

    async def _let_in(self, line: Line, call: CallSession, question: AuthorizeCallRequest) -> None:
        meeting = self._meetings.get(await line.pin())
        if meeting is None:
            await line.play(NO_SUCH_PIN)
            return
        known = AuthorizeCallRequest()
        known.CopyFrom(question)
        known.service_number_call.organizer_id = meeting.organizer_id
        try:
            # Whose meeting it is decides whether toll-free callers are taken. If nobody answers,
            # the call goes on as it was granted.
            with suppress(NoAnswer):
                await call.ask_again(known)
        except CallRefused:
            await line.play(NO_ENTRY)
            return
        await meeting.take_in(question.calling_number, call, line)
