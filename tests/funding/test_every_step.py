"""Requests that stop between any two steps in a world that goes on: no money is made, none lost."""

from __future__ import annotations

import contextvars
import dataclasses
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from typing_extensions import override

from keepers import Gate, GatedDatabase, GatedStore, House
from server.archive import Archive
from server.funding.applying import Kind
from server.funding.errors import FundingBusy, FundingRefused
from server.ledger import LedgerError
from till_victims import Victim
from tills import Till
from walked_requests import (
    WORLDS,
    Walk,
    World,
    make_room,
    require_conserved,
    settle_down,
)

DIES, WAKES = "dies", "wakes"
# Before how many steps each kind may stop, and one more, before which it is done.
STEPS = {
    Kind.TRANSFER: 11,
    Kind.REFUND: 7,
    **dict.fromkeys((Kind.FREEZE, Kind.CLOSE, Kind.CREDIT_LIMIT), 5),
    **dict.fromkeys((Kind.TOP_UP, Kind.DEBIT, Kind.VOID_LOT, Kind.REVERSAL, Kind.RESTORATION), 4),
}
# Where nothing differs between archives, one is enough.
pytestmark = pytest.mark.parametrize("archive_url", ["sqlite"], indirect=True)


class OwnGate(Gate):
    """One gate for all, behind which each task finds its own."""

    def __init__(self) -> None:
        super().__init__(0)
        self.own: contextvars.ContextVar[Gate | None] = contextvars.ContextVar("own", default=None)

    @override
    async def step(self) -> None:
        gate = self.own.get()
        if gate is not None:
            await gate.step()


@dataclasses.dataclass(slots=True)
class Doom:
    """A process whose requests die or sleep, each before a step of its own."""

    till: Till
    gate: OwnGate

    async def stop(self, walk: Walk) -> None:
        """Have it asked for until it stands before its step, or is done in fewer."""
        gate = Gate(walk.step)
        self.gate.own.set(gate)
        victim = Victim(ask(self.till, walk), gate)
        self.gate.own.set(None)
        walk.victim = victim if await victim.reached() else None

    async def finish(self, walk: Walk) -> None:
        """Be a keeper that dies as well."""
        gate = Gate(walk.step)
        self.gate.own.set(gate)
        victim = Victim(self.till.finishing.work(), gate)
        self.gate.own.set(None)
        await victim.reached()
        await victim.die()


@pytest.fixture
async def doom(till: Till, valkey: str, archive_url: str) -> AsyncIterator[Doom]:
    gate = OwnGate()
    store, archive = GatedStore(valkey, gate), Archive(GatedDatabase(archive_url, gate))
    yield Doom(dataclasses.replace(till, house=House(store, archive, till.house.clock)), gate)
    await archive.close()
    await store.close()


async def ask(till: Till, walk: Walk) -> None:
    with suppress(FundingRefused, FundingBusy, LedgerError):
        await till.funding_requests.ask(walk.asked())


def walks_of(till: Till) -> list[Walk]:
    return [
        Walk(till, kind, step, fate)
        for kind, last in STEPS.items()
        for step in range(1, last + 1)
        for fate in (DIES, WAKES)
    ]


@pytest.mark.parametrize("world", WORLDS)
async def test_what_stops_at_any_step_makes_no_money_and_loses_none(
    till: Till, doom: Doom, world: str
) -> None:
    before, between = WORLDS[world]
    here = World(walks_of(till))
    await here.open()
    await before(here)
    for walk in here.walks:
        await doom.stop(walk)
    assert not any(walk.victim for walk in here.walks if walk.step == STEPS[walk.kind])
    for victim in here.stopped(DIES):
        await victim.die()
    await between(here)
    here.house.clock.pass_seconds(60)
    await doom.finish(here.walks[8 + len(world)])
    await settle_down(here)
    for victim in here.stopped(WAKES):
        await victim.wake()
    await make_room(here, "room")
    ended = [await walk.found() for walk in here.walks]
    for walk in here.walks:
        await ask(till, walk)
    await make_room(here, "more room")

    for walk, end in zip(here.walks, ended, strict=True):
        found = await walk.found()
        assert end is None or (found is not None and found.state is end.state), found
    await require_conserved(here)
