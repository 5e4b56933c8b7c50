"""A drain: everybody is told, nobody is cut off, and the end comes long before the grace does."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from engines import OwnRedis, a_question, running_engine, wait_until
from raw_http2 import GoAwayFrame, connected
from server.app.process import allow_many_connections
from watching import CREDITS_CALL, watch

GRACE_SECONDS = 20
CLIENTS = 1_000


def _take_all(stream: Any) -> tuple[list[Any], grpc.StatusCode]:
    """Read a stream to its end; return what it said and how it ended."""
    taken = []
    try:
        for each in stream:
            taken.append(each)  # noqa: PERF402 -- What came before a failure is wanted too.
    except grpc.RpcError as error:
        return taken, error.code()
    return taken, grpc.StatusCode.OK


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_a_drain_tells_everybody_answers_what_runs_and_ends(
    tmp_path: Path, redis: OwnRedis, transport: str
) -> None:
    """I7: SIGTERM: health says NOT_SERVING, streams get a last checkpoint, questions an answer."""
    settings = {"redis_url": redis.url, "transport": transport, "deadline_ms": 10_000}
    with (
        running_engine(tmp_path / "engine", **settings, drain_seconds=GRACE_SECONDS) as engine,
        ThreadPoolExecutor() as threads,
    ):
        health, debits = engine.watch_health(), watch(engine.address)
        served, first = next(health), next(debits)
        with redis.frozen():
            answer = threads.submit(engine.ask, a_question(CREDITS_CALL), 10.0)
            # The question is on its way; nothing outside shows when it has arrived.
            time.sleep(0.2)
            engine.process.terminate()
            wait_until(lambda: "Draining" in engine.log)
            told = list(health)
        said, ended = _take_all(debits)
        granted = answer.result().HasField("grant")
        started = time.monotonic()
        status = engine.gone()
        seconds = time.monotonic() - started

    assert (served, told) == ("SERVING", ["NOT_SERVING"])
    assert granted
    assert ended is grpc.StatusCode.OK
    assert (said[-1].cursor, bool(said[-1].cursor)) != (first.cursor, False)
    assert status == 0
    assert seconds < GRACE_SECONDS / 2


async def test_a_thousand_clients_are_sent_elsewhere_by_two_goaways(tmp_path: Path) -> None:
    """I7: no client is cut off: each hears where its calls ended, and may come back elsewhere."""
    allow_many_connections()
    with running_engine(tmp_path, transport="nghttp2", drain_seconds=GRACE_SECONDS) as engine:
        port = int(engine.address.rpartition(":")[2])
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(port)) for _ in range(CLIENTS)]
            for client in clients:
                await client.settle()
            started = time.monotonic()
            engine.process.terminate()
            for client in clients:
                await client.until(lambda client=client: client.closed)
            status = await asyncio.to_thread(engine.gone)
            seconds = time.monotonic() - started

    goaways = [[_told(frame) for frame in client.goaways] for client in clients]
    assert all(first == _ANY_CALL and last == _NO_CALL for first, last in goaways)
    assert status == 0
    assert seconds < GRACE_SECONDS / 2


# The number of the last call that is served, and the error code.
_ANY_CALL, _NO_CALL = (2**31 - 1, 0), (0, 0)


def _told(frame: GoAwayFrame) -> tuple[int, int]:
    return frame.last_stream_id, frame.error_code
