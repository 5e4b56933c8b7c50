"""A question takes no longer than its caller waits, nor than the engine allows."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.ledger.deadline import Deadline


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [(0.05, None), (0.05, 30.0), (30.0, 0.05)],
)
async def test_the_shorter_one_counts_and_leaves_time_to_answer(
    limit: float, remaining: float | None
) -> None:
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        async with Deadline(limit).timeout(remaining):
            await asyncio.Event().wait()

    assert 0.03 < time.monotonic() - started < 5.0


async def test_what_is_in_time_is_left_alone() -> None:
    async with Deadline(5.0).timeout(None):
        await asyncio.sleep(0)


async def test_a_deadline_that_has_passed_already_is_no_time() -> None:
    with pytest.raises(TimeoutError):
        async with Deadline(5.0).timeout(-1.0):
            await asyncio.sleep(0.01)


async def test_an_outer_cancellation_stays_one() -> None:
    async def ask() -> None:
        async with Deadline(5.0).timeout(None):
            await asyncio.Event().wait()

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
