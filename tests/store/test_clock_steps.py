"""A store whose clock is wrong: no reading is believed alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from typing_extensions import override

from scripted_store import scripted_store
from server.storage.redis import Store, StoreClock, StoreUnavailable

DAY_SECONDS = 86_400
TOLERANCE_SECONDS = 300
# Between two readings of clocks that agree.
NEARLY_MS = 60_000


@dataclass(slots=True)
class Times:
    """By how much the store's clock is ahead."""

    off_seconds: int = 0

    def script(self, command: list[bytes]) -> bytes:
        seconds = b"%d" % (int(time.time()) + self.off_seconds)
        return b"*2\r\n$%d\r\n%s\r\n$1\r\n0\r\n" % (len(seconds), seconds)


class OwnClock(StoreClock):
    """The clock of a machine whose own one is off as well."""

    wall_off_seconds = 0

    @override
    def wall_micros(self) -> int:
        return super().wall_micros() + self.wall_off_seconds * 1_000_000


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def clock(times: Times) -> AsyncIterator[OwnClock]:
    async with scripted_store(times.script) as url:
        store = Store(url)
        yield OwnClock(store, TOLERANCE_SECONDS)
        await store.close()


def off_ms(clock: StoreClock) -> float:
    return abs(clock.now_ms() - time.time() * 1_000)


async def test_a_start_at_a_store_whose_clock_is_wrong_decides_nothing(
    clock: OwnClock, times: Times
) -> None:
    times.off_seconds = 400 * DAY_SECONDS

    with pytest.raises(StoreUnavailable, match="s ahead of this machine's"):
        await clock.refresh()
    with pytest.raises(StoreUnavailable):
        clock.now_ms()
    times.off_seconds = 0
    await clock.refresh()

    assert off_ms(clock) < NEARLY_MS


@pytest.mark.parametrize("off_seconds", [400 * DAY_SECONDS, -400 * DAY_SECONDS, 600, -600])
async def test_a_step_of_the_stores_clock_is_not_followed_and_told_once(
    clock: OwnClock, times: Times, caplog: pytest.LogCaptureFixture, off_seconds: int
) -> None:
    await clock.refresh()

    times.off_seconds = off_seconds
    await clock.refresh()
    await clock.refresh()
    stepped_ms, told = off_ms(clock), clock.off_seconds
    times.off_seconds = 0
    await clock.refresh()

    assert stepped_ms < NEARLY_MS
    assert abs(told - off_seconds) <= 2
    assert clock.off_seconds == 0
    assert caplog.text.count("ALARM clock") == 1


async def test_a_small_difference_is_followed(clock: OwnClock, times: Times) -> None:
    await clock.refresh()
    times.off_seconds = 100

    await clock.refresh()

    assert 98_000 < off_ms(clock) < 102_000


async def test_a_step_ahead_of_a_machine_that_the_store_shares_is_not_followed(
    clock: OwnClock, times: Times
) -> None:
    await clock.refresh()
    clock.wall_off_seconds = times.off_seconds = 400 * DAY_SECONDS

    await clock.refresh()

    assert off_ms(clock) < NEARLY_MS


async def test_a_machine_that_was_ahead_from_the_start_is_set_right(
    clock: OwnClock, times: Times
) -> None:
    """Two clocks say that it is earlier: what is taken back lets no money expire."""
    clock.wall_off_seconds = times.off_seconds = 400 * DAY_SECONDS
    await clock.refresh()
    clock.wall_off_seconds = times.off_seconds = 0

    await clock.refresh()

    assert off_ms(clock) < NEARLY_MS
