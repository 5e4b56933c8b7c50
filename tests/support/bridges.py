"""A bridge for tests: one ControlCalls stream, opened again for ever, that asks until answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import grpc.aio

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub

# What may be asked again as it was: the trouble was the engine's, and no answer is known.
_TROUBLE = frozenset(
    code.value[0]
    for code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    )
)
_ITEMS_A_MESSAGE = 64
_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


class QuestionFailed(Exception):
    """A question came back with an error that asking again does not mend."""

    def __init__(self, error: pb.ControlError) -> None:
        super().__init__(f"{error.code} {error.reason}: {error.message}")
        self.reason = error.reason


class Bridge:
    """Carries calls over whichever engine answers, over as many streams as it takes."""

    def __init__(
        self, gateway_id: str, tenant_ids: Sequence[str], addresses: Sequence[str]
    ) -> None:
        self.gateway_id = gateway_id
        self.streams_opened = 0
        self.pushes: list[pb.ControlItem] = []
        self._tenant_ids = tenant_ids
        self._addresses = itertools.cycle(addresses)
        self._numbers = itertools.count(1)
        self._unanswered: dict[int, tuple[pb.ControlQuestion, asyncio.Future[pb.ControlItem]]] = {}
        self._to_send: asyncio.Queue[int] = asyncio.Queue()
        self._running: dict[str, pb.CallAnnouncement] = {}

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Bridge]:
        """Keep a stream open while the block lasts."""
        keeping = asyncio.create_task(self._keep_a_stream())
        try:
            yield self
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    def runs(self, tenant_id: str, call_id: str, sequence: int, decision_id: str) -> None:
        """Remember a running call, to announce it on the next stream."""
        self._running[call_id] = pb.CallAnnouncement(
            tenant_id=tenant_id, call_id=call_id, sequence=sequence, decision_id=decision_id
        )

    def forget(self, call_id: str) -> None:
        """A call is over."""
        self._running.pop(call_id, None)

    async def ask(self, **question: Any) -> pb.ControlItem:
        """Ask one question, again and again with the same words, until it is answered.

        Raises `QuestionFailed` where the engine said that the question is wrong.
        """
        while True:
            item = await self._ask_once(question)
            if item is None:
                continue
            if item.WhichOneof("item") != "error":
                return item
            if item.error.code not in _TROUBLE:
                raise QuestionFailed(item.error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask_once(self, question: dict[str, Any]) -> pb.ControlItem | None:
        number = next(self._numbers)
        answer: asyncio.Future[pb.ControlItem] = asyncio.get_running_loop().create_future()
        self._unanswered[number] = (pb.ControlQuestion(item_id=number, **question), answer)
        self._to_send.put_nowait(number)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._unanswered[number]

    async def _keep_a_stream(self) -> None:
        for address in self._addresses:
            async with grpc.aio.insecure_channel(address, options=_NO_BACKOFF) as channel:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._use_stream(AuthorizationServiceStub(channel))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _use_stream(self, stub: Any) -> None:
        stream = stub.ControlCalls()
        hello = pb.ControlHello(gateway_id=self.gateway_id, tenant_ids=self._tenant_ids)
        await stream.write(pb.ControlCallsRequest(hello=hello))
        self.streams_opened += 1
        for announcement in list(self._running.values()):
            question = pb.ControlQuestion(item_id=next(self._numbers), announcement=announcement)
            await stream.write(pb.ControlCallsRequest(questions=[question]))
        for number in self._unanswered:
            self._to_send.put_nowait(number)
        sending = asyncio.create_task(self._send(stream))
        try:
            async for response in stream:
                for item in response.items:
                    self._take(item)
        finally:
            sending.cancel()
            stream.cancel()

    async def _send(self, stream: Any) -> None:
        while True:
            numbers = {await self._to_send.get()}
            while not self._to_send.empty() and len(numbers) < _ITEMS_A_MESSAGE:
                numbers.add(self._to_send.get_nowait())
            # What was answered or given up meanwhile is not asked again.
            asked = [self._unanswered[one][0] for one in numbers if one in self._unanswered]
            if asked:
                await stream.write(pb.ControlCallsRequest(questions=asked))

    def _take(self, item: pb.ControlItem) -> None:
        if item.item_id == 0:
            self.pushes.append(item)
            return
        question = self._unanswered.get(item.item_id)
        if question is not None and not question[1].done():
            question[1].set_result(item)


_NO_BACKOFF = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)
