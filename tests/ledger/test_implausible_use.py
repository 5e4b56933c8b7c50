"""Use beyond what can have passed since a call was granted is held apart, and charges nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledgers import (
    START_MS,
    ManualClock,
    UnderTest,
    a_question,
    an_account,
    ask,
    by_the_second,
    extend,
    free,
)
from server.ledger import Ledger, RequestReused, Use
from server.ledger.keys import partition_of
from server.ledger.model.ledger import MemoryLedger
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store

TOLERANCE, DAY = 60, 86_400
MICROS = 10_000_000


@pytest.fixture(params=["model", "store"])
async def strict(
    request: pytest.FixtureRequest, urls: dict[str, str], clock: ManualClock
) -> AsyncIterator[UnderTest]:
    """A ledger that believes reports a minute ahead of time, with one micro for each second."""
    if request.param == "model":
        ledger: Ledger = MemoryLedger(clock, tolerance_seconds=TOLERANCE)
        await ledger.open_account(an_account(MICROS))
        yield UnderTest(ledger, clock)
        return
    store = Store(next(iter(urls.values())))
    await store.command("FLUSHALL")
    ledger = RedisLedger(store, clock, tolerance_seconds=TOLERANCE)
    await ledger.install()
    await ledger.open_account(an_account(MICROS))
    yield UnderTest(ledger, clock)
    await store.close()


async def debited(ledger: Ledger) -> int:
    return (await ledger.read_balance("contoso")).debited_micros


async def test_what_cannot_have_passed_is_not_charged(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    strict.clock.pass_seconds(1)

    settled = await ledger.settle(a_question("call", 2), 600_000)
    again = await ledger.settle(a_question("call", 2), 600_000)

    assert (settled.used_seconds, settled.implausible_seconds) == (61, 600_000 - 61)
    assert again == settled
    assert await debited(ledger) == 61


async def test_small_steps_do_not_add_up_to_what_cannot_have_passed(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    for sequence in range(2, 12):
        await ledger.extend(extend("call", sequence, (sequence - 1) * 50))
        strict.clock.pass_seconds(1)

    settled = await ledger.settle(a_question("call", 12), 550)

    assert (settled.used_seconds, settled.implausible_seconds) == (70, 480)


async def test_what_has_passed_meanwhile_is_charged_by_the_next_report(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))

    early = await ledger.extend(extend("call", 2, 300))
    strict.clock.pass_seconds(250)
    settled = await ledger.settle(a_question("call", 3), 300)

    assert (early.used_seconds, early.implausible_seconds) == (60, 240)
    assert early.granted_seconds == 120
    assert (settled.used_seconds, settled.implausible_seconds) == (300, 0)
    assert await debited(ledger) == 300


async def test_a_report_in_time_is_believed_whole(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    strict.clock.pass_seconds(100)

    settled = await ledger.settle(a_question("call", 2), 160)

    assert (settled.used_seconds, settled.implausible_seconds) == (160, 0)


@pytest.mark.parametrize("lapses", [False, True])
async def test_time_counts_from_the_first_grant_however_often_it_was_asked(
    strict: UnderTest, lapses: bool
) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    strict.clock.pass_seconds(1_000)
    if lapses:
        await ledger.expire(partition_of("contoso"), 10)
    await ledger.reserve(ask("call", 2, by_the_second(), want=60))

    settled = await ledger.settle(a_question("call", 3), 1_000)

    assert (settled.used_seconds, settled.implausible_seconds) == (1_000, 0)


async def test_a_late_report_on_a_lapsed_call_is_bounded_too(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    strict.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)

    settled = await ledger.settle(a_question("call", 2), 100_000)

    assert settled.late
    assert (settled.used_seconds, settled.implausible_seconds) == (3_660, 100_000 - 3_660)


@pytest.mark.parametrize(
    ("began_ms", "believed"), [(0, DAY + TOLERANCE), (START_MS - 1_000_000, 1_060)]
)
async def test_an_announced_call_is_believed_as_far_as_is_known(
    strict: UnderTest, began_ms: int, believed: int
) -> None:
    ledger = strict.ledger
    announced = ask("call", 1, by_the_second(), want=60)
    announced = announced._replace(used_seconds=600_000, began_ms=began_ms)

    answer = await ledger.reserve(announced)
    settled = await ledger.settle(a_question("call", 2), believed)

    assert (answer.used_seconds, answer.implausible_seconds) == (believed, 600_000 - believed)
    assert answer.granted_seconds == believed + 60
    assert (settled.used_seconds, settled.implausible_seconds) == (believed, 0)


async def test_a_running_call_that_is_announced_is_bounded_by_its_own_grant(
    strict: UnderTest,
) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    strict.clock.pass_seconds(10)

    answer = await ledger.reserve(
        ask("call", 2, by_the_second(), want=60)._replace(used_seconds=600_000)
    )

    assert (answer.used_seconds, answer.implausible_seconds) == (70, 600_000 - 70)


async def test_a_free_call_is_told_so_as_well(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, free(), want=60))

    settled = await ledger.settle(a_question("call", 2), 500)

    assert settled.uses == (Use(0, 60, 0),)
    assert settled.implausible_seconds == 440


async def test_the_same_settlement_of_another_figure_is_a_conflict(strict: UnderTest) -> None:
    ledger = strict.ledger
    await ledger.reserve(ask("call", 1, by_the_second(), want=60))
    await ledger.settle(a_question("call", 2, content="600000"), 600_000)

    with pytest.raises(RequestReused):
        await ledger.settle(a_question("call", 2, content="60"), 60)
