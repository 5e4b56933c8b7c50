"""Each question of a bridge, by the same verb as a unary call; what fails becomes its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from callgate.v1 import authorization_pb2 as pb
from server.access import find_tenant_by_id
from server.calls.verbs import Verbs
from server.control.running import RunningCalls
from server.errors import InvalidRequest, counted_status
from server.ledger import CallKey, CallOver
from server.translation import limits
from server.translation.control import Deadline, deadline_item, error_item

_LIVE = "live"


class Questions:
    """Answers the questions of one stream."""

    def __init__(self, verbs: Verbs, gateway_id: str, running: RunningCalls) -> None:
        self._verbs = verbs
        self._gateway_id = gateway_id
        self._running = running
        self._count_failure = verbs.decider.metrics.count_failure
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

    async def answer(self, question: pb.ControlQuestion) -> pb.ControlItem:
        """Answer one question, by its number."""
        try:
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
        decider = self._verbs.decider
        tenant_id = limits.tenant_id(told.tenant_id)
        call = CallKey(tenant_id, self._gateway_id, limits.call_id(told.call_id))
        find_tenant_by_id(tenant_id, decider.facts.current.directory)
        known = await self._verbs.listing.read(call)
        answer = known.answer
        if answer.state != _LIVE:
            raise CallOver(answer.state)
        self._running.announce(known)
        granted_seconds = answer.granted_seconds if answer.segments else answer.used_seconds
        deadline = Deadline(granted_seconds, answer.report_by_ms, answer.final, known.sequence)
        return deadline_item(call.tenant_id, call.call_id, deadline, item_id=item_id)
