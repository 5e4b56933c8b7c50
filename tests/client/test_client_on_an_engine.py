"""The client on real engines: through kills, restarts and drains, with its money counted."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from callgate import (
    AuthorizeCallRequest,
    AuthorizeCallsRequest,
    CallRefused,
    Client,
    ClientOptions,
    Clock,
    Control,
    FailOpen,
    FastClock,
    GetBalanceRequest,
    NewEpoch,
    NoAnswer,
    StreamReplaced,
    UserCall,
    WatchDebitsRequest,
    blocking,
)
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.debits_pb2 import JOURNAL_ENTRY_KIND_SETTLEMENT, JournalEntry
from engines import Engine, running_engine
from gateway_desk import ITALY, HandClock
from serving import eventually

WAIT_SECONDS = 20.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that no test stops."""
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that a test may kill, and starts again, at the same address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with running_engine(tmp_path_factory.mktemp("mortal"), listen=listen) as engine:
        yield engine


def a_question(call_id: str = "", user_id: str = "adele") -> AuthorizeCallRequest:
    question = AuthorizeCallRequest(
        tenant_id="contoso",
        call_id=call_id,
        called_number=ITALY,
        user_call=UserCall(user_id=user_id),
    )
    question.requested_duration.seconds = 60
    return question


def options(gateway_id: str, clock: Clock | None = None, **changes: object) -> ClientOptions:
    return ClientOptions(gateway_id=gateway_id, clock=clock or HandClock(), **changes)  # type: ignore[arg-type] # As given.


async def entries_so_far(client: Client) -> list[JournalEntry]:
    """Read what happened until now, from the beginning."""
    entries: list[JournalEntry] = []
    asked = WatchDebitsRequest(tenant_id="contoso", from_beginning=True)
    async for response in client.watch(asked):
        assert not isinstance(response, NewEpoch)
        entries += response.entries
        if response.HasField("account"):
            return entries
    raise AssertionError("the stream ended")


