"""Each question of a bridge, by the same verb as a unary call; what fails becomes its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from typing_extensions import override

from callgate.v1 import authorization_pb2 as pb
from server.access import find_tenant_by_id
from server.access.errors import TenantUnknown
from server.calls.fast_path import FastPath, PendingReserve
from server.calls.handlers import CallHandlers
from server.calls.messages import fields as limits
from server.calls.messages.fields import InvalidRequest
from server.ledger import CallKey, CallOver
from server.services.bridge_stream.known_calls import RunningCalls
from server.services.bridge_stream.messages import (
    Deadline,
    answer_item,
    deadline_item,
    error_item,
    written_item,
)
from server.services.errors import counted_status

_LIVE = "live"


class Answers(Protocol):
    """Where answers go to, and questions that have to take a while."""

    def answered(self, item_id: int, item: bytes) -> None:
        """Take the answer to a question, as it is written."""

    def ask_long(self, question: pb.ControlQuestion) -> None:
        """Answer a question in a task of its own."""


class ItemAsking(PendingReserve):
    """A question that came as an item of a stream."""

    __slots__ = ("_answers", "_count_failure", "_question")

    def __init__(
        self, question: pb.ControlQuestion, answers: Answers, count_failure: Callable[[str], None]
    ) -> None:
        self._question = question
        self._answers = answers
        self._count_failure = count_failure

    @override
    def remaining_seconds(self) -> float | None:
        return None

    @override
    def answer(self, response: bytes) -> None:
        item_id, answers = self._question.item_id, self._answers
        del self._question, self._answers
        answers.answered(item_id, answer_item(item_id, response))

    @override
    def leave(self) -> None:
        self._answers.ask_long(self._question)

    @override
    def fail(self, error: Exception) -> None:
        item_id = self._question.item_id
        failure, _ = counted_status(error, self._count_failure)
        self._answers.answered(item_id, written_item(error_item(item_id, failure, error)))


class Questions:
    """Answers the questions of one stream."""

    def __init__(
        self, verbs: CallHandlers, quick: FastPath, gateway_id: str, *, running: RunningCalls
    ) -> None:
        self._verbs = verbs
        self._quick = quick
        self._gateway_id = gateway_id
        self._running = running
        self._count_failure = verbs.authorizer.metrics.count_failure
        self._ways: dict[str, Callable[[Any, float | None], Awaitable[Any]]] = {
            "authorize_call": verbs.authorize_call,
            "authorize_calls": partial(verbs.authorize_calls, gateway_id=gateway_id),
            "extend_call": verbs.extend_call,
            "settle_call": verbs.settle_call,
            "release_call": verbs.release_call,
        }

    def emergency(self, question: pb.ControlQuestion) -> pb.ControlItem | None:
        """Grant an emergency call at once; None for every other question."""
        if question.WhichOneof("question") != "authorize_call":
            return None
        granted = self._verbs.door.grant(question.authorize_call)
        if granted is None:
            return None
        return pb.ControlItem(item_id=question.item_id, authorize_call=granted)

    def ask_quickly(self, question: pb.ControlQuestion, answers: Answers) -> bool:
        """Ask about a call like one before; False for every other question, and when it is much."""
        if question.WhichOneof("question") != "authorize_call":
            return False
        request = question.authorize_call
        if request.gateway_id not in {"", self._gateway_id} or self._verbs.load.sheds(request):
            return False
        request.gateway_id = self._gateway_id
        return self._quick.ask(request, ItemAsking(question, answers, self._count_failure))

    async def answer(self, question: pb.ControlQuestion) -> pb.ControlItem:
        """Answer one question, by its number."""
        try:
            try:
                return await self._answer(question)
            except TenantUnknown as unknown:
                await unknown.look()
                return await self._answer(question)
        except Exception as error:  # noqa: BLE001 -- this is where a bug becomes INTERNAL
            failure, _ = counted_status(error, self._count_failure)
            return error_item(question.item_id, failure, error)

    async def _answer(self, question: pb.ControlQuestion) -> pb.ControlItem:
        kind = question.WhichOneof("question")
        if kind is None:
            raise InvalidRequest("question", "one kind of question")
        request = getattr(question, kind)
        if kind == "announcement":
            return await self._announced(question.item_id, request)
        if kind == "authorize_call":
            # Nothing about an emergency is looked at but its digits and its place.
            emergency = self.emergency(question)
            if emergency is not None:
                return emergency
        if kind != "authorize_calls":
            limits.stream_gateway(request, self._gateway_id)
        answer = await self._ways[kind](request, None)
        return pb.ControlItem(item_id=question.item_id, **{kind: answer})

    async def _announced(self, item_id: int, told: pb.CallAnnouncement) -> pb.ControlItem:
        authorizer = self._verbs.authorizer
        tenant_id = limits.tenant_id(told.tenant_id)
        call = CallKey(tenant_id, self._gateway_id, limits.call_id(told.call_id))
        find_tenant_by_id(tenant_id, authorizer.facts.current.directory)
        known = await self._verbs.listing.read(call)
        answer = known.answer
        if answer.state != _LIVE:
            raise CallOver(answer.state)
        self._running.announce(known)
        granted_seconds = answer.granted_seconds if answer.segments else answer.used_seconds
        deadline = Deadline(granted_seconds, answer.report_by_ms, answer.final, known.sequence)
        return deadline_item(call.tenant_id, call.call_id, deadline, item_id=item_id)
