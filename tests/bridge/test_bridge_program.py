"""The sample bridge on a real engine: who is called, who pays, and what is left afterwards."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from callgate import CallRefused, Client, ClientOptions, Control
from callgate.v1 import authorization_pb2 as pb
from engines import ROOT, Engine, running_engine
from gateway_desk import HandClock
from integrations.bridge.leg import CALL_ENDS, MONEY_ENDS, Leg
from integrations.bridge.meeting import NO_ENTRY, NO_SUCH_PIN, Entrance, Meeting
from integrations.bridge.telephones import Telephone, Telephones
from serving import eventually

# Credits pay it, 0.42 USD a minute begun: no plan of an organizer's reaches there.
DUBAI, SHARJAH, AJMAN = "+97143311111", "+97165511111", "+97167411111"
SEATTLE = "+12065550155"
MINUTE = 420_000
WAIT_SECONDS = 20.0

TENANT = """# A tenant of one test: its meetings have this much money.

id = "{id}"
country = "US"
currency = "USD"
funding_model = "prepaid"
credits_enabled = true
opening_balance = "{balance}"

[users.olivia]
usage_location = "US"
licences = ["MCOMEETADV", "MCOPSTNPP"]

[users.otto]
usage_location = "US"
licences = ["MCOMEETADV"]
allow_toll_free_dial_in = false

[service_numbers."{toll_free}"]
service = "bridge"
country = "US"
"""
BALANCES = {
    "two-minutes": "1.00",
    "ten-minutes": "4.20",
    "plenty": "100.00",
    "nothing": "0.00",
    "shared": "6.30",
}
TOLL_FREE = {name: f"+1800555{number:04}" for number, name in enumerate(BALANCES, 200)}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("directory")
    shutil.copytree(ROOT / "data/directory", directory, dirs_exist_ok=True)
    for name, balance in BALANCES.items():
        text = TENANT.format(id=name, balance=balance, toll_free=TOLL_FREE[name])
        (directory / f"{name}.toml").write_text(text, "utf-8")
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(folder, directory_folder=directory) as engine:
        yield engine


@dataclass
class Stage:
    """A bridge on the engine, whose time is moved by hand."""

    engine: Engine
    client: Client
    control: Control
    clock: HandClock
    tenant_id: str
    telephones: Telephones = field(default_factory=Telephones)

    def meeting(self, organizer_id: str = "olivia", meeting_id: str = "weekly") -> Meeting:
        return Meeting(
            self.control,
            self.telephones,
            tenant_id=self.tenant_id,
            organizer_id=organizer_id,
            meeting_id=meeting_id,
        )

    def telephone(self, number: str, *, answers: bool = True) -> Telephone:
        return self.telephones.add(Telephone(number, answers=answers))

    async def money(self) -> tuple[int, int]:
        """What running calls hold, and what was debited so far, once all that ended is told."""
        await eventually(lambda: not self.client.undelivered, WAIT_SECONDS)
        balance = self.engine.balance(self.tenant_id)
        return balance.reserved.micros, balance.debited.micros

    async def talk_until(self, holds: Callable[[], object]) -> None:
        """Let talk go on, five seconds at a time; the engine answers in the meantime."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():
                await self.clock.advance(5)
                await asyncio.sleep(0.02)

    async def running(self) -> list[pb.CallState]:
        asked = pb.ListCallsRequest(tenant_id=self.tenant_id)
        return list((await self.client.list_calls(asked)).calls)


@asynccontextmanager
async def staged(engine: Engine, tenant_id: str) -> AsyncIterator[Stage]:
    clock = HandClock()
    options = ClientOptions(gateway_id=f"bridge-{tenant_id}", clock=clock)
    async with Client(engine.address, options) as client, client.control([tenant_id]) as control:
        yield Stage(engine, client, control, clock, tenant_id)


async def talking(meeting: Meeting, count: int) -> list[Leg]:
    """Wait until so many are in the meeting; return them by number."""
    await eventually(lambda: len(meeting.legs) == count, WAIT_SECONDS)
    return sorted(meeting.legs, key=lambda leg: leg.number)


async def test_a_dial_out_that_does_not_fit_rings_nobody_and_holds_nothing(engine: Engine) -> None:
    """A5: three legs on money for two."""
    async with staged(engine, "two-minutes") as stage:
        numbers = [DUBAI, SHARJAH, AJMAN]
        telephones = [stage.telephone(number) for number in numbers]

        with pytest.raises(CallRefused) as refused:
            await stage.meeting().dial_out(numbers)

        assert refused.value.refusal.sip_status == 402
        assert [telephone.log for telephone in telephones] == [[], [], []]
        assert await stage.money() == (0, 0)


async def test_legs_come_and_go_and_the_organizer_pays_what_each_talked(engine: Engine) -> None:
    async with staged(engine, "plenty") as stage:
        meeting = stage.meeting()
        dubai = stage.telephone(DUBAI)
        stage.telephone(SHARJAH)
        silent = stage.telephone(AJMAN, answers=False)
        await meeting.dial_out([DUBAI, SHARJAH, AJMAN])
        await talking(meeting, 2)
        payers = {call.payer.account_id for call in await stage.running()}

        await stage.clock.advance(59)
        dubai.put_down()
        (sharjah,) = await talking(meeting, 1)
        await stage.clock.advance(59)
        await meeting.leave(sharjah)
        await talking(meeting, 0)
        await meeting.end()

        assert payers == {"olivia"}
        assert silent.log == ["rang", "ended"]
        # One minute, and two minutes begun; who did not answer costs nothing.
        assert await stage.money() == (0, 3 * MINUTE)