@asynccontextmanager
async def engine_away(engine: Engine) -> AsyncIterator[None]:
    """Kill an engine, and start it again when the block ends."""
    await asyncio.to_thread(engine.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(engine.start)


def debited(engine: Engine) -> int:
    return engine.balance("contoso").debited.micros


async def there_again(client: Client) -> None:
    """Wait until the client's connection has found the engine again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(NoAnswer):
                await client.get_balance(GetBalanceRequest(tenant_id="contoso"))
                return


async def test_settlements_spooled_while_the_engine_is_away_are_applied_once_and_in_order(
    mortal: Engine, tmp_path: Path
) -> None:
    """C13: the gateway ends too before the engine is back; its next process delivers them."""
    clock, debited_before = HandClock(), debited(mortal)
    chosen = options("bridge-1", clock, state_folder=tmp_path / "state", deadline_seconds=0.5)
    async with Client(mortal.address, chosen) as client:
        calls = [client.call(a_question(f"c13-{number}")) for number in range(3)]
        for call in calls:
            await call.__aenter__()
            call.answered()
        async with engine_away(mortal):
            for call in calls:
                await clock.advance(10)
                await call.__aexit__(None, None, None)
            waiting = client.undelivered
            await client.close()

    async with Client(mortal.address, chosen) as client:
        await eventually(lambda: client.undelivered == 0, WAIT_SECONDS)
        await client.close()
    async with Client(mortal.address, chosen) as client:
        entries = await entries_so_far(client)

    ends = [one.call_id for one in entries if one.kind == JOURNAL_ENTRY_KIND_SETTLEMENT]
    assert waiting == 3
    assert [one for one in ends if one.startswith("c13-")] == ["c13-0", "c13-1", "c13-2"]
    # Talked 10, 20 and 30 s: a minute begun each.
    assert debited(mortal) - debited_before == 300_000
    assert mortal.balance("contoso").reserved.micros == 0


async def test_a_call_placed_without_an_engine_is_charged_when_it_is_back(
    mortal: Engine, tmp_path: Path
) -> None:
    clock, debited_before = HandClock(), debited(mortal)
    chosen = options(
        "bridge-1", clock, state_folder=tmp_path, deadline_seconds=0.5, first_question=FailOpen(300)
    )
    async with Client(mortal.address, chosen) as client:
        async with engine_away(mortal):
            async with client.call(a_question("unasked")) as call:
                call.answered()
                await clock.advance(61)
            spooled = call.is_spooled
        await eventually(lambda: client.undelivered == 0, WAIT_SECONDS)

    assert spooled
    assert debited(mortal) - debited_before == 200_000


async def test_whenever_the_engine_is_killed_each_second_talked_is_paid_once(
    mortal: Engine, tmp_path: Path
) -> None:
    """B1, C13: twenty calls, on a stream and by unary questions, set up and ended around a kill."""
    clock, debited_before, chance = FastClock(30), debited(mortal), random.Random(7)
    chosen = options("bridge-1", clock, state_folder=tmp_path, first_question=FailOpen(300))
    used: list[int] = []

    async def talk(line: Client | Control, number: int) -> None:
        await asyncio.sleep(chance.uniform(0, 3))
        async with line.call(a_question(f"killed-{number}")) as call:
            call.answered()
            await asyncio.sleep(chance.uniform(0, 4))
            call.hung_up()
            used.append(call.used_seconds)

    async with Client(mortal.address, chosen) as client, client.control(["contoso"]) as control:
        lines = (client, control)
        talks = [asyncio.create_task(talk(lines[number % 2], number)) for number in range(20)]
        await asyncio.sleep(2)
        async with engine_away(mortal):
            await asyncio.sleep(1)
        await asyncio.gather(*talks)
        await eventually(lambda: client.undelivered == 0, WAIT_SECONDS)

    minutes = sum(-(-seconds // 60) for seconds in used)
    assert len(used) == 20
    assert debited(mortal) - debited_before == 100_000 * minutes
    assert mortal.balance("contoso").reserved.micros == 0


async def test_emergency_numbers_outlive_both_the_engine_and_the_gateway(
    mortal: Engine, tmp_path: Path
) -> None:
    """E7: an emergency passes with nobody to ask, also after a restart of the gateway."""
    chosen = options("sbc-1", state_folder=tmp_path / "state", deadline_seconds=0.3)
    kept = tmp_path / "state" / "emergency-numbers"
    async with Client(mortal.address, chosen):
        await eventually(kept.exists, WAIT_SECONDS)
    async with engine_away(mortal), Client(mortal.address, chosen) as client:
        emergency = AuthorizeCallRequest(tenant_id="contoso", called_number="9911", location="US")
        async with client.call(emergency) as call:
            dial_as = call.dial_as
        with pytest.raises(NoAnswer):
            await client.admit(a_question())

    assert dial_as == "911"


async def test_a_bridge_comes_back_with_its_calls(mortal: Engine) -> None:
    """I7: after a kill its stream is opened again, its calls are announced and go on."""
    debited_before = debited(mortal)
    async with (
        Client(mortal.address, ClientOptions(gateway_id="bridge-1")) as client,
        client.control(["contoso"]) as control,
        control.call(a_question("lasting")) as call,
    ):
        call.answered()
        async with engine_away(mortal):
            pass
        await eventually(lambda: control.streams_opened == 2, WAIT_SECONDS)
        call.ask_now()
        await eventually(lambda: (call.granted_seconds or 0) > 60, WAIT_SECONDS)
        async with control.call(a_question("another")) as another:
            pass
        ending = call.ending

    assert ending is None
    assert another.answer.HasField("grant")
    assert call.settlement is not None
    assert debited(mortal) - debited_before == 100_000


def watched(entries: Iterable[JournalEntry]) -> list[str]:
    return [entry.call_id for entry in entries if entry.call_id.startswith("watched")]


async def test_a_watcher_misses_nothing_and_sees_nothing_twice(mortal: Engine) -> None:
    seen: list[str] = []

    async def look(client: Client) -> None:
        asked = WatchDebitsRequest(tenant_id="contoso", from_beginning=True)
        async for response in client.watch(asked):
            assert not isinstance(response, NewEpoch)
            seen.extend(watched(response.entries))

    async with Client(mortal.address, options("bridge-1")) as client:
        looking = asyncio.create_task(look(client))
        for number in range(3):
            async with client.call(a_question(f"watched-{number}")):
                pass
        await eventually(lambda: len(seen) >= 2, WAIT_SECONDS)
        async with engine_away(mortal):
            pass
        await there_again(client)
        for number in range(3):
            async with client.call(a_question(f"watched-again-{number}")):
                pass
        # Of each call a reservation and its release.
        await eventually(lambda: len(seen) >= 12, WAIT_SECONDS)
        told = watched(await entries_so_far(client))
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    assert seen == told
    assert len(seen) == 12


async def test_the_newest_stream_wins_and_the_older_ones_calls_are_still_settled(
    engine: Engine,
) -> None:
    clock = HandClock()
    async with (
        Client(engine.address, options("twice", clock)) as first,
        Client(engine.address, options("twice")) as second,
        first.control(["contoso"]) as old,
    ):
        async with old.call(a_question()) as call:
            call.answered()
            await clock.advance(5)
            async with second.control(["contoso"]) as new:
                await eventually(lambda: old.ended is not None, WAIT_SECONDS)
                with pytest.raises(StreamReplaced):
                    async for _ in old.pushes():
                        pass
        still_there = new.ended is None

    assert isinstance(old.ended, StreamReplaced)
    assert still_there
    assert call.settlement is not None
    assert call.settlement.usages[0].used_duration.seconds == 5


async def test_a_call_hears_what_is_pushed_about_it(engine: Engine) -> None:
    clock = HandClock()
    async with (
        Client(engine.address, options("pushed", clock)) as client,
        client.control(["contoso"]) as control,
        control.call(a_question()) as call,
    ):
        call.answered()
        async with asyncio.timeout(WAIT_SECONDS):
            await clock.advance(45)
            async for push in call.pushes():
                if push.WhichOneof("item") == "debit" and push.debit.usages:
                    break

    assert push.debit.call_id == call.call_id
    assert push.debit.usages[0].debited.micros == 100_000


async def test_legs_that_were_granted_together_are_run_one_by_one(engine: Engine) -> None:
    clock = HandClock()
    async with (
        Client(engine.address, options("legs", clock)) as client,
        client.control(["contoso"]) as control,
    ):
        legs = [a_question(f"leg-{number}") for number in range(2)]
        for leg in legs:
            leg.gateway_id, leg.sequence = "legs", 1
        asked = AuthorizeCallsRequest(legs=legs, mode=pb.LEG_MODE_ALL_OR_NOTHING)
        granted = await control.authorize_calls(asked)
        async with (
            control.call(legs[0], granted.answers[0]) as one,
            control.call(legs[1], granted.answers[1]) as other,
        ):
            one.answered()
            await clock.advance(3)

    assert one.settlement is not None
    assert other.settlement is None
    assert not other.is_spooled


async def test_a_client_opens_as_many_connections_as_the_engine_recommends(tmp_path: Path) -> None:
    with running_engine(tmp_path / "engine", workers=2, transport="nghttp2") as engine:
        async with Client(engine.address, options("wide")) as client:
            await eventually(lambda: client._connections.count == 4, WAIT_SECONDS)
            picked = {id(client._connections.pick(f"call-{number}")) for number in range(100)}
            answers = await asyncio.gather(
                *(client.authorize_call(a_question(f"call-{number}")) for number in range(20))
            )

    assert len(picked) == 4
    assert all(answer.HasField("grant") for answer in answers)


def test_the_blocking_twin_runs_calls_and_watches(engine: Engine) -> None:
    refused = a_question(user_id="nobody")
    with blocking.Client(engine.address, ClientOptions(gateway_id="blocking")) as client:
        with client.call(a_question("blocked")) as call:
            call.answered()
            with pytest.raises(TimeoutError):
                call.over(0.05)
        with client.control(["contoso"]) as control, control.call(a_question()) as other:
            granted = other.granted_seconds
        with pytest.raises(CallRefused), client.call(refused):
            pytest.fail("it was placed")
        watched = client.watch(WatchDebitsRequest(tenant_id="contoso", from_beginning=True))
        first = next(watched)

    assert call.settlement is not None
    assert granted == 60
    assert not isinstance(first, NewEpoch)
    assert first.entries


async def test_a_client_that_nobody_answers_says_so_in_time() -> None:
    async with Client("127.0.0.1:1", options("alone", deadline_seconds=0.4)) as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer):
            await client.admit(a_question())
        took = asyncio.get_running_loop().time() - started

    assert took < 1
