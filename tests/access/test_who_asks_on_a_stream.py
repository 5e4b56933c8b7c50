"""Who asks on a stream stays who opened it, whatever leads to an answer."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, cast

from callgate.v1 import authorization_pb2 as pb
from server.access import Principal, admitted, current
from server.access.roles import Role
from server.services.bridge_stream.newest import Standing
from server.services.bridge_stream.outbox import Outbox
from server.services.bridge_stream.stream import BridgeStream

BRIDGE = Principal("bridge", frozenset({Role.BRIDGE}), frozenset({"contoso"}))


class Questions:
    """Answers everything, and remembers who asked."""

    def __init__(self) -> None:
        self.asked_by: list[str] = []

    async def answer(self, question: pb.ControlQuestion) -> pb.ControlItem:
        self.asked_by.append(current().identity_id)
        return pb.ControlItem(item_id=question.item_id)


async def test_a_question_that_the_ledger_s_reply_leads_to_is_asked_by_who_opened_the_stream() -> (
    None
):
    questions = Questions()
    with admitted(BRIDGE):
        stream = BridgeStream(
            cast("Any", None),
            cast("Any", questions),
            Outbox(),
            standing=Standing("bridge", "sbc-1"),
            heartbeat_seconds=60.0,
        )
    somebody_else = contextvars.Context()

    somebody_else.run(stream.ask_long, pb.ControlQuestion(item_id=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert somebody_else.run(current).identity_id == "anybody"
    assert questions.asked_by == ["bridge"]