async def test_call_me_is_paid_by_the_organizer_and_answered_by_the_participant(
    engine: Engine,
) -> None:
    async with staged(engine, "plenty") as stage:
        meeting = stage.meeting(meeting_id="call-me")
        telephone = stage.telephone(SEATTLE)

        await meeting.call_me(SEATTLE)
        (leg,) = await talking(meeting, 1)
        answer = leg.call.answer
        await meeting.end()

        assert (answer.payer.account_id, answer.call_type) == ("olivia", "conf_out")
        assert answer.grant.purse.kind == pb.PURSE_KIND_POOL
        assert telephone.log == ["rang", "ended"]


async def test_running_legs_are_told_when_others_take_of_their_money_and_give_it_back(
    engine: Engine,
) -> None:
    """D6: a second leg comes, and less remains for the first; it goes, and more does."""
    async with staged(engine, "shared") as stage:
        meeting = stage.meeting()
        stage.telephone(DUBAI)
        await meeting.dial_out([DUBAI])
        (first,) = await talking(meeting, 1)
        second = stage.telephone(SHARJAH)
        # A call is followed from its next report on at the latest.
        await stage.clock.advance(201)
        await eventually(lambda: (first.call.granted_seconds or 0) > 300, WAIT_SECONDS)

        await meeting.dial_out([SHARJAH])
        await talking(meeting, 2)
        await eventually(lambda: first.remaining_seconds is not None, WAIT_SECONDS)
        fewer = first.remaining_seconds
        second.put_down()
        await eventually(lambda: first.remaining_seconds != fewer, WAIT_SECONDS)
        more = first.remaining_seconds
        await meeting.end()

        assert fewer is not None
        assert more is not None
        assert fewer < more


async def test_when_the_money_ends_the_leg_is_warned_and_ended_to_the_second(
    engine: Engine,
) -> None:
    async with staged(engine, "ten-minutes") as stage:
        meeting = stage.meeting()
        telephone = stage.telephone(DUBAI)
        await meeting.dial_out([DUBAI])
        (leg,) = await talking(meeting, 1)

        await stage.talk_until(lambda: leg.call.is_final)
        await eventually(lambda: f"heard {MONEY_ENDS}" in telephone.log, WAIT_SECONDS)
        await stage.talk_until(lambda: not meeting.legs)
        await meeting.end()

        assert leg.call.ending is not None
        assert leg.call.ending.why == "final"
        assert leg.call.used_seconds == 600
        assert f"heard {CALL_ENDS}" in telephone.log
        assert await stage.money() == (0, 10 * MINUTE)


async def test_a_toll_free_caller_is_refused_where_there_is_no_balance(engine: Engine) -> None:
    """E3: the tenant of the number has nothing left."""
    async with staged(engine, "nothing") as stage:
        caller = Telephone(SEATTLE, pin="1234")
        entrance = Entrance(stage.control, {"1234": stage.meeting()})

        await entrance.arrive(caller, TOLL_FREE["nothing"], SEATTLE)

        assert caller.log == ["refused 402/21", "ended"]


async def test_a_toll_free_caller_comes_in_by_pin_and_the_tenant_pays(engine: Engine) -> None:
    async with staged(engine, "plenty") as stage:
        _, debited_before = await stage.money()
        meeting = stage.meeting()
        caller = Telephone(SEATTLE, pin="1234")
        entrance = Entrance(stage.control, {"1234": meeting})

        arriving = asyncio.create_task(
            entrance.arrive(caller, TOLL_FREE[stage.tenant_id], caller.number)
        )
        (leg,) = await talking(meeting, 1)
        organizer_id = leg.call.question.service_number_call.organizer_id
        await stage.clock.advance(30)
        caller.put_down()
        await arriving
        reserved, debited = await stage.money()

        assert organizer_id == "olivia"
        assert caller.log == ["picked up", "ended"]
        # A minute begun of the toll-free rate.
        assert (reserved, debited - debited_before) == (0, 30_000)


@pytest.mark.parametrize(("pin", "heard"), [("5678", NO_ENTRY), ("0000", NO_SUCH_PIN)])
async def test_a_caller_who_may_not_come_in_hears_so_and_leaves_nothing_held(
    engine: Engine, pin: str, heard: str
) -> None:
    async with staged(engine, "plenty") as stage:
        caller = Telephone(SEATTLE, pin=pin)
        entrance = Entrance(stage.control, {"5678": stage.meeting("otto")})

        await entrance.arrive(caller, TOLL_FREE[stage.tenant_id], caller.number)

        assert caller.log == ["picked up", f"heard {heard}", "ended"]
        assert (await stage.money())[0] == 0
        assert await stage.running() == []


def test_the_sample_meeting_plays_to_its_end(engine: Engine) -> None:
    command = [sys.executable, "-m", "integrations.bridge", "--address", engine.address]

    played = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert played.returncode == 0, played.stderr
    assert "Nobody's telephone rang" in played.stdout
    assert "without money: refused 402/21" in played.stdout
    assert played.stdout.count("In the meeting") == 3
    assert played.stdout.endswith("0.00 USD held\n")
