"""A keeper that slept past its lease, in the middle of any duty, harms nothing when it wakes.

Each test lets one keeper fall asleep before the first step of its duty, then before the second, and
so on to its end; meanwhile another one does all the work and calls go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keepers import Gate, GatedDatabase, GatedStore, House, fresh_archive, sqlite_url
from ledgers import by_the_second
from server.archive import Archive
from server.archive.keeper.keeper import Keeper, KeeperDuty
from server.storage.redis import Store
from stores import empty

_MOST_STEPS = 60
Duty = Callable[[Keeper], Awaitable[None]]
Scene = Callable[[House], Awaitable[None]]


async def something_to_drain(house: House) -> None:
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)


async def something_to_expire(house: House) -> None:
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)
    await house.reserve("call-2", 1, by_the_second())
    house.clock.pass_seconds(3_600)


async def something_to_rebuild(house: House) -> None:
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)
    keeper = house.keeper()
    await keeper.discover()
    await keeper.drain()
    await house.store.command("FLUSHALL")


async def all_duties(keeper: Keeper) -> None:
    await keeper.drain()
    await keeper.expire()
    await keeper.sweep()
    await keeper.drain()


@pytest.mark.parametrize(
    ("scene", "duty"),
    [
        (something_to_drain, Keeper.drain),
        (something_to_expire, Keeper.expire),
        (something_to_rebuild, Keeper.drain),
        (something_to_drain, Keeper.sweep),
    ],
    ids=["drain", "expire", "rebuild", "sweep"],
)
async def test_a_keeper_that_wakes_after_another_one_worked_changes_nothing(
    valkey: str, tmp_path: Path, scene: Scene, duty: Duty
) -> None:
    for step in range(1, _MOST_STEPS):
        if not await sleeps_before(step, valkey, tmp_path / str(step), scene=scene, duty=duty):
            assert step > 1, "it slept at least once"
            return
    raise AssertionError("the duty did not come to its end")


async def sleeps_before(step: int, valkey: str, folder: Path, *, scene: Scene, duty: Duty) -> bool:
    """Play one scene with a keeper that sleeps before a step; False: its duty has fewer."""
    folder.mkdir()  # noqa: ASYNC240 -- Nothing else runs on this loop.
    gate = Gate(step)
    house, sleeping = await houses(valkey, folder, gate)
    await house.open(balance=1_000)
    await scene(house)

    keeper = sleeping.keeper()
    await keeper.discover()
    gate.armed = True
    task = asyncio.create_task(keeper.round(lambda: duty(keeper)))
    waits = asyncio.create_task(gate.reached.wait())
    await asyncio.wait({task, waits}, return_when=asyncio.FIRST_COMPLETED)
    slept = gate.reached.is_set()
    other = house.keeper()
    await all_duties(other)
    await house.reserve("call-3", 1, by_the_second())
    await house.settle("call-3", 2, 7)
    await other.drain()
    before = await house.balance()
    gate.opened.set()
    await task
    waits.cancel()

    assert await house.balance() == before
    await all_duties(other)
    await house.reserve("call-4", 1, by_the_second())
    await house.settle("call-4", 2, 1)
    await other.drain()
    balance, image = await house.balance(), await house.image()
    assert (balance.debited_micros, balance.available_micros) == (18, 982)
    assert (image.account.debited_micros, image.account.balance_micros) == (18, 982)
    records = await house.archive.usage("contoso", from_ms=0, to_ms=2**53)
    assert sum(record["charge_micros"] for record in records) == 18
    for one in (house, sleeping):
        await one.archive.close()
        await one.store.close()
    return slept


async def houses(valkey: str, folder: Path, gate: Gate) -> tuple[House, House]:
    """Build one store and archive, and two ways to them; the second one has the gate."""
    store = Store(valkey)
    await empty(store)
    archive = await fresh_archive(sqlite_url(folder))
    house = House(store, archive)
    sleeping = House(
        GatedStore(valkey, gate), Archive(GatedDatabase(sqlite_url(folder), gate)), house.clock
    )
    return house, sleeping


async def test_one_keeper_works_and_the_other_waits_until_it_lets_go(house: House) -> None:
    one, two = house.keeper(), house.keeper()

    await one.hold_lease()
    await two.hold_lease()
    assert (one.figures.leads, two.figures.leads) == (True, False)
    await house.store.command("DEL", "callgate:keeper")
    await two.hold_lease()
    await one.hold_lease()

    assert (one.figures.leads, two.figures.leads) == (False, True)


async def test_a_keeper_that_waits_does_what_only_its_machine_can(house: House) -> None:
    """Decision records lie in a folder of the machine: whoever leads is elsewhere."""
    done: list[str] = []
    both = asyncio.Event()

    async def of_all() -> None:
        done.append("of all")

    async def of_machine() -> None:
        done.append("of the machine")
        if done.count("of the machine") > 1:
            both.set()

    await house.keeper().hold_lease()
    duties = KeeperDuty(of_all, 0), KeeperDuty(of_machine, 0, of_machine=True)
    waiting = asyncio.create_task(Keeper(house.parts, house.keeper().figures, duties).run())
    await both.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert set(done) == {"of the machine"}


async def test_a_keeper_that_is_stopped_lets_its_lease_go(house: House) -> None:
    keeper = house.keeper()
    await keeper.hold_lease()
    task = asyncio.create_task(keeper.run())
    # It has begun, and waits for its next round.
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await house.store.command("EXISTS", "callgate:keeper") == 0
