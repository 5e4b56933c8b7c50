"""Whoever interrupts a program that waits for the engine gets no traceback of the client's."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from callgate.blocking import _Background


@pytest.fixture
def background() -> Iterator[_Background]:
    background = _Background()
    yield background
    background.stop()


def test_a_watcher_that_takes_a_moment_to_let_go_is_waited_for(background: _Background) -> None:
    let_go = []

    async def movements() -> AsyncIterator[str]:
        yield "first"
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            let_go.append("the stream")

    watching = background.iterate(movements())
    first = next(watching)
    with pytest.raises(KeyboardInterrupt):
        next(watching)

    assert first == "first"
    assert let_go == ["the stream"]
