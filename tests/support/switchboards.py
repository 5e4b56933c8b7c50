"""An engine inside the test: real store, real gRPC, facts and a clock that the test sets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

import facts as fact_builders
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from ledgers import ManualClock
from policy.facts import Catalogue, Tenant
from policy.lot_life import LotLife
from server.access.open_streams import OpenStreams
from server.app.calls import CallServices, assemble_verbs
from server.archive import Archive, ArchivedCall, SoughtCall
from server.calls.fast_path import FastPath
from server.calls.handlers import CallHandlers
from server.calls.load_shedding import LoadShedder, Waiting
from server.calls.opening import Opening
from server.facts import FactsInUse, Snapshot
from server.facts.directory import Directory
from server.ledger import Balance, OpenAccount
from server.ledger.estimates import RoomReader
from server.ledger.journal import JournalSource, Tailer
from server.ledger.keys import partition_of
from server.ledger.redis_ledger import RedisLedger
from server.ledger.running_calls import CallReader
from server.observability.masks import Masks
from server.observability.metrics import Metrics
from server.observability.records import Records
from server.services.authorization import Authorization
from server.services.bridge_stream import Control, Following, Standings
from server.services.bridge_stream.newest import NewestStreams
from server.services.interceptor import Interceptor
from server.settings import Settings
from server.storage.redis import Store, WakeUps
from server.transport import TransportName, TransportOptions, TransportServer, make_server
from serving import OWN_CONNECTION

GATEWAY = "bridge-1"
ITALY = "+390612345678"
SECONDS = 10.0
_call_ids = (f"call-{number}@bridge" for number in itertools.count())


class FixedFacts:
    """The facts in use, as a test puts them there; stands in for `FactsInUse`."""

    def __init__(self, *tenants: Tenant, catalogue: Catalogue | None = None) -> None:
        catalogue = catalogue or fact_builders.a_catalogue()
        self.current = Snapshot(catalogue, Directory.of(tenants))

    async def tenant_with_digest(self, tenant_id: str, digest: str) -> Tenant | None:
        tenant = self.current.directory.tenants.get(tenant_id)
        return tenant if tenant is not None and tenant.digest == digest else None


class NoArchive:
    """An archive that knows what a test puts there."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, str], ArchivedCall] = {}

    async def find_call(self, sought: SoughtCall) -> ArchivedCall | None:
        return self.calls.get((sought.tenant_id, sought.gateway_id, sought.call_id))


@dataclass
class Switchboard:
    """One store and its clock; engines are served on it, as many as a test wants."""

    url: str
    store: Store
    facts: FixedFacts
    settings: Settings
    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    archive: NoArchive = field(default_factory=NoArchive)
    # One that knows what a keeper told it, in place of the other.
    real_archive: Archive | None = None
    # Tenants whose journal is full.
    full: set[str] = field(default_factory=set)

    @property
    def ledger(self) -> RedisLedger:
        return RedisLedger(self.store, self.clock)

    async def open(self, balance: int | None, tenant_id: str = "contoso") -> None:
        """Open or re-describe an account as the facts describe its tenant."""
        tenant = self.facts.current.directory.tenants[tenant_id]
        expire_ms = self.clock.now_ms() + 365 * 24 * 3_600_000
        await self.ledger.install()
        await self.ledger.open_account(
            OpenAccount(
                tenant_id,
                tenant.currency,
                tenant.digest,
                True,
                balance,
                opening_expire_ms=expire_ms,
            )
        )

    async def change(self, tenant_id: str = "contoso", **changes: Any) -> None:
        """Change facts of a tenant, as a reload does: first the account knows, then the process."""
        old = self.facts.current.directory.tenants[tenant_id]
        new = dataclasses.replace(old, digest=f"{old.digest}+", **changes)
        self.facts.current.directory.put(new)
        await self.open(None, tenant_id)

    async def balance(self, tenant_id: str = "contoso") -> Balance:
        return await self.ledger.read_balance(tenant_id)

    async def money(self, tenant_id: str = "contoso") -> tuple[int | None, int, int]:
        """Read (available, reserved, debited), and see that nothing was lost or made."""
        balance = await self.balance(tenant_id)
        spent = balance.debited_micros - balance.refunded_micros + balance.expired_micros
        there = (balance.available_micros or 0) + balance.reserved_micros
        assert balance.funded_micros + balance.post_paid_micros == there + spent
        return balance.available_micros, balance.reserved_micros, balance.debited_micros

    async def expire(self, tenant_id: str = "contoso") -> int:
        return await self.ledger.expire(partition_of(tenant_id), 100)

    async def journal(self, tenant_id: str = "contoso") -> list[str]:
        """List the kinds of the entries of a partition, the oldest first."""
        from server.ledger.journal.entries import JournalReader

        entries = await JournalReader(self.store).read(partition_of(tenant_id))
        return [entry.kind for entry in entries]

    @contextlib.asynccontextmanager
    async def serve(
        self, transport: TransportName = "grpcio", heartbeat_seconds: float = 60.0
    ) -> AsyncIterator[Served]:
        """Serve one engine."""
        inner = make_server(transport, TransportOptions())
        verbs, metrics = self._verbs()
        source = JournalSource(self.store, None)
        tailer = Tailer(source, WakeUps(self.url))
        standings = Standings(NewestStreams(self.store))
        following = Following(tailer, RoomReader(self.store), verbs.authorizer, verbs.advice)
        quick = FastPath(verbs.authorizer, self.ledger, verbs.advice)
        control = Control(verbs, standings, following, quick, heartbeat_seconds)
        count = metrics.count_failure
        guarded = Interceptor(inner, None, OpenStreams(), count_failure=count)
        Authorization(verbs, control, quick, count, guarded).register()
        port = inner.add_insecure_port("127.0.0.1:0")
        await inner.start()
        served = Served(f"127.0.0.1:{port}", inner, verbs, standings)
        duties = [asyncio.create_task(one) for one in (tailer.run(), standings.run())]
        try:
            yield served
        finally:
            await served.close()
            await inner.stop(0)
            tailer.stop()
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)

    def _verbs(self) -> tuple[CallHandlers, Metrics]:
        metrics = Metrics()
        facts = cast("FactsInUse", self.facts)
        masks = Masks(b"key", digits=4, accounts=False)
        verbs = assemble_verbs(
            CallServices(
                settings=self.settings,
                facts=facts,
                ledger=self.ledger,
                ledger_is_up=lambda: True,
                journal_is_full=self.full.__contains__,
                calls=CallReader(self.store),
                find_archived=(self.real_archive or self.archive).find_call,
                load=LoadShedder(Waiting(self.store.waiting, self.store.oldest_seconds), SECONDS),
                records=Records(str(self.folder / "records"), masks, most=1_000),
                metrics=metrics,
                now_ms=self.clock.now_ms,
                now_without_store_ms=self.clock.now_ms,
                deadline_seconds=SECONDS,
                opening=Opening(
                    self.ledger, facts, self.clock.now_ms, LotLife(days=1), "The store of the test"
                ),
            )
        )
        return verbs, metrics


