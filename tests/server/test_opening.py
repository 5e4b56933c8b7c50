"""Accounts are opened each for itself: what is wrong with one holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from typing_extensions import override

from facts import a_tenant
from ledgers import ManualClock
from policy.facts import Tenant
from policy.lot_life import LotLife
from server.calls.opening import Opening
from server.facts import FactsInUse
from server.ledger import LedgerDamaged, LedgerUnavailable, OpenAccount
from server.ledger.errors import AccountMissing
from server.ledger.keys import partition_of
from server.ledger.model.ledger import MemoryLedger

TENANTS = tuple(f"tenant-{number}" for number in range(40))
SICK = TENANTS[3]


class SickLedger(MemoryLedger):
    """A ledger that opens no account for which a test names the trouble."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.trouble_of: Callable[[str], Exception | None] = lambda _: None
        self.asked: list[str] = []

    @override
    async def open_account(self, account: OpenAccount) -> int:
        self.asked.append(account.tenant_id)
        await asyncio.sleep(0)
        trouble = self.trouble_of(account.tenant_id)
        if trouble is not None:
            raise trouble
        return await super().open_account(account)


class Scene:
    def __init__(self) -> None:
        self.ledger = SickLedger()
        self.tenants: dict[str, Tenant] = {each: a_tenant(tenant_id=each) for each in TENANTS}
        self.told: list[bool] = []
        directory = SimpleNamespace(tenants=self.tenants)
        facts = SimpleNamespace(current=SimpleNamespace(directory=directory))
        self.opening = Opening(
            self.ledger,
            cast("FactsInUse", facts),
            lambda: 0,
            LotLife(days=30),
            "The store",
            self.told.append,
        )
        self.opening.want(self.tenants)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    "trouble",
    [LedgerUnavailable("gone"), LedgerDamaged("about"), KeyError("a bug of one tenant's facts")],
)
async def test_one_account_in_trouble_leaves_all_others_opened(
    scene: Scene, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    scene.ledger.trouble_of = lambda each: trouble if each == SICK else None

    await scene.opening.round()
    waiting = scene.opening.waiting
    await scene.opening.round()
    lines = [record for record in caplog.records if record.levelname == "ERROR"]
    scene.ledger.trouble_of = lambda _: None
    await scene.opening.round()

    assert waiting == 1
    assert len(lines) == 1
    assert scene.opening.waiting == 0
    assert scene.told == [False, True]


async def test_a_partition_that_is_away_is_tried_once_a_round(scene: Scene) -> None:
    """Each attempt may last as long as the store is waited for."""
    scene.tenants.clear()
    sick = partition_of("tenant-0")
    found = [f"tenant-{n}" for n in range(5_000) if partition_of(f"tenant-{n}") == sick][:5]
    scene.tenants.update({each: a_tenant(tenant_id=each) for each in found})
    scene.opening.want(found)
    scene.ledger.trouble_of = lambda _: LedgerUnavailable("gone")

    await scene.opening.round()

    assert len(found) == 5
    assert scene.ledger.asked == [found[0]]


async def test_an_account_that_is_asked_for_is_opened_ahead_of_the_others(scene: Scene) -> None:
    hurried = await scene.opening.hurry(TENANTS[-1])
    again = await scene.opening.hurry(TENANTS[-1])

    assert scene.ledger.asked == [TENANTS[-1]]
    assert (hurried, again) == (True, False)


async def test_an_account_that_was_open_before_is_not_begun_anew_by_a_question(
    scene: Scene,
) -> None:
    """Its record is lost then: that is for the archive to mend, not for the opening balance."""
    await scene.opening.round()
    scene.ledger.asked.clear()

    await scene.opening.hurry(SICK)

    assert scene.ledger.asked == []
    assert "emptied" in str(scene.opening.missing(SICK))


async def test_who_asks_for_an_account_that_cannot_be_opened_is_told_why(scene: Scene) -> None:
    scene.ledger.trouble_of = lambda _: LedgerUnavailable("the archive does not answer")

    await scene.opening.round()

    with pytest.raises(AccountMissing, match="the archive does not answer"):
        await scene.opening.hurry(SICK)


async def test_an_account_is_described_by_the_facts_that_came_in_while_it_was_opened(
    scene: Scene,
) -> None:
    newer = a_tenant(tenant_id=SICK, digest="newer")

    def change(tenant_id: str) -> None:
        if tenant_id == SICK:
            scene.tenants[SICK] = newer

    scene.ledger.trouble_of = change  # Asked in the midst of it.
    await scene.opening.round()

    assert scene.ledger.asked.count(SICK) == 2
    assert scene.opening.waiting == 0


async def test_facts_are_announced_to_no_partition_that_was_found_away_a_moment_ago(
    scene: Scene,
) -> None:
    scene.ledger.trouble_of = lambda each: LedgerUnavailable("gone") if each == SICK else None

    first = await scene.opening.announce(scene.tenants[SICK])
    second = await scene.opening.announce(scene.tenants[SICK])
    other = await scene.opening.announce(scene.tenants[TENANTS[0]])

    assert (first, second, other) == (False, False, True)
    assert scene.ledger.asked == [SICK, TENANTS[0]]
