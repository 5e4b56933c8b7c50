"""Questions and answers by number, over one ControlCalls stream after another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import grpc.aio

from callgate.errors import CallgateError, NoAnswer, control_error_of, error_of
from callgate.v1 import authorization_pb2 as pb

MAX_ITEMS_A_MESSAGE = 256


class ItemLine:
    """What was asked and not answered yet; it outlives the stream it was written to."""

    def __init__(self, hello: pb.ControlHello, on_push: Callable[[pb.ControlItem], None]) -> None:
        self._hello = hello
        self._on_push = on_push
        self._numbers = itertools.count(1)
        self._asked: dict[int, pb.ControlQuestion] = {}
        self._answers: dict[int, asyncio.Future[pb.ControlItem]] = {}
        self._to_send: deque[int] = deque()
        self._has_some = asyncio.Event()

    async def ask(self, seconds: float, **question: Any) -> pb.ControlItem:
        """Ask one question and wait for its answer. Raises a `CallgateError`."""
        number = next(self._numbers)
        self._asked[number] = pb.ControlQuestion(item_id=number, **question)
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._send(number)
        try:
            async with asyncio.timeout(seconds):
                item = await self._answers[number]
        except TimeoutError as error:
            raise NoAnswer(
                f"no answer on the stream within {seconds:.1f} s",
                code="DEADLINE_EXCEEDED",
                is_retryable=True,
            ) from error
        finally:
            del self._asked[number], self._answers[number]
        if item.WhichOneof("item") == "error":
            raise control_error_of(item.error)
        return item

    async def use(self, stream: Any, on_open: Callable[[], None]) -> None:
        """Carry everything over one stream until it ends. Raises why, if not in good order.

        `on_open` is told when the hello is written.
        """
        sending: asyncio.Task[None] | None = None
        try:
            await stream.write(pb.ControlCallsRequest(hello=self._hello))
            # What the last stream left unanswered is asked again, as it was.
            self._to_send.clear()
            on_open()
            for number in self._asked:
                self._send(number)
            sending = asyncio.create_task(self._keep_sending(stream))
            async for response in stream:
                self._take(response.items)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except asyncio.InvalidStateError as error:
            # The stream had ended before the hello was written; its status says why.
            raise await _why(stream) from error
        finally:
            if sending is not None:
                sending.cancel()
            stream.cancel()

    def fail(self, error: CallgateError) -> None:
        """Let every unanswered question end with this."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)

    def _send(self, number: int) -> None:
        self._to_send.append(number)
        self._has_some.set()

    async def _keep_sending(self, stream: Any) -> None:
        # A stream that has ended takes nothing more; who reads it is told why.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await self._has_some.wait()
                questions = self._next_questions()
                if questions:
                    await stream.write(pb.ControlCallsRequest(questions=questions))

    def _next_questions(self) -> list[pb.ControlQuestion]:
        questions: list[pb.ControlQuestion] = []
        while self._to_send and len(questions) < MAX_ITEMS_A_MESSAGE:
            # What was given up meanwhile is not asked any more.
            question = self._asked.get(self._to_send.popleft())
            if question is not None:
                questions.append(question)
        if not self._to_send:
            self._has_some.clear()
        return questions

    def _take(self, items: Iterable[pb.ControlItem]) -> None:
        for item in items:
            if item.item_id == 0:
                self._on_push(item)
                continue
            answer = self._answers.get(item.item_id)
            if answer is not None and not answer.done():
                answer.set_result(item)


async def _why(stream: Any) -> CallgateError:
    code, details = await stream.code(), await stream.details()
    ended = grpc.aio.AioRpcError(
        code, await stream.initial_metadata(), await stream.trailing_metadata(), details
    )
    return error_of(ended)
