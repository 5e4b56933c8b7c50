"""A gateway's desk for tests: an engine that says what it is told, a clock moved by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from pathlib import Path
from typing import Any

from callgate.client.emergency import EmergencyNumbers
from callgate.client.endings import Desk
from callgate.client.fallback import FailClosed, FirstQuestion, OwnRules
from callgate.client.reports import Reports
from callgate.errors import CallgateError, NoAnswer
from callgate.v1 import authorization_pb2 as pb

ITALY = "+390612345678"
DECIDED_AT_SECONDS = 1_000_000
RING_SECONDS = 180


class HandClock:
    """Stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everybody who waits for it do what they do."""
        await settled()
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settled()
        self._now = until
        await settled()


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(30):
        await asyncio.sleep(0)


class TellingLine:
    """An engine: keeps what it is asked; answers as told, or grants `slice_seconds` each time."""

    def __init__(self, slice_seconds: int = 60) -> None:
        self.slice_seconds = slice_seconds
        self.failure_handling = pb.FailureHandling(action=pb.FAILURE_ACTION_END)
        self.asked: list[Any] = []
        self.is_away = False
        self._told: dict[type[Any], deque[Any]] = {}

    def tell(self, kind: type[Any], *answers: Any) -> None:
        """Answer the next questions of a kind with these, messages or errors."""
        self._told.setdefault(kind, deque()).extend(answers)

    def of(self, kind: type[Any]) -> list[Any]:
        """What was asked of a kind."""
        return [one for one in self.asked if isinstance(one, kind)]

    def granted(self, used_seconds: int, *, final: bool = False) -> pb.Grant:
        grant = pb.Grant(final=final, final_action=pb.FINAL_ACTION_END)
        grant.granted_duration.seconds = used_seconds + self.slice_seconds
        grant.report_by_time.seconds = DECIDED_AT_SECONDS + self.slice_seconds + RING_SECONDS
        return grant

    async def authorize_call(
        self, question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        told = self._answer(question)
        answer = told or pb.AuthorizeCallResponse(
            grant=self.granted(question.running_call.used_duration.seconds),
            failure_handling=self.failure_handling,
            payer=pb.Payer(tenant_id="contoso"),
            decision_id="decision-1",
        )
        answer.decide_time.seconds = DECIDED_AT_SECONDS
        return answer

    async def authorize_calls(
        self, question: pb.AuthorizeCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallsResponse:
        return pb.AuthorizeCallsResponse(
            answers=[await self.authorize_call(leg) for leg in question.legs]
        )

    async def extend_call(
        self, question: pb.ExtendCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ExtendCallResponse:
        told = self._answer(question)
        answer = told or pb.ExtendCallResponse(
            grant=self.granted(question.used_duration.seconds),
            failure_handling=self.failure_handling,
        )
        answer.decide_time.seconds = DECIDED_AT_SECONDS
        return answer

    async def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        return self._answer(question) or pb.SettleCallResponse(decision_id="settled")

    async def release_call(
        self, question: pb.ReleaseCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ReleaseCallResponse:
        return self._answer(question) or pb.ReleaseCallResponse()

    def _answer(self, question: Any) -> Any:
        copy = type(question)()
        copy.CopyFrom(question)
        self.asked.append(copy)
        told = self._told.get(type(question))
        answer = told.popleft() if told else None
        if isinstance(answer, CallgateError):
            raise answer
        if self.is_away:
            raise NoAnswer("nobody there", code="UNAVAILABLE", is_retryable=True)
        return answer


def a_desk(
    line: TellingLine,
    clock: HandClock,
    *,
    first_question: FirstQuestion | None = None,
    folder: Path | None = None,
) -> Desk:
    """Build the desk of a gateway that knows Italy's emergency numbers."""
    numbers = EmergencyNumbers()
    numbers.keep(
        pb.GetEmergencyNumbersResponse(
            locations=[pb.EmergencyNumbers(location="IT", numbers=["112"], dial_masks={"9": "112"})]
        )
    )
    return Desk(
        line,
        OwnRules(first_question or FailClosed(), numbers),
        Reports(folder),
        clock=clock,
        gateway_id="bridge-1",
        deadline_seconds=2.0,
    )


def a_call(**changes: Any) -> pb.AuthorizeCallRequest:
    """Build the question about a call of adele's to Italy."""
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "gateway_id": "bridge-1",
        "call_id": "call-1",
        "sequence": 1,
        "called_number": ITALY,
        "user_call": pb.UserCall(user_id="adele"),
    }
    return pb.AuthorizeCallRequest(**(fields | changes))
