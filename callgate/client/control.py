"""One stream for all calls of a gateway: questions in, answers and pushes out, opened again always.

Questions that wait while a message is being written share the next one; on an idle stream a
question is written at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from google.protobuf.message import Message

from callgate.client.connections import PACKAGE, Connections
from callgate.client.endings import Desk
from callgate.client.retries import Retries
from callgate.client.session import CallSession
from callgate.client.stream import ItemLine
from callgate.errors import (
    CallEnded,
    CallgateError,
    CallUnknown,
    ClientMisused,
    Mistake,
    NoAnswer,
    StreamReplaced,
)
from callgate.v1 import authorization_pb2 as pb

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
MAX_PUSHES = 10_000

_log = logging.getLogger(__name__)
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CallLost:
    """A call that was announced on a new stream, and is not known, or over, at the engine."""

    tenant_id: str
    call_id: str
    error: CallgateError


Push = pb.ControlItem | CallLost


class Control:
    """A bridge's stream; to be used as `async with client.control(tenant_ids) as control:`.

    It asks what `Client` asks, with the same retries. When the stream ends it is opened again and
    the running calls are announced on it; what was not answered is asked again. If a newer stream
    of the gateway takes over, or the engine will not have this one, `ended` says so, pushes stop,
    and questions go the unary way.
    """

    def __init__(
        self, connections: Connections, desk: Desk, retries: Retries, *, hello: pb.ControlHello
    ) -> None:
        self._connections = connections
        self._client = desk.line
        self._desk = replace(desk, line=self)
        self._retries = retries
        self._hello = hello
        self._line = ItemLine(hello, self._take_push)
        self._running: dict[_Key, pb.CallAnnouncement] = {}
        self._sessions: dict[_Key, CallSession] = {}
        self._pushes: asyncio.Queue[Push | None] = asyncio.Queue()
        self._announcing: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self.ended: CallgateError | None = None
        self.streams_opened = 0

    def call(
        self,
        question: pb.AuthorizeCallRequest,
        granted: pb.AuthorizeCallResponse | None = None,
    ) -> CallSession:
        """Run one call over the stream, as `Client.call` does; what is pushed reaches it."""
        return _StreamCall(
            self._desk, self._desk.filled(question), granted, on_stream=self._sessions
        )

    async def pushes(self) -> AsyncIterator[Push]:
        """Yield what the engine says by itself, of calls that are run by `call` too.

        Of what nobody reads the newest 10,000 are kept. Raises why, when there will be no more.
        """
        while (push := await self._pushes.get()) is not None:
            yield push
        assert self.ended is not None
        raise self.ended

    # --- Questions --------------------------------------------------------------------------

    async def authorize_call(
        self, question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed; a refusal is returned, not raised."""
        asked = self._desk.filled(question)
        answer = (await self._ask("authorize_call", asked, deadline_seconds)).authorize_call
        self._begun(asked, answer)
        return answer

    async def authorize_calls(
        self, question: pb.AuthorizeCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallsResponse:
        """Ask about several legs in one step. Their call ids are the caller's to give."""
        asked = self._desk.filled_legs(question)
        answer = (await self._ask("authorize_calls", asked, deadline_seconds)).authorize_calls
        for leg, leg_answer in zip(asked.legs, answer.answers, strict=True):
            self._begun(leg, leg_answer)
        return answer

    async def extend_call(
        self, question: pb.ExtendCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ExtendCallResponse:
        """Report the use of a call and ask for more time; a refusal is returned, not raised."""
        answer = (await self._ask("extend_call", question, deadline_seconds)).extend_call
        if answer.HasField("grant"):
            self._runs(question, answer.decision_id)
        else:
            self._forget(question)
        return answer

    async def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        """Report the end of a call."""
        self._forget(question)
        return (await self._ask("settle_call", question, deadline_seconds)).settle_call

    async def release_call(
        self, question: pb.ReleaseCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ReleaseCallResponse:
        """Report that nobody answered a call."""
        self._forget(question)
        return (await self._ask("release_call", question, deadline_seconds)).release_call

    async def _ask(
        self, kind: str, question: Message, deadline_seconds: float | None
    ) -> pb.ControlItem:
        """Ask on the stream, as often as a unary question; the unary way if it is gone for good."""
        if self._keeping is None:
            raise ClientMisused(
                "the stream is not open: `async with client.control(...) as control:`"
            )

        async def try_once(_: int, seconds: float) -> pb.ControlItem:
            if self.ended is not None:
                raise self.ended
            return await self._line.ask(seconds, **{kind: question})

        method = f"AuthorizationService/{''.join(map(str.title, kind.split('_')))}"
        limit = self._desk.deadline_seconds if deadline_seconds is None else deadline_seconds
        try:
            return await self._retries.ask(method, try_once, limit)
        except CallgateError as error:
            if error is not self.ended:
                raise
        answer = await getattr(self._client, kind)(question, deadline_seconds=deadline_seconds)
        return pb.ControlItem(**{kind: answer})

    # --- Which calls run --------------------------------------------------------------------

    def _begun(self, question: pb.AuthorizeCallRequest, answer: pb.AuthorizeCallResponse) -> None:
        if answer.HasField("grant") and not answer.grant.emergency and not question.dry_run:
            announced = pb.CallAnnouncement(
                tenant_id=answer.payer.tenant_id,
                call_id=question.call_id,
                sequence=question.sequence,
                decision_id=answer.decision_id,
            )
            self._running[announced.tenant_id, announced.call_id] = announced

    def _runs(self, question: pb.ExtendCallRequest, decision_id: str) -> None:
        self._running[question.tenant_id, question.call_id] = pb.CallAnnouncement(
            tenant_id=question.tenant_id,
            call_id=question.call_id,
            sequence=question.sequence,
            decision_id=decision_id,
        )

    def _forget(
        self, question: pb.ExtendCallRequest | pb.SettleCallRequest | pb.ReleaseCallRequest
    ) -> None:
        self._running.pop((question.tenant_id, question.call_id), None)

    def _announce_all(self) -> None:
        self.streams_opened += 1
        for announcement in list(self._running.values()):
            task = asyncio.create_task(self._announce(announcement))
            self._announcing.add(task)
            task.add_done_callback(self._announcing.discard)

    async def _announce(self, announced: pb.CallAnnouncement) -> None:
        key = (announced.tenant_id, announced.call_id)
        try:
            item = await self._line.ask(self._desk.deadline_seconds, announcement=announced)
        except (CallUnknown, CallEnded) as lost:
            session = self._sessions.get(key)
            if session is not None:
                session.ask_now()
            self._running.pop(key, None)
            self._put(CallLost(*key, lost))
        except CallgateError as trouble:
            # The next stream announces it again; until then its own questions keep it alive.
            _log.info("Call %s could not be announced: %s", announced.call_id, trouble)
        else:
            if key in self._sessions:
                self._sessions[key].take_sequence(item.deadline.sequence)

    # --- Pushes -----------------------------------------------------------------------------

    def _take_push(self, item: pb.ControlItem) -> None:
        told = getattr(item, item.WhichOneof("item") or "deadline")
        session = self._sessions.get((told.tenant_id, told.call_id))
        if session is not None:
            session.take_push(item)
        self._put(item)

    def _put(self, push: Push) -> None:
        while self._pushes.qsize() >= MAX_PUSHES:
            self._pushes.get_nowait()
        self._pushes.put_nowait(push)

    # --- The stream -------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_a_stream())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._keeping is not None
        ending = [self._keeping, *self._announcing]
        for task in ending:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*ending, return_exceptions=True)

    async def _keep_a_stream(self) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        attempt = 0
        while True:
            attempt += 1
            opened = self.streams_opened
            try:
                await self._use_one(attempt)
            except (StreamReplaced, Mistake) as error:
                self._give_up(error)
                return
            except NoAnswer as trouble:
                _log.info("The stream is opened again after: %s", trouble)
            if self.streams_opened > opened:
                pause_seconds = FIRST_PAUSE_SECONDS
            await asyncio.sleep(random.uniform(0, pause_seconds))
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _use_one(self, attempt: int) -> None:
        connection = self._connections.pick(self._hello.gateway_id, attempt)
        # It waits for the connection, so that it is there as soon as the engine is.
        stream = connection.channel.stream_stream(
            f"/{PACKAGE}.AuthorizationService/ControlCalls",
            request_serializer=pb.ControlCallsRequest.SerializeToString,
            response_deserializer=pb.ControlCallsResponse.FromString,
        )(metadata=connection.metadata, wait_for_ready=True)
        await self._line.use(stream, self._announce_all)

    def _give_up(self, error: CallgateError) -> None:
        _log.warning("There is no stream any more: %s %s", error.reason or error.code, error)
        self.ended = error
        self._line.fail(error)
        self._pushes.put_nowait(None)


class _StreamCall(CallSession):
    """A call that is told of what the engine pushes, as long as it runs."""

    def __init__(
        self,
        desk: Desk,
        question: pb.AuthorizeCallRequest,
        granted: pb.AuthorizeCallResponse | None,
        *,
        on_stream: dict[_Key, CallSession],
    ) -> None:
        super().__init__(desk, question, granted)
        self._on_stream = on_stream

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._on_stream[self.tenant_id, self.call_id] = self
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._on_stream.pop((self.tenant_id, self.call_id), None)
        await super().__aexit__(kind, error, traceback)

    async def leave(self) -> None:
        """Look after the call no more without ending it: it goes on, and somebody else reports."""
        self._on_stream.pop((self.tenant_id, self.call_id), None)
        await super().leave()
