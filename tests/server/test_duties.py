"""What goes on beside the questions goes on, whatever it meets."""

from __future__ import annotations

import asyncio

import pytest

from server.app.background import go_on


async def test_a_duty_that_broke_begins_anew_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun, twice = [], asyncio.Event()

    async def break_once() -> None:
        begun.append(True)
        if len(begun) == 1:
            raise RuntimeError("nobody foresaw this")
        twice.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(go_on("Expiry", break_once, restart_seconds=0))
    await asyncio.wait_for(twice.wait(), timeout=5)
    task.cancel()

    assert "Expiry broke" in caplog.text
    assert "nobody foresaw this" in caplog.text


async def test_a_duty_that_is_cancelled_ends() -> None:
    async def work() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(go_on("Expiry", work))
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task], timeout=5)

    assert task.cancelled()
