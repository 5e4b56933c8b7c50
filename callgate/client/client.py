"""The asynchronous client: every question to an engine, and calls that are looked after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from callgate.client.clock import Clock, SystemClock
from callgate.client.connections import Connections
from callgate.client.control import Control
from callgate.client.emergency import EmergencyNumbers
from callgate.client.endings import Desk
from callgate.client.fallback import FailClosed, FirstQuestion, OwnRules
from callgate.client.reports import Reports
from callgate.client.retries import Retries, default_deadline_seconds
from callgate.client.session import CallSession
from callgate.client.watching import NewEpoch, watch
from callgate.connection import DEFAULT_ADDRESS, open_channel
from callgate.credentials import ANONYMOUS, Credentials
from callgate.errors import CallgateError, ClientMisused
from callgate.opened import NOT_OPEN, check_address
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.debits_pb2 import WatchDebitsRequest, WatchDebitsResponse
from callgate.v1.server_info_pb2 import GetServerInfoRequest, GetServerInfoResponse

# How often what changes seldom is looked at: emergency numbers, processes of the engine.
LOOK_SECONDS = 600.0
FIRST_LOOK_SECONDS = 1.0
# How often it is looked whether the engine's store was filled anew.
EPOCH_SECONDS = 5.0
DEFAULT_GATEWAY = "callgate-client"

_AUTHORIZATION = "AuthorizationService"
_SERVER_INFO = "ServerInfoService/GetServerInfo"
_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What a gateway may choose.

    Attributes:
        gateway_id: The session border controller cluster or bridge that asks; fills every question
            that names none.
        deadline_seconds: How long a question may take, retries included.
        credentials: What the engine is known by, and what it is shown.
        first_question: What becomes of a call whose first question nobody answers.
        state_folder: Where emergency numbers and undelivered reports outlive this process. None:
            they do not.
        clock: What calls are measured by.
    """

    gateway_id: str = DEFAULT_GATEWAY
    deadline_seconds: float = field(default_factory=default_deadline_seconds)
    credentials: Credentials = ANONYMOUS
    first_question: FirstQuestion = field(default_factory=FailClosed)
    state_folder: Path | None = None
    clock: Clock = field(default_factory=SystemClock)


