"""Too much to do: questions of a stream are shed one by one, reports last, emergencies never."""

from __future__ import annotations

import grpc
import pytest

from server.calls.load_shedding import (
    LEAST_WAITING,
    MOST_WAITING,
    REPORTS_FACTOR,
    LoadShedder,
    Waiting,
)
from switchboards import Served, authorize, extend, failure, release, settle


class Line:
    """A line before the ledger that is as long and as old as a test says."""

    def __init__(self) -> None:
        self.count, self.oldest_seconds = 0, 0.0
        self.load = LoadShedder(Waiting(lambda: self.count, lambda: self.oldest_seconds), 1.0)


@pytest.fixture
def line(engine: Served) -> Line:
    """Put another line before the ledger of the engine."""
    line = Line()
    engine.verbs.load._waiting = line.load._waiting
    return line


async def test_new_calls_are_shed_one_by_one_on_a_stream_and_emergencies_are_granted(
    engine: Served, line: Line
) -> None:
    bridge = await engine.bridge("contoso")
    line.count = MOST_WAITING

    shed, granted, shed_as_well = await bridge.ask(
        authorize(), authorize(called_number="911"), authorize()
    )

    for item in (shed, shed_as_well):
        assert item.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert item.error.reason == "OVERLOADED"
        assert item.error.retry_delay.ToMilliseconds() == 250
    assert granted.authorize_call.grant.emergency


async def test_a_unary_call_that_is_shed_says_when_to_ask_again(engine: Served, line: Line) -> None:
    line.count = MOST_WAITING

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await engine.stub.AuthorizeCall(authorize())
    emergency = await engine.stub.AuthorizeCall(authorize(called_number="911"))

    trailers = dict(caught.value.trailing_metadata() or ())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers["grpc-retry-pushback-ms"] == "250"
    assert emergency.grant.emergency


async def test_reports_about_running_calls_are_taken_while_new_calls_are_shed(
    engine: Served, line: Line
) -> None:
    first, second = authorize(), authorize()
    await engine.stub.AuthorizeCall(first)
    await engine.stub.AuthorizeCall(second)
    line.count = MOST_WAITING * REPORTS_FACTOR - 1

    told = await failure(engine.stub.AuthorizeCall(authorize()))
    extended = await engine.stub.ExtendCall(extend(first, 2, 30))
    settled = await engine.stub.SettleCall(settle(first, 3, 50))
    await engine.stub.ReleaseCall(release(second, 2))
    line.count += 1
    told_at_last = await failure(engine.stub.SettleCall(settle(first, 4, 50)))

    assert told[1] == told_at_last[1] == "OVERLOADED"
    assert extended.HasField("grant")
    assert settled.usages[0].used_duration.seconds == 50


def test_the_limit_shrinks_while_the_oldest_waits_too_long_and_grows_again() -> None:
    line = Line()
    line.count, line.oldest_seconds = 200, 0.2
    line.load.look(0.0)
    at_first = line.load.limit
    for _ in range(50):
        line.load.look(0.0)
    least = line.load.limit
    line.oldest_seconds = 0.01
    for _ in range(50):
        line.load.look(0.0)

    assert at_first == 100
    assert least == LEAST_WAITING
    assert line.load.limit == MOST_WAITING


def test_a_loop_that_is_behind_counts_as_a_line_that_is() -> None:
    line = Line()
    line.count = 200

    line.load.look(0.2)

    assert line.load.limit == 100


def test_a_short_line_is_never_shed_however_slow_all_is() -> None:
    line = Line()
    line.count, line.oldest_seconds = LEAST_WAITING - 1, 3.0
    for _ in range(50):
        line.load.look(3.0)

    line.load.check_call()

    assert line.load.limit == LEAST_WAITING
