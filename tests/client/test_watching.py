"""A watcher through the ends of its streams: where it goes on, and after which pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from callgate.client import watching
from callgate.client.connections import Connections
from callgate.client.watching import NewEpoch, watch
from callgate.errors import Mistake, NoAnswer
from callgate.v1.debits_pb2 import WatchDebitsRequest, WatchDebitsResponse

Streams = Sequence[Sequence[WatchDebitsResponse | grpc.aio.AioRpcError]]


class Engine:
    """Stands for the connections of a client: each stream is the next of these."""

    metadata = ()

    def __init__(self, streams: Streams) -> None:
        self._streams = iter(streams)
        self.asked: list[str] = []

    def pick(self, _: str, __: int) -> Engine:
        return self

    @property
    def channel(self) -> Engine:
        return self

    def unary_stream(self, _: str, **__: Any) -> Any:
        def begin(question: WatchDebitsRequest, **__: Any) -> Stream:
            self.asked.append(question.cursor)
            return Stream(next(self._streams, []))

        return begin


class Stream:
    def __init__(self, parts: Sequence[WatchDebitsResponse | grpc.aio.AioRpcError]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[WatchDebitsResponse]:
        for part in self._parts:
            if isinstance(part, grpc.aio.AioRpcError):
                raise part
            yield part

    def cancel(self) -> None:
        pass


def at(cursor: str) -> WatchDebitsResponse:
    return WatchDebitsResponse(cursor=cursor)


def ended(code: grpc.StatusCode, reason: str = "", **metadata: str) -> grpc.aio.AioRpcError:
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain="callgate.v1", metadata=metadata))
    status = Status(code=code.value[0], details=[detail]).SerializeToString()
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", status))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing)


AWAY = ended(grpc.StatusCode.UNAVAILABLE)


async def seen(engine: Engine, count: int, cursor: str = "") -> list[str]:
    """Watch until so many responses came; return their cursors."""
    cursors: list[str] = []
    asked = WatchDebitsRequest(tenant_id="contoso", cursor=cursor)
    async for response in watch(cast("Connections", engine), asked):
        cursors.append(response.cursor)
        if len(cursors) == count:
            break
    return cursors


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return made


async def test_each_stream_goes_on_where_the_last_one_ended() -> None:
    engine = Engine([[at("a"), at("b")], [AWAY], [at("c"), AWAY], [at("d")]])

    assert await seen(engine, 4) == ["a", "b", "c", "d"]
    assert engine.asked == ["", "b", "b", "c"]


async def test_a_thousand_watchers_of_a_server_that_stops_come_back_at_random_moments(
    pauses: list[float],
) -> None:
    """I7: ended with OK, they are spread over the first pause; none waits for another."""
    for _ in range(1_000):
        await seen(Engine([[at("a")], [at("b")]]), 2)

    tenths = [sum(low <= 10 * one / 0.2 < low + 1 for one in pauses) for low in range(10)]
    assert len(pauses) == 1_000
    assert max(pauses) <= watching.FIRST_PAUSE_SECONDS
    assert min(tenths) > 50


async def test_while_the_engine_is_away_the_pauses_grow(pauses: list[float]) -> None:
    await seen(Engine([[at("a")], *[[AWAY]] * 40, [at("b")]]), 2)

    assert max(pauses[:2]) < max(pauses)
    assert 1 < max(pauses) <= watching.LONGEST_PAUSE_SECONDS


async def test_a_store_that_was_filled_anew_is_told_with_its_sums() -> None:
    """Its reader takes the snapshot over and goes on from it."""
    snapshot = {
        "cursor": "n",
        "currency_code": "USD",
        "available_micros": "5",
        "reserved_micros": "0",
        "debited_micros": "7",
    }
    engine = Engine(
        [[at("a"), ended(grpc.StatusCode.ABORTED, "EPOCH_ENDED", **snapshot)], [at("o")]]
    )
    told: list[Any] = []

    async for response in watch(
        cast("Connections", engine), WatchDebitsRequest(tenant_id="contoso")
    ):
        told.append(response)
        if len(told) == 3:
            break

    assert isinstance(told[1], NewEpoch)
    assert (told[1].account.available.micros, told[1].account.debited.micros) == (5, 7)
    assert engine.asked == ["", "n"]


async def test_an_engine_that_never_answered_is_no_engine_to_watch() -> None:
    with pytest.raises(NoAnswer):
        await seen(Engine([[AWAY]]), 1)


async def test_a_cursor_that_is_wrong_is_told() -> None:
    wrong = ended(grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")

    with pytest.raises(Mistake) as mistake:
        await seen(Engine([[wrong]]), 1, cursor="old")

    assert mistake.value.fix.startswith("Begin anew")
