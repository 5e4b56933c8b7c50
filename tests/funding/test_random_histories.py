"""Random histories of money in and out, with stores that lose things: all of it is accounted for.

What requests were answered as done, and calls were charged, is what the accounts have in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, select

from keepers import drained
from ledgers import an_account, by_the_second
from policy.rating import MAX_WHOLE_NUMBER
from server.archive.keeper.doctor import Doctor
from server.funding.applying import Kind
from server.funding.errors import FundingBusy, FundingRefused, NotArchivedYet
from server.funding.refunds import DEBIT, Reference, refund_parts
from server.funding.request_rows import FundingRequest, RequestState, find_request
from server.funding.requests import Asked
from server.funding.tables import FUNDING_REQUESTS
from server.ledger import LedgerError
from server.ledger.keys import partition_keys, partition_of
from server.ledger.partition_audit import Auditor
from snapshots import Snapshot, copy_of, go_back_to
from tills import DAY_MS, TENANT, UNIT, Till

TENANTS = (TENANT, "fabrikam", "third")
STEPS = 50
pytestmark = pytest.mark.parametrize("archive_url", ["sqlite"], indirect=True)


class History:
    """One history on three accounts; without `losses` nothing is lost, and accounts may be full."""

    def __init__(self, till: Till, seed: int) -> None:
        self.till = till
        self.random = Random(seed)
        self.losses = seed % 3 > 0
        self.number = 0
        self.lots: list[tuple[str, str]] = []
        self.debits: list[tuple[str, str]] = []
        self.snapshot: Snapshot | None = None

    async def step(self) -> None:
        """Do something."""
        self.number += 1
        asking = (self._top_up, self._debit, self._transfer, self._refund, self._void, self._take)
        going_on = (self._work, self._call, self._pass_time, self._drain)
        losing = (self._remember, self._fall_back, self._lose_all, self._cut_journal)
        steps: tuple[Callable[[], Awaitable[None]], ...] = (*asking, *asking, *going_on)
        await self.random.choice(steps + (losing if self.losses else (self._fill,)))()

    async def _ask(self, tenant: str, kind: Kind, settle: Any, reference: str = "") -> None:
        asked = Asked(
            tenant_id=tenant,
            request_id=f"r-{self.number}",
            kind=kind,
            identity_id="anybody",
            content={},
            settle=settle,
            reference=reference,
        )
        with suppress(FundingRefused, FundingBusy, NotArchivedYet, LedgerError):
            await self.till.funding_requests.ask(asked)

    def _body(self, micros: int | None = None, **more: Any) -> Any:
        lives_ms = 9_999 if self.losses else self.random.choice((0, 1, 30, 365))
        body = {
            "debit_id": f"debit:r-{self.number}",
            "lot_id": f"lot:r-{self.number}",
            "micros": micros or self.random.choice((1, UNIT, 7 * UNIT, 30 * UNIT)),
            "overdraft_micros": self.random.choice((0, None, 5 * UNIT)),
            "expire_ms": self.till.house.clock.now_ms() + lives_ms * DAY_MS + 1_000,
        }
        return lambda _connection, _row: body | more

    def _tenant(self) -> str:
        return self.random.choice(TENANTS)

    async def _top_up(self) -> None:
        tenant = self._tenant()
        self.lots.append((tenant, f"lot:r-{self.number}"))
        kind = self.random.choice((Kind.TOP_UP, Kind.TOP_UP, Kind.RESTORATION))
        await self._ask(tenant, kind, self._body())

    async def _fill(self) -> None:
        room = MAX_WHOLE_NUMBER - self.random.choice((0, 5, UNIT, 20 * UNIT))
        await self._ask(self._tenant(), Kind.TOP_UP, self._body(room))

    async def _debit(self) -> None:
        tenant = self._tenant()
        self.debits.append((tenant, f"r-{self.number}"))
        await self._ask(tenant, Kind.DEBIT, self._body())

    async def _transfer(self) -> None:
        sender, receiver = self.random.sample(TENANTS, 2)
        body = self._body(to_tenant_id=receiver, currency="USD")
        await self._ask(sender, Kind.TRANSFER, body)

    async def _refund(self) -> None:
        if not self.debits:
            return
        tenant, of = self.random.choice(self.debits)
        number = self.number

        def settle(connection: Connection, _: Any) -> dict[str, Any]:
            split = refund_parts(connection, tenant, Reference(DEBIT, of), micros=None)
            return {"parts": [[f"back-{number}:{n}", *part] for n, part in enumerate(split)]}

        await self._ask(tenant, Kind.REFUND, settle, f"debit:{of}")

    async def _void(self) -> None:
        if self.lots:
            tenant, lot_id = self.random.choice(self.lots)
            await self._ask(tenant, Kind.VOID_LOT, self._body(lot_id=lot_id))

    async def _take(self) -> None:
        if self.lots:
            tenant, lot_id = self.random.choice(self.lots)
            body = self._body(lot_id=lot_id, taking_id=f"taking-{self.number}")
            await self._ask(tenant, Kind.REVERSAL, body)

    async def _call(self) -> None:
        house, call_id = self.till.house, f"call-{self.number}"
        with suppress(LedgerError):
            await house.reserve(call_id, 1, by_the_second(), want=500)
            if self.random.random() < 0.5:
                await house.settle(call_id, 2, self.random.randint(0, 600))

    async def _pass_time(self) -> None:
        self.till.house.clock.pass_seconds(self.random.choice((1, 60, 86_400, 40 * 86_400)))

    async def _drain(self) -> None:
        await drained(self.till.house)

    async def _work(self) -> None:
        self.till.house.clock.pass_seconds(20)
        await self.till.work()

    async def _remember(self) -> None:
        self.snapshot = await copy_of(self.till.house.store)

    async def _fall_back(self) -> None:
        if self.snapshot is not None:
            await go_back_to(self.till.house.store, self.snapshot)
            await self._drain()

    async def _lose_all(self) -> None:
        await self.till.house.store.every_node("FLUSHALL")
        await self._drain()

    async def _cut_journal(self) -> None:
        partition = partition_of(self._tenant())
        entries = await self.till.house.journal.read(partition)
        if len(entries) > 1:
            place = f"{self.random.choice(entries[1:]).n}-0"
            await self.till.house.store.command("XDEL", partition_keys(partition).journal, place)
        # What stands before the gap, then the gap.
        await self._drain()
        await self._drain()

    async def settle_down(self) -> None:
        """Let keepers do all that is left; where something waits for room, there is some."""
        for number in range(2):
            for _ in range(4):
                self.till.house.clock.pass_seconds(60)
                await self.till.work()
            for tenant in () if self.losses else TENANTS:
                self.number += 1
                body = self._body((60 + number) * UNIT, overdraft_micros=None)
                await self._ask(tenant, Kind.DEBIT, body)

    async def requests(self) -> list[FundingRequest]:
        """Read what was asked."""
        rows = FUNDING_REQUESTS.c

        def read(connection: Connection) -> list[FundingRequest | None]:
            names = connection.execute(select(rows.tenant_id, rows.request_id)).all()
            return [find_request(connection, *name) for name in names]

        found = await self.till.house.archive.database.read(read)
        return [request for request in found if request is not None]


def moved(request: FundingRequest) -> Counter[str]:
    """Say what came into which account, and with a minus what went."""
    tenant, body = request.tenant_id, request.body
    match request.kind:
        case Kind.TOP_UP | Kind.RESTORATION:
            return Counter({tenant: body["micros"]})
        case Kind.DEBIT:
            return Counter({tenant: -body["micros"]})
        case Kind.REFUND:
            return Counter({tenant: sum(part[2] for part in body["parts"])})
        case Kind.TRANSFER:
            return Counter({tenant: -body["micros"], body["to_tenant_id"]: body["micros"]})
        case _:
            return Counter()


@pytest.mark.parametrize("seed", range(1, 10))
async def test_what_was_answered_is_what_accounts_have(till: Till, seed: int) -> None:
    house = till.house
    for tenant in TENANTS[1:]:
        await house.ledger.open_account(an_account(None, tenant=tenant))
    await drained(house)
    history = History(till, seed)
    for _ in range(STEPS):
        await history.step()
    await history.settle_down()

    wanted: Counter[str] = Counter()
    for request in await history.requests():
        if request.state is RequestState.APPLIED:
            wanted.update(moved(request))
        # What is taken back of a lot that a store has lost for good waits for it.
        assert request.state is not RequestState.ACCEPTED or request.kind == Kind.REVERSAL, request
    calls = await house.archive.usage(TENANT, from_ms=0, to_ms=house.clock.now_ms() + DAY_MS)
    wanted[TENANT] -= sum(call["charge_micros"] for call in calls)
    for tenant in TENANTS:
        there = await house.ledger.read_balance(tenant)
        found = there.funded_micros - there.debited_micros + there.refunded_micros
        assert found == wanted[tenant], tenant
    assert await Doctor(Auditor(house.store), house.parts).examine() == []
