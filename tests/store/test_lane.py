"""The lane alone, on a socket that is none: one write a turn, replies in order, limits."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.storage.redis import StoreUnavailable
from server.storage.redis.lane import IN_FLIGHT_LIMIT, Lane, ReplyError, pack

LATE_SECONDS = 0.05


class RecordingTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
async def lane(transport: RecordingTransport) -> Lane:
    return Lane(cast("Any", SimpleNamespace(transport=transport)), LATE_SECONDS, lambda _lane: None)


async def test_what_is_asked_in_one_turn_is_written_at_once(
    lane: Lane, transport: RecordingTransport
) -> None:
    for number in range(3):
        lane.send(pack("ECHO", number))
    assert transport.written == []

    await asyncio.sleep(0)

    assert transport.written == [b"".join(pack("ECHO", number) for number in range(3))]


async def test_replies_go_to_who_asked_in_order_in_whatever_pieces_they_come(lane: Lane) -> None:
    first, second = lane.send(pack("ECHO", "a")), lane.send(pack("ECHO", "b"))

    for byte in b"$1\r\na\r\n*2\r\n:7\r\n$-1\r\n":
        lane.data_received(bytes([byte]))

    assert (await first, await second) == (b"a", [7, None])


async def test_the_reply_of_a_cancelled_question_is_dropped_in_its_place(lane: Lane) -> None:
    first, second, third = (lane.send(pack("ECHO", text)) for text in "abc")
    second.cancel()

    lane.data_received(b"+a\r\n+b\r\n+c\r\n")

    assert (await first, await third) == (b"a", b"c")


async def test_an_error_is_a_reply_like_others(lane: Lane) -> None:
    first, second = lane.send(pack("ECHO", "a")), lane.send(pack("ECHO", "b"))

    lane.data_received(b"-ERR no\r\n+b\r\n")

    assert isinstance(await first, ReplyError)
    assert await second == b"b"


async def test_asking_stands_right_before_its_question(
    lane: Lane, transport: RecordingTransport
) -> None:
    reply = lane.send_asking(pack("ECHO", "a"))
    await asyncio.sleep(0)

    lane.data_received(b"+OK\r\n+a\r\n")

    assert transport.written == [pack("ASKING") + pack("ECHO", "a")]
    assert await reply == b"a"


async def test_more_than_the_limit_is_not_taken(lane: Lane) -> None:
    for _ in range(IN_FLIGHT_LIMIT):
        lane.send(pack("PING")).cancel()

    with pytest.raises(StoreUnavailable):
        lane.send(pack("PING"))

    lane.close("the test is over")


@pytest.mark.parametrize("bytes_", [b"!nonsense\r\n", b"+a\r\n+b\r\n"])
async def test_a_reply_that_nobody_understands_or_asked_for_ends_the_lane(
    lane: Lane, transport: RecordingTransport, bytes_: bytes
) -> None:
    asked = lane.send(pack("ECHO", "a"))

    lane.data_received(bytes_)

    assert transport.is_aborted
    assert not lane.is_open
    assert asked.done()
    asked.exception()


async def test_a_reply_that_is_late_ends_the_lane_for_all_who_wait(
    lane: Lane, transport: RecordingTransport
) -> None:
    first, second = lane.send(pack("ECHO", "a")), lane.send(pack("ECHO", "b"))

    with pytest.raises(StoreUnavailable, match="did not answer"):
        await first

    with pytest.raises(StoreUnavailable):
        await second
    assert transport.is_aborted
    with pytest.raises(StoreUnavailable):
        lane.send(pack("PING"))


async def test_a_process_that_was_held_up_reads_before_it_calls_a_reply_late(lane: Lane) -> None:
    asked = lane.send(pack("ECHO", "a"))
    time.sleep(LATE_SECONDS * 3)  # noqa: ASYNC251 - It is the loop that is held up.
    await asyncio.sleep(0)

    lane.data_received(b"$1\r\na\r\n")

    assert await asked == b"a"
    assert lane.is_open


async def test_a_lane_with_nobody_waiting_lasts(lane: Lane, transport: RecordingTransport) -> None:
    reply = lane.send(pack("ECHO", "a"))
    lane.data_received(b"+a\r\n")
    await reply

    await asyncio.sleep(LATE_SECONDS * 2)

    assert lane.is_open
    assert not transport.is_aborted


async def test_a_retired_lane_ends_when_all_are_answered(
    lane: Lane, transport: RecordingTransport
) -> None:
    reply = lane.send(pack("ECHO", "a"))
    lane.retire()
    assert not transport.is_aborted

    lane.data_received(b"+a\r\n")

    assert await reply == b"a"
    assert transport.is_aborted
