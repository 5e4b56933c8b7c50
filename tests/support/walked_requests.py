"""Requests for money to move that die between two steps, and the world that changes meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from keepers import House, drained
from ledgers import an_account
from policy.rating import MAX_WHOLE_NUMBER
from server.funding.applying import Kind
from server.funding.funding_rows import hold_funding, save_funding
from server.funding.refunds import DEBIT, Reference, refund_parts
from server.funding.request_rows import FundingRequest, RequestState, find_request
from server.funding.requests import Asked
from server.ledger import DirectDebit, TopUp
from server.ledger.keys import partition_of
from snapshots import Snapshot, copy_of, go_back_to
from till_victims import Victim
from tills import DAY_MS, UNIT, Till

MICROS = 5 * UNIT
OPENING = 20 * UNIT
YEAR_SECONDS = 400 * DAY_MS // 1_000


@dataclass(slots=True)
class Walk:
    """One request of a sender's that stops before a step, on accounts of its own.

    It dies there, or sleeps and goes on when keepers have done their work.
    """

    till: Till
    kind: Kind
    step: int
    fate: str
    victim: Victim | None = None
    # What came in and went out of each account besides the request.
    others: Counter[str] = field(default_factory=Counter)

    @property
    def house(self) -> House:
        return self.till.house

    @property
    def sender(self) -> str:
        return f"sender-{self.kind.value}-{self.step}-{self.fate}"

    @property
    def receiver(self) -> str:
        return f"receiver-{self.kind.value}-{self.step}-{self.fate}"

    @property
    def tenants(self) -> tuple[str, str]:
        return self.sender, self.receiver

    async def open(self) -> None:
        """Open both accounts, with money that lasts; a refund has something to give back."""
        for tenant in self.tenants:
            await self.house.ledger.open_account(an_account(None, tenant=tenant))
            for lot in ("first", "second"):
                await self.put_in(tenant, OPENING // 2, lot)
        if self.kind is Kind.REFUND:
            spent = OPENING - UNIT
            done = await self.till.funding_requests.ask(self._asked(Kind.DEBIT, "spent", spent))
            assert done.state is RequestState.APPLIED
            self.others[self.sender] -= spent

    async def put_in(self, tenant: str, micros: int, lot_id: str) -> None:
        far_ms = self.house.clock.now_ms() + 700 * DAY_MS
        await self.house.ledger.top_up(TopUp(tenant, lot_id, micros, far_ms))
        self.others[tenant] += micros

    async def take_out(self, tenant: str, micros: int, debit_id: str) -> None:
        await self.house.ledger.debit(DirectDebit(tenant, debit_id, micros))
        self.others[tenant] -= micros

    async def balance(self, tenant: str) -> int:
        return (await self.house.ledger.read_balance(tenant)).balance_micros or 0

    def asked(self) -> Asked:
        """Build the request, as the service does."""
        return self._asked(self.kind, "asked", MICROS)

    def _asked(self, kind: Kind, name: str, micros: int) -> Asked:
        return Asked(
            tenant_id=self.sender,
            request_id=name,
            kind=kind,
            identity_id="anybody",
            content={"micros": str(micros)},
            settle=lambda c, _row: self._body(c, kind, name, micros=micros),
            reference="debit:spent" if kind is Kind.REFUND else "",
        )

    def _body(
        self, connection: Connection, kind: Kind, name: str, *, micros: int
    ) -> Mapping[str, Any]:
        body: dict[str, Any] = {
            "debit_id": f"debit:{name}",
            "micros": micros,
            "overdraft_micros": 0,
            "lot_id": f"lot:{name}",
            "expire_ms": self.house.clock.now_ms() + 300 * DAY_MS,
        }
        match kind:
            case Kind.TRANSFER:
                return body | {"to_tenant_id": self.receiver, "currency": "USD"}
            case Kind.REFUND:
                split = refund_parts(
                    connection, self.sender, Reference(DEBIT, "spent"), micros=12 * UNIT
                )
                return {"parts": [[f"{name}:{n}", *part] for n, part in enumerate(split)]}
            case Kind.VOID_LOT:
                return {"lot_id": "first"}
            case Kind.REVERSAL:
                return body | {"taking_id": "taking", "lot_id": "second"}
            case Kind.FREEZE | Kind.CLOSE:
                return {"frozen": True}
            case _:
                return body

    async def found(self) -> FundingRequest | None:
        """Read how the request stands."""
        return await self.house.archive.database.read(
            lambda c: find_request(c, self.sender, "asked")
        )

    def effect(self, request: FundingRequest | None) -> Counter[str]:
        """Say what a request that ended so has moved into which account."""
        if request is None or request.state is not RequestState.APPLIED:
            return Counter()
        match self.kind:
            case Kind.TOP_UP | Kind.RESTORATION:
                return Counter({self.sender: MICROS})
            case Kind.DEBIT:
                return Counter({self.sender: -MICROS})
            case Kind.TRANSFER:
                return Counter({self.sender: -MICROS, self.receiver: MICROS})
            case Kind.REFUND:
                return Counter({self.sender: 12 * UNIT})
            case _:
                return Counter()

    async def require_conserved(self, archived: Mapping[str, int]) -> None:
        """Assert that accounts had what came in less what went out, in ledger and archive alike."""
        request = await self.found()
        assert request is None or request.state is not RequestState.ACCEPTED, request
        wanted = self.others.copy()
        wanted.update(self.effect(request))
        for tenant in self.tenants:
            there = await self.house.ledger.read_balance(tenant)
            left = there.balance_micros or 0
            came_in = left + there.expired_micros + there.voided_micros
            assert came_in == wanted[tenant], (tenant, request)
            assert archived[tenant] == left, (tenant, request)


@dataclass(slots=True)
class World:
    """Where requests are under way, one of each kind."""

    walks: Sequence[Walk]
    snapshot: Snapshot = field(default_factory=list)

    @property
    def house(self) -> House:
        return self.walks[0].house

    async def open(self) -> None:
        """Open all accounts, and let that be archived."""
        for walk in self.walks:
            await walk.open()
        await drained(self.house)

    def stopped(self, fate: str) -> Iterator[Victim]:
        """List the requests that stand before a step and have one fate."""
        for walk in self.walks:
            if walk.victim is not None and walk.fate == fate:
                yield walk.victim

    @property
    def accounts(self) -> Iterator[tuple[Walk, str]]:
        """List each account with the request it is of."""
        return ((walk, tenant) for walk in self.walks for tenant in walk.tenants)


Change = Callable[[World], Awaitable[None]]


async def _nothing(_: World) -> None:
    """Leave the world as it is."""


async def _fill(world: World) -> None:
    """Let no account have room for more than a micro."""
    for walk, tenant in world.accounts:
        await walk.put_in(tenant, MAX_WHOLE_NUMBER - await walk.balance(tenant) - 1, "fill")


async def _spend(world: World) -> None:
    """Spend all that is there."""
    for walk, tenant in world.accounts:
        if there := await walk.balance(tenant):
            await walk.take_out(tenant, there, "spend")


async def _earn(world: World) -> None:
    """Let more come in."""
    for walk, tenant in world.accounts:
        await walk.put_in(tenant, 7 * UNIT, "earn")


async def _expire(world: World) -> None:
    """Let what is to come in be over before it comes."""
    world.house.clock.pass_seconds(YEAR_SECONDS)


async def _close(world: World) -> None:
    """Close all accounts, and freeze them."""

    def close(connection: Connection) -> None:
        for _, tenant in world.accounts:
            row = hold_funding(connection, tenant)
            row.closed = True
            save_funding(connection, row)

    await world.house.archive.database.write(close)
    for _, tenant in world.accounts:
        await world.house.ledger.freeze(tenant, frozen=True)


async def _remember(world: World) -> None:
    await drained(world.house)
    world.snapshot = await copy_of(world.house.store)


async def _fill_and_remember(world: World) -> None:
    await _fill(world)
    await _remember(world)


async def _fall_back(world: World) -> None:
    """Lose all that was done since, before it was archived."""
    await go_back_to(world.house.store, world.snapshot)


async def _fall_back_archived(world: World) -> None:
    """Lose all that was done since, and have it in the archive."""
    await drained(world.house)
    await _fall_back(world)


async def _fall_back_and_spend(world: World) -> None:
    await _fall_back(world)
    await _spend(world)


# What the world is like before the request, and how it changes while that is left behind.
WORLDS: Mapping[str, tuple[Change, Change]] = {
    "as it was": (_nothing, _nothing),
    "full, then spent": (_fill, _spend),
    "filled": (_nothing, _fill),
    "poor, then rich": (_spend, _earn),
    "spent": (_nothing, _spend),
    "expired": (_nothing, _expire),
    "closed": (_nothing, _close),
    "fallen back": (_remember, _fall_back),
    "fallen back, archived": (_remember, _fall_back_archived),
    "fallen back, spent": (_remember, _fall_back_and_spend),
    "full, fallen back": (_fill_and_remember, _fall_back),
}


async def settle_down(world: World) -> None:
    """Let keepers do what was left behind, and look at what they did until it is archived."""
    for _ in range(2):
        world.house.clock.pass_seconds(60)
        await world.walks[0].till.work()


async def make_room(world: World, debit_id: str) -> None:
    """Spend where a request waits for room."""
    for walk in world.walks:
        request = await walk.found()
        if request is not None and request.state is RequestState.ACCEPTED:
            for tenant in walk.tenants:
                await walk.take_out(tenant, 50 * UNIT, debit_id)
    await settle_down(world)


async def require_conserved(world: World) -> None:
    """Assert it of every account."""
    for _, tenant in world.accounts:
        await world.house.ledger.read_balance(tenant)
    await drained(world.house)
    partitions = {partition_of(tenant) for _, tenant in world.accounts}
    archived: dict[str, int] = {}
    for partition in partitions:
        images = (await world.house.archive.preview(partition, [])).accounts
        archived |= {image.account.tenant_id: image.account.balance_micros for image in images}
    for walk in world.walks:
        await walk.require_conserved(archived)