class Client:
    """Asks an engine at `address` ("host:port" or "unix:/path").

    Used as `async with Client(address) as client:`. Raises `AddressWrong` at once, and from any
    method `ClientMisused` where it is not open or belongs to the process that forked this one.

    Questions and answers are the messages of `callgate.v1`. A refusal is returned. Every method
    raises `Mistake` or `NoAnswer` (see `callgate.errors`), the latter after repeating, within the
    deadline, what is safe to repeat.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, options: ClientOptions | None = None
    ) -> None:
        check_address(address)
        self.address = address
        self.options = options or ClientOptions()
        self._retries = Retries()
        # How often the engine's store was filled anew, as it says; 0 while that is not known.
        self.store_epoch = 0
        self._tasks: list[asyncio.Task[None]] = []

    def __getattr__(self, name: str) -> Any:
        """Say what is wrong where somebody asks for what only `start` makes."""
        if name in {"_connections", "_desk", "_reports", "_numbers"}:
            raise ClientMisused(NOT_OPEN)
        raise AttributeError(name)

    async def start(self) -> None:
        """Begin: open a connection and the spool. `async with` does it.

        Raises `SpoolTrouble` where another process uses the state folder, `OSError` where a file of
        it or of the credentials cannot be read, and `ValueError` where others could read the token.
        """
        folder = self.options.state_folder
        if folder is not None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Ends of calls tell who called whom.
            folder.mkdir(mode=0o700, exist_ok=True)
        shown = self.options.credentials
        self._connections = Connections(lambda: open_channel(self.address, shown), shown.metadata)
        self._reports = Reports(folder)
        self._numbers = EmergencyNumbers(folder / "emergency-numbers" if folder else None)
        rules = OwnRules(self.options.first_question, self._numbers)
        self._desk = Desk(
            self,
            rules,
            self._reports,
            clock=self.options.clock,
            gateway_id=self.options.gateway_id,
            deadline_seconds=self.options.deadline_seconds,
        )
        self._tasks = [
            asyncio.create_task(self._reports.keep_delivering(self)),
            asyncio.create_task(self._keep_looking()),
            asyncio.create_task(self._watch_the_store()),
        ]

    async def close(self) -> None:
        """End: let reports under way come to their end, close the connections and the spool."""
        while self._desk.unfinished:
            await asyncio.wait(self._desk.unfinished)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connections.close()
        self._reports.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- Calls that are looked after --------------------------------------------------------

    def call(
        self,
        question: pb.AuthorizeCallRequest,
        granted: pb.AuthorizeCallResponse | None = None,
    ) -> CallSession:
        """Run one call: `async with client.call(question) as call:`.

        An empty `gateway_id` or `call_id` and a sequence of 0 are filled in. `granted` is the
        answer of a leg that `authorize_calls` was asked about by this very question.
        """
        return CallSession(self._desk, self._desk.filled(question), granted)

    def control(self, tenant_ids: Sequence[str]) -> Control:
        """Carry all calls of this gateway over one stream: `async with client.control(...)`.

        `tenant_ids` are the tenants whose calls the engine tells of by itself.
        """
        hello = pb.ControlHello(gateway_id=self.options.gateway_id, tenant_ids=tenant_ids)
        return Control(self._connections, self._desk, self._retries, hello=hello)

    async def admit(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed; if nobody answers, let the gateway's own rules answer.

        An emergency passes by the numbers the engine listed last. Raises `NoAnswer` where the
        gateway fails closed.
        """
        answer, _ = await self._desk.admit(self._desk.filled(question))
        return answer

    @property
    def undelivered(self) -> int:
        """How many ends of calls wait for the engine to come back."""
        return self._reports.waiting

    # --- Questions --------------------------------------------------------------------------

    async def authorize_call(
        self, question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        """Ask whether a call may be placed; a refusal is returned, not raised."""
        asked = self._desk.filled(question)
        return await self.ask(
            f"{_AUTHORIZATION}/AuthorizeCall",
            asked,
            pb.AuthorizeCallResponse,
            key=asked.call_id,
            deadline_seconds=deadline_seconds,
        )

    async def authorize_calls(
        self, question: pb.AuthorizeCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallsResponse:
        """Ask about several legs in one step. Their call ids are the caller's to give."""
        asked = self._desk.filled_legs(question)
        return await self.ask(
            f"{_AUTHORIZATION}/AuthorizeCalls",
            asked,
            pb.AuthorizeCallsResponse,
            key=question.legs[0].call_id if question.legs else "",
            deadline_seconds=deadline_seconds,
        )

    async def extend_call(
        self, question: pb.ExtendCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ExtendCallResponse:
        """Report the use of a call and ask for more time; a refusal is returned, not raised."""
        return await self.ask(
            f"{_AUTHORIZATION}/ExtendCall",
            question,
            pb.ExtendCallResponse,
            key=question.call_id,
            deadline_seconds=deadline_seconds,
        )

    async def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        """Report the end of a call."""
        return await self.ask(
            f"{_AUTHORIZATION}/SettleCall",
            question,
            pb.SettleCallResponse,
            key=question.call_id,
            deadline_seconds=deadline_seconds,
        )

    async def release_call(
        self, question: pb.ReleaseCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.ReleaseCallResponse:
        """Report that nobody answered a call."""
        return await self.ask(
            f"{_AUTHORIZATION}/ReleaseCall",
            question,
            pb.ReleaseCallResponse,
            key=question.call_id,
            deadline_seconds=deadline_seconds,
        )

    async def list_calls(
        self, question: pb.ListCallsRequest, *, deadline_seconds: float | None = None
    ) -> pb.ListCallsResponse:
        """List running calls of one tenant, a page at a time."""
        return await self.ask(
            f"{_AUTHORIZATION}/ListCalls",
            question,
            pb.ListCallsResponse,
            deadline_seconds=deadline_seconds,
        )

    async def get_emergency_numbers(
        self, question: pb.GetEmergencyNumbersRequest, *, deadline_seconds: float | None = None
    ) -> pb.GetEmergencyNumbersResponse:
        """Read the numbers to let pass when no answer comes."""
        return await self.ask(
            f"{_AUTHORIZATION}/GetEmergencyNumbers",
            question,
            pb.GetEmergencyNumbersResponse,
            deadline_seconds=deadline_seconds,
        )

    async def get_balance(
        self, question: GetBalanceRequest, *, deadline_seconds: float | None = None
    ) -> GetBalanceResponse:
        """Read the money of one tenant."""
        return await self.ask(
            "CreditService/GetBalance",
            question,
            GetBalanceResponse,
            deadline_seconds=deadline_seconds,
        )

    def watch(self, question: WatchDebitsRequest) -> AsyncIterator[WatchDebitsResponse | NewEpoch]:
        """Yield a tenant's movements as they happen, without gap or duplicate, for ever.

        Goes on by itself after the last response when a stream ends. Raises `NoAnswer` where the
        engine does not answer in the beginning.
        """
        return watch(self._connections, question)

    async def ask(
        self,
        method: str,
        question: Message,
        answer_type: type[_Answer],
        *,
        key: str = "",
        deadline_seconds: float | None = None,
    ) -> _Answer:
        """Ask any question of the contract ("CreditService/GetBalance").

        Questions with the same key (a call's id) take the same connection. Only methods that
        `callgate/service_config.json` lists are asked again after trouble.
        """

        async def try_once(attempt: int, seconds: float) -> _Answer:
            connection = self._connections.pick(key, attempt)
            answer: _Answer = await connection.ask(
                method, question, answer_type=answer_type, seconds=seconds
            )
            return answer

        limit = self.options.deadline_seconds if deadline_seconds is None else deadline_seconds
        return await self._retries.ask(method, try_once, limit)

    async def _keep_looking(self) -> None:
        """Keep the emergency numbers up to date, and as many connections as the engine can use."""
        pause_seconds = FIRST_LOOK_SECONDS
        while True:
            try:
                told = await self.get_emergency_numbers(pb.GetEmergencyNumbersRequest())
                self._numbers.keep(told)
                info = await self.ask(_SERVER_INFO, GetServerInfoRequest(), GetServerInfoResponse)
                self._connections.fit(info.recommended_connections)
                pause_seconds = LOOK_SECONDS
            except (CallgateError, OSError) as trouble:
                # An engine that is older than GetServerInfo has one process: one connection is it.
                _log.info("What is known of the engine is not brought up to date: %s", trouble)
                pause_seconds = min(2 * pause_seconds, LOOK_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def _watch_the_store(self) -> None:
        """Tell the last ends again whenever the engine's store was filled anew."""
        while True:
            try:
                info = await self.ask(_SERVER_INFO, GetServerInfoRequest(), GetServerInfoResponse)
                was, self.store_epoch = self.store_epoch, info.store_epoch or self.store_epoch
                if 0 < was < self.store_epoch:
                    await self._reports.tell_again(self)
            except (CallgateError, OSError) as trouble:
                _log.info("Whether the store was filled anew is asked again: %s", trouble)
            await asyncio.sleep(EPOCH_SECONDS)
