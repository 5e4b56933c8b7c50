"""The client for programs without asyncio: the same names, and none of the logic twice.

Each object stands for its asynchronous twin, which lives on the loop of one thread in the
background; each method hands the question over and waits for the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from google.protobuf.message import Message

from callgate.client import client as asynchronous
from callgate.client.client import ClientOptions
from callgate.client.control import Control as AsyncControl
from callgate.client.control import Push
from callgate.client.endings import Ending
from callgate.client.session import CallSession as AsyncCallSession
from callgate.client.watching import NewEpoch
from callgate.connection import DEFAULT_ADDRESS
from callgate.errors import CallgateError, ClientMisused
from callgate.opened import NOT_OPEN, OwnProcess
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.debits_pb2 import WatchDebitsRequest, WatchDebitsResponse

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Answer = TypeVar("_Answer", bound=Message)


class _Background:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self._process = OwnProcess()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="callgate", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, _Result], seconds: float | None = None) -> _Result:
        """Do something there and wait for it. Raises what it raises, `TimeoutError` when late.

        Whoever is interrupted while waiting leaves nothing behind.
        """
        try:
            self._process.check()
            if self._loop.is_closed():
                raise ClientMisused(NOT_OPEN)
        except ClientMisused:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()
            raise

    def do(
        self,
        work: Callable[_Parameters, _Result],
        *arguments: _Parameters.args,
        **named: _Parameters.kwargs,
    ) -> _Result:
        """Call a function there and wait for it."""

        async def call() -> _Result:
            return work(*arguments, **named)

        return self.wait(call())

    def iterate(self, items: AsyncIterator[_Result]) -> Iterator[_Result]:
        """Yield what an asynchronous iterator yields; close it when nobody wants more."""
        last: asyncio.Task[Any] | None = None

        async def following() -> _Result:
            nonlocal last
            last = asyncio.current_task()
            return await anext(items)

        async def closing(items: AsyncGenerator[_Result]) -> None:
            # Whoever is interrupted waits no more, but what they waited for may not have ended yet.
            if last is not None and not last.done():
                if not last.cancelling():
                    last.cancel()
                await asyncio.wait([last])
            await items.aclose()

        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield self.wait(following())
        finally:
            # When the client was closed before, that closed this too.
            if isinstance(items, AsyncGenerator) and not self._loop.is_closed():
                self.wait(closing(items))

    @property
    def is_here(self) -> bool:
        """Whether this is the process that has the thread."""
        return self._process.is_here

    def stop(self) -> None:
        """End the thread; in a forked child there is none."""
        if not self._process.is_here:
            return
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class CallSession:
    """A call that was granted: `with client.call(question) as call:`. See the asynchronous one."""

    def __init__(self, background: _Background, twin: AsyncCallSession) -> None:
        self._background = background
        self._twin = twin

    def answered(self) -> None:
        """Say that the called party answered: from now on seconds count."""
        self._background.do(self._twin.answered)

    def hung_up(self) -> None:
        """Say that the talk is over; what follows in the block is not counted."""
        self._background.do(self._twin.hung_up)

    def ask_again(self, question: pb.AuthorizeCallRequest) -> None:
        """Ask about the running call anew. Raises `CallRefused`: then it has to end."""
        self._background.wait(self._twin.ask_again(question))

    def over(self, seconds: float | None = None) -> Ending:
        """Wait until the call has to end. Raises `TimeoutError` where it may go on after that."""
        return self._background.wait(self._twin.over(), seconds)

    def limits(self) -> Iterator[float]:
        """Yield for how many seconds from now the call may go on, whenever that changed."""
        return self._background.iterate(self._twin.limits())

    def leave(self) -> None:
        """Look after the call no more without ending it: it goes on, and somebody else reports."""
        self._background.wait(self._twin.leave())

    def pushes(self) -> Iterator[pb.ControlItem]:
        """Yield what the engine says of the call by itself; only for calls of a bridge's stream."""
        return self._background.iterate(self._twin.pushes())

    @property
    def question(self) -> pb.AuthorizeCallRequest:
        """The question the call was asked for by, filled in."""
        return self._twin.question

    @property
    def answer(self) -> pb.AuthorizeCallResponse:
        """The answer it runs on."""
        return self._twin.answer

    @property
    def settlement(self) -> pb.SettleCallResponse | None:
        """What the call came to; None before its end, and where it could not be told yet."""
        return self._twin.settlement

    @property
    def is_spooled(self) -> bool:
        """Whether its end waits for the engine to come back."""
        return self._twin.is_spooled

    @property
    def call_id(self) -> str:
        """The gateway's id of the call."""
        return self._twin.call_id

    @property
    def tenant_id(self) -> str:
        """The payer's tenant."""
        return self._twin.tenant_id

    @property
    def is_emergency(self) -> bool:
        """Whether it is an emergency call: not metered, without an end."""
        return self._twin.is_emergency

    @property
    def dial_as(self) -> str:
        """The digits to route an emergency call by."""
        return self._twin.dial_as

    @property
    def is_by_own_rules(self) -> bool:
        """Whether this gateway let the call pass, because the engine did not answer."""
        return self._twin.is_by_own_rules

    @property
    def used_seconds(self) -> int:
        """Seconds since the answer, a second begun counted whole."""
        return self._twin.used_seconds

    @property
    def granted_seconds(self) -> int | None:
        """Seconds since the answer that are granted so far; None for an emergency."""
        return self._twin.granted_seconds

    @property
    def is_final(self) -> bool:
        """Whether no more time will be granted."""
        return self._twin.is_final

    @property
    def ending(self) -> Ending | None:
        """Why the call has to end; None as long as it may go on."""
        return self._twin.ending

    def __enter__(self) -> Self:
        self._background.wait(self._twin.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._background.wait(self._twin.__aexit__(kind, error, traceback))


class _Questions:
    """The questions that a client asks by unary methods and a bridge on its stream."""

    def __getattr__(self, name: str) -> Any:
        """Say what is wrong where somebody asks for what only the start of a client makes."""
        if name in {"_background", "_asking"}:
            raise ClientMisused(NOT_OPEN)
        raise AttributeError(name)

    def __init__(self, background: _Background, twin: asynchronous.Client | AsyncControl) -> None:
        self._background = background
        self._asking = twin

    def authorize_call(
        self, question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed; a refusal is returned, not raised."""
        return self._wait(self._asking.authorize_call(question, deadline_seconds=deadline_seconds))

    def authorize_calls(
        self, question: pb.AuthorizeCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallsResponse:
        """Ask about several legs in one step. Their call ids are the caller's to give."""
        return self._wait(self._asking.authorize_calls(question, deadline_seconds=deadline_seconds))

    def extend_call(
        self, question: pb.ExtendCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ExtendCallResponse:
        """Report the use of a call and ask for more time; a refusal is returned, not raised."""
        return self._wait(self._asking.extend_call(question, deadline_seconds=deadline_seconds))

    def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        """Report the end of a call."""
        return self._wait(self._asking.settle_call(question, deadline_seconds=deadline_seconds))

    def release_call(
        self, question: pb.ReleaseCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ReleaseCallResponse:
        """Report that nobody answered a call."""
        return self._wait(self._asking.release_call(question, deadline_seconds=deadline_seconds))

    def call(
        self,
        question: pb.AuthorizeCallRequest,
        granted: pb.AuthorizeCallResponse | None = None,
    ) -> CallSession:
        """Run one call: `with client.call(question) as call:`. See the asynchronous one."""
        twin = self._background.do(self._asking.call, question, granted)
        return CallSession(self._background, twin)

    def _wait(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        try:
            background = self._background
        except ClientMisused:
            work.close()
            raise
        return background.wait(work)


class Control(_Questions):
    """A bridge's stream: `with client.control(tenant_ids) as control:`. See `callgate.Control`."""

    def __init__(self, background: _Background, twin: AsyncControl) -> None:
        super().__init__(background, twin)
        self._twin = twin

    def pushes(self) -> Iterator[Push]:
        """Yield what the engine says by itself. Raises why, when there will be no more."""
        return self._background.iterate(self._twin.pushes())

    @property
    def ended(self) -> CallgateError | None:
        """Why there is no stream any more; None as long as there is."""
        return self._twin.ended

    @property
    def streams_opened(self) -> int:
        """How many streams there were so far."""
        return self._twin.streams_opened

    def __enter__(self) -> Self:
        self._wait(self._twin.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wait(self._twin.__aexit__(kind, error, traceback))


class Client(_Questions):
    """Asks an engine: `with Client("host:port") as client:`. See `callgate.Client`.

    It may be used by many threads at once.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, options: ClientOptions | None = None
    ) -> None:
        self._twin = asynchronous.Client(address, options)

    @property
    def address(self) -> str:
        """Where the engine listens."""
        return self._twin.address

    @property
    def options(self) -> ClientOptions:
        """What this gateway chose."""
        return self._twin.options

    def start(self) -> None:
        """Begin: start the thread, open a connection and the spool. `with` does it."""
        super().__init__(_Background(), self._twin)
        try:
            self._wait(self._twin.start())
        except BaseException:
            self._background.stop()
            raise

    def close(self) -> None:
        """End: let reports under way come to their end, close everything, end the thread."""
        if not self._background.is_here:
            # A forked child has its parent's object, and neither its thread nor its connections.
            return
        try:
            self._wait(self._twin.close())
        finally:
            self._background.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def control(self, tenant_ids: Sequence[str]) -> Control:
        """Carry all calls of this gateway over one stream: `with client.control(...)`."""
        return Control(self._background, self._background.do(self._twin.control, tenant_ids))

    def admit(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed; if nobody answers, by the gateway's own rules."""
        return self._wait(self._twin.admit(question))

    @property
    def undelivered(self) -> int:
        """How many ends of calls wait for the engine to come back."""
        return self._twin.undelivered

    def list_calls(
        self, question: pb.ListCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.ListCallsResponse:
        """List running calls of one tenant, a page at a time."""
        return self._wait(self._twin.list_calls(question, deadline_seconds=deadline_seconds))

    def get_emergency_numbers(
        self, question: pb.GetEmergencyNumbersRequest, *, deadline_seconds: float | None = None
    ) -> pb.GetEmergencyNumbersResponse:
        """Read the numbers to let pass when no answer comes."""
        return self._wait(
            self._twin.get_emergency_numbers(question, deadline_seconds=deadline_seconds)
        )

    def get_balance(
        self, question: GetBalanceRequest, *, deadline_seconds: float | None = None
    ) -> GetBalanceResponse:
        """Read the money of one tenant."""
        return self._wait(self._twin.get_balance(question, deadline_seconds=deadline_seconds))

    def watch(self, question: WatchDebitsRequest) -> Iterator[WatchDebitsResponse | NewEpoch]:
        """Yield a tenant's movements as they happen, without gap or duplicate, for ever."""
        return self._background.iterate(self._twin.watch(question))

    def ask(
        self,
        method: str,
        question: Message,
        answer_type: type[_Answer],
        *,
        key: str = "",
        deadline_seconds: float | None = None,
    ) -> _Answer:
        """Ask any question of the contract ("CreditService/GetBalance")."""
        return self._wait(
            self._twin.ask(
                method, question, answer_type, key=key, deadline_seconds=deadline_seconds
            )
        )
