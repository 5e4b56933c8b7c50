"""One bridge's stream: read, answered, written, until somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, cast

import grpc.aio

from callgate.v1 import authorization_pb2 as pb
from policy.emergency import is_beyond_emergency
from server.access import check_admitted, current, find_tenant_by_id
from server.access.errors import TenantUnknown
from server.calls.fast_path import FastPath
from server.calls.handlers import CallHandlers
from server.calls.messages.fields import InvalidRequest
from server.services.bridge_stream.known_calls import RunningCalls
from server.services.bridge_stream.messages import (
    MAX_QUESTIONS,
    check_questions,
    read_hello,
    written_item,
)
from server.services.bridge_stream.newest import Standing, Standings
from server.services.bridge_stream.outbox import Outbox
from server.services.bridge_stream.pushes import Follow, Following
from server.services.bridge_stream.questions import Questions
from server.services.errors import BridgeTooSlow, StreamReplaced, check_readable
from server.transport.contract import Context

# Questions of one stream that may be unanswered; the next message is read when there is room.
MAX_UNANSWERED = 1_024
# How long a stream may be silent before it says who it is.
HELLO_SECONDS = 10.0
# How long its first questions wait until its calls can be told of.
JOIN_SECONDS = 0.25
# How long a bridge may leave what is written to it untaken.
WRITE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Control:
    """What every stream is made from."""

    verbs: CallHandlers
    standings: Standings
    following: Following
    quick: FastPath
    heartbeat_seconds: float

    async def serve(self, context: Context, on_move: Callable[[Callable[[], None]], None]) -> None:
        """Serve one stream. `on_move` is told what to call when it should go elsewhere.

        Raises `InvalidRequest`, `TenantForbidden`, `StreamReplaced` and `BridgeTooSlow`, and
        `IdentityUnknown` or `RoleMissing` once a stranger's emergencies are granted; it returns
        where the bridge has said all and is answered, or is to open a new stream.
        """
        first = await _first_message(context)
        if current().refused is not None:
            await self._grant_emergencies(first, context)
        check_admitted()
        hello = read_hello(first)
        for tenant_id in hello.tenant_ids:
            await self._find_tenant(tenant_id)
        # Who may not open it cannot take it over: a gateway's streams are those of one identity.
        standing = self.standings.take(current().identity_id, hello.gateway_id)
        # Nothing waits for it: a store that is away is told later.
        telling = asyncio.create_task(self.standings.look(standing))
        outbox, running = Outbox(), RunningCalls()
        stream = BridgeStream(
            context,
            Questions(self.verbs, self.quick, hello.gateway_id, running=running),
            outbox,
            standing=standing,
            heartbeat_seconds=self.heartbeat_seconds,
        )
        on_move(stream.move)
        follow = Follow(self.following, hello, running, outbox=outbox)
        try:
            await stream.run(first, follow)
        finally:
            self.standings.leave(standing)
            await _cancel((telling,))

    async def _find_tenant(self, tenant_id: str) -> None:
        directory = self.verbs.authorizer.facts.current.directory
        try:
            find_tenant_by_id(tenant_id, directory)
        except TenantUnknown as unknown:
            await unknown.look()
            find_tenant_by_id(tenant_id, directory)

    async def _grant_emergencies(self, first: pb.ControlCallsRequest, context: Context) -> None:
        questions = Questions(
            self.verbs, self.quick, first.hello.gateway_id, running=RunningCalls()
        )
        granted = [questions.emergency(question) for question in first.questions[:MAX_QUESTIONS]]
        items = [item for item in granted if item is not None]
        if items:
            await context.write(pb.ControlCallsResponse(items=items))


class BridgeStream:
    """The questions of one stream, from reading to writing."""

    def __init__(
        self,
        context: Context,
        questions: Questions,
        outbox: Outbox,
        *,
        standing: Standing,
        heartbeat_seconds: float,
    ) -> None:
        self._context = context
        self._questions = questions
        self._outbox = outbox
        self._standing = standing
        self._heartbeat_seconds = heartbeat_seconds
        # None for those that need no task.
        self._unanswered: dict[int, asyncio.Task[None] | None] = {}
        self._all_answered = asyncio.Event()
        self._has_ended = False
        self._opened_by = copy_context()
        self._slots = asyncio.Semaphore(MAX_UNANSWERED)
        self._moving = asyncio.Event()
        self._written_at = asyncio.get_running_loop().time()

    def move(self) -> None:
        """Read no more, answer what was read, and end: the bridge is to open a new stream."""
        self._moving.set()

    async def run(self, first: pb.ControlCallsRequest, follow: Follow) -> None:
        """Serve until somebody ends the stream. Raises why."""
        reading = asyncio.create_task(self._read(first, follow))
        writing = asyncio.create_task(self._write())
        pushing = asyncio.create_task(follow.run())
        replaced = asyncio.create_task(self._standing.replaced.wait())
        moving = asyncio.create_task(self._moving.wait())
        beating = asyncio.create_task(self._beat())
        others = (pushing, replaced, moving, beating)
        try:
            # Pushes may end before the stream does, as the process is about to.
            await _first_of(reading, writing, replaced, moving, failing=pushing)
            if replaced.done():
                raise StreamReplaced
            await _cancel((reading, pushing))
            while self._unanswered:
                self._all_answered.clear()
                await self._all_answered.wait()
            self._outbox.close()
            await writing
        finally:
            self._has_ended = True
            answering = [task for task in self._unanswered.values() if task is not None]
            await _cancel((reading, writing, *others, *answering))

    def answered(self, item_id: int, item: bytes) -> None:
        """Take the answer to a question, as it is written."""
        # Its number is free, and there is room for another question, when the answer is written.
        self._outbox.answer(item, self._slots.release)
        del self._unanswered[item_id]
        if not self._unanswered:
            self._all_answered.set()

    def ask_long(self, question: pb.ControlQuestion) -> None:
        """Answer a question in a task of its own."""
        if not self._has_ended:
            # The ledger's reply may be what leads here: who asks is still who opened the stream.
            self._unanswered[question.item_id] = asyncio.create_task(
                self._answer(question), context=self._opened_by.copy()
            )

    async def _read(self, message: pb.ControlCallsRequest, follow: Follow) -> None:
        await _hear_first(message, follow)
        while True:
            check_questions(message, set(self._unanswered))
            await self._ask(list(message.questions))
            await self._outbox.room()
            following = await self._context.read()
            if following is grpc.aio.EOF:
                return
            check_readable(following)
            message = following
            if message.HasField("hello"):
                raise InvalidRequest("hello", "absent after the first message")

    async def _ask(self, questions: list[pb.ControlQuestion]) -> None:
        if len(questions) + len(self._unanswered) > MAX_UNANSWERED:
            # Some have to wait for room. No emergency does.
            questions = [one for one in questions if not self._granted_at_once(one)]
        for question in questions:
            await self._slots.acquire()
            self._unanswered[question.item_id] = None
            if not self._questions.ask_quickly(question, self):
                self.ask_long(question)

    def _granted_at_once(self, question: pb.ControlQuestion) -> bool:
        emergency = self._questions.emergency(question)
        if emergency is not None:
            self._outbox.answer(written_item(emergency))
        return emergency is not None

    async def _answer(self, question: pb.ControlQuestion) -> None:
        item = await self._questions.answer(question)
        self.answered(question.item_id, written_item(item))

    async def _beat(self) -> None:
        """Say something from time to time, for whatever lies between would end a silent stream."""
        loop = asyncio.get_running_loop()
        while True:
            quiet_seconds = loop.time() - self._written_at
            if quiet_seconds >= self._heartbeat_seconds:
                self._outbox.beat()
                quiet_seconds = 0.0
            await asyncio.sleep(self._heartbeat_seconds - quiet_seconds)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            items = await self._outbox.take()
            if items is None:
                return
            self._written_at = loop.time()
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._context.write(b"".join(items))
            except TimeoutError as error:
                raise BridgeTooSlow from error


async def _hear_first(first: pb.ControlCallsRequest, follow: Follow) -> None:
    """Wait a moment until the journal is heard: what is granted before is told of by nobody.

    Emergencies, and a store that is away, are not waited for.
    """
    numbers = [question.authorize_call.called_number for question in first.questions]
    numbers += [leg.called_number for one in first.questions for leg in one.authorize_calls.legs]
    if all(not number or is_beyond_emergency(number) for number in numbers):
        with suppress(TimeoutError):
            async with asyncio.timeout(JOIN_SECONDS):
                await follow.joined.wait()


async def _first_message(context: Context) -> pb.ControlCallsRequest:
    message: Any = grpc.aio.EOF
    with suppress(TimeoutError):
        async with asyncio.timeout(HELLO_SECONDS):
            message = await context.read()
    if message is grpc.aio.EOF:
        raise InvalidRequest("hello", f"in the first message, within {HELLO_SECONDS:g} s")
    check_readable(message)
    return cast("pb.ControlCallsRequest", message)


async def _first_of(*tasks: asyncio.Task[Any], failing: asyncio.Task[Any]) -> None:
    """Wait for the first of these to end, or for one more to fail. Raises what it raised."""
    waiting = {*tasks, failing}
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if done - {failing}:
            return


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these and wait until they have ended; what they raise was told before."""
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