@dataclass
class Served:
    """One engine that is served, and channels to it."""

    target: str
    inner: TransportServer
    verbs: CallHandlers
    standings: Standings
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(self.target, options=(*OWN_CONNECTION, *options))
        self.channels.append(channel)
        return channel

    @property
    def stub(self) -> Any:
        if not self.channels:
            self.channel()
        return AuthorizationServiceStub(self.channels[0])

    async def raw(self, method: str, request: Any) -> bytes:
        """Ask, and get the bytes of the answer."""
        if not self.channels:
            self.channel()
        name = f"/callgate.v1.AuthorizationService/{method}"
        ask: Any = self.channels[0].unary_unary(name)
        return cast("bytes", await ask(request.SerializeToString(), timeout=SECONDS))

    async def bridge(
        self, *tenant_ids: str, gateway_id: str = GATEWAY, options: Any = ()
    ) -> Bridge:
        """Open a stream and say hello, on a connection of its own."""
        bridge = Bridge(AuthorizationServiceStub(self.channel(*options)).ControlCalls())
        hello = pb.ControlHello(gateway_id=gateway_id, tenant_ids=tenant_ids)
        await bridge.stream.write(pb.ControlCallsRequest(hello=hello))
        return bridge

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


_KINDS = {
    pb.AuthorizeCallRequest: "authorize_call",
    pb.AuthorizeCallsRequest: "authorize_calls",
    pb.ExtendCallRequest: "extend_call",
    pb.SettleCallRequest: "settle_call",
    pb.ReleaseCallRequest: "release_call",
    pb.CallAnnouncement: "announcement",
}


class Bridge:
    """One stream of a bridge: what it asks, and what it got."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.messages: list[int] = []
        self._items: list[pb.ControlItem] = []
        self._numbers = itertools.count(1)
        self._reading: asyncio.Future[Any] | None = None

    def question(self, request: Any) -> pb.ControlQuestion:
        kind: Any = {_KINDS[type(request)]: request}
        return pb.ControlQuestion(item_id=next(self._numbers), **kind)

    async def ask(self, *requests: Any) -> list[pb.ControlItem]:
        """Ask in one message; return the answers in the order of the questions."""
        questions = [self.question(request) for request in requests]
        await self.send(*questions)
        return [await self.answer(question.item_id) for question in questions]

    async def send(self, *questions: pb.ControlQuestion) -> None:
        await self.stream.write(pb.ControlCallsRequest(questions=questions))

    async def answer(self, item_id: int) -> pb.ControlItem:
        return await self._find(lambda item: item.item_id == item_id)

    async def pushed(self, kind: str, call_id: str = "") -> Any:
        """Wait for a push of this kind, about this call."""

        def wanted(item: pb.ControlItem) -> bool:
            if item.item_id or item.WhichOneof("item") != kind:
                return False
            return call_id in {"", getattr(item, kind).call_id}

        return getattr(await self._find(wanted), kind)

    def has(self, kind: str, *, tenant_id: str) -> bool:
        """Say whether a push of this kind came that nobody took yet."""
        items = (item for item in self._items if item.WhichOneof("item") == kind)
        return any(getattr(item, kind).tenant_id == tenant_id for item in items)

    async def quiet(self, *kinds: str, seconds: float = 1.5) -> None:
        """See that no push of these kinds comes for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self._more()
        told = {item.WhichOneof("item") for item in self._items if not item.item_id}
        assert not told & set(kinds), told

    async def ended(self) -> tuple[str, str, dict[str, str]]:
        """Read to the end of the stream; say how it ended."""
        return await failure(self._to_the_end())

    async def _to_the_end(self) -> None:
        async with asyncio.timeout(SECONDS):
            while True:
                await self._more()

    async def _find(self, wanted: Any) -> pb.ControlItem:
        async with asyncio.timeout(SECONDS):
            while True:
                for item in self._items:
                    if wanted(item):
                        self._items.remove(item)
                        return item
                await self._more()

    async def _more(self) -> None:
        # A read that is cancelled would cancel the stream: it goes on for whoever waits next.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.stream.read())
        message = await asyncio.shield(self._reading)
        self._reading = None
        assert message is not grpc.aio.EOF, "the stream ended"
        self.messages.append(len(message.items))
        self._items += message.items


@contextlib.asynccontextmanager
async def switchboard(url: str, *tenants: Tenant, **settings: Any) -> AsyncIterator[Switchboard]:
    """Open an empty store for tenants."""
    store = Store(url)
    await store.command("FLUSHALL")
    folder = Path(tempfile.mkdtemp(prefix="cg-"))
    board = Switchboard(url, store, FixedFacts(*tenants), Settings(**settings), folder)
    try:
        yield board
    finally:
        await store.close()
        shutil.rmtree(folder, ignore_errors=True)


def adele(*more: Any, **changes: Any) -> Tenant:
    """Build contoso: adele calls on credits alone, 0.10 a minute, 60/60, unless told otherwise."""
    user = fact_builders.a_user("adele", "MCOEV", "MCOPSTN_PAYG_2", "MCOPSTNPP")
    return fact_builders.a_tenant(user, *more, **changes)


def authorize(called_number: str = ITALY, **changes: Any) -> pb.AuthorizeCallRequest:
    """Build a question about a new call of adele; `seconds`, and `user_id`, are short for both."""
    seconds, user_id = changes.pop("seconds", 60), changes.pop("user_id", "adele")
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "gateway_id": GATEWAY,
        "call_id": next(_call_ids),
        "sequence": 1,
        "called_number": called_number,
        "requested_duration": Duration(seconds=seconds),
    }
    kinds = {one.name for one in pb.AuthorizeCallRequest.DESCRIPTOR.oneofs[0].fields}
    if not kinds & changes.keys():
        fields["user_call"] = pb.UserCall(user_id=user_id)
    return pb.AuthorizeCallRequest(**(fields | changes))


def _of(call: pb.AuthorizeCallRequest, sequence: int, changes: dict[str, Any]) -> dict[str, Any]:
    fields = {"tenant_id": call.tenant_id, "gateway_id": call.gateway_id, "call_id": call.call_id}
    return fields | {"sequence": sequence} | changes


def extend(
    call: pb.AuthorizeCallRequest, sequence: int, used: int, more: int | None = 60, **changes: Any
) -> pb.ExtendCallRequest:
    """Build a report on a call, with the wish for more."""
    if more is not None:
        changes["requested_duration"] = Duration(seconds=more)
    return pb.ExtendCallRequest(
        used_duration=Duration(seconds=used), **_of(call, sequence, changes)
    )


def settle(
    call: pb.AuthorizeCallRequest, sequence: int, used: int, **changes: Any
) -> pb.SettleCallRequest:
    """Build the end of a call."""
    return pb.SettleCallRequest(
        used_duration=Duration(seconds=used), **_of(call, sequence, changes)
    )


def release(call: pb.AuthorizeCallRequest, sequence: int, **changes: Any) -> pb.ReleaseCallRequest:
    """Build the end of a call that nobody answered."""
    return pb.ReleaseCallRequest(**_of(call, sequence, changes))


async def failure(answer: Any) -> tuple[str, str, dict[str, str]]:
    """Wait for what has to fail: its status, and reason and metadata of its ErrorInfo."""
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        info = ErrorInfo()
        status = rpc_status.from_call(cast("grpc.Call", error))
        if status is not None:
            status.details[0].Unpack(info)
        return error.code().name, info.reason, dict(info.metadata)
    raise AssertionError("it did not fail")
