"""Clients that break the protocol or flood us: their connection ends, nobody else's does."""

import asyncio
import contextlib
import random
import struct
from typing import Any

import grpc
import pytest

from interop import pb
from raw_http2 import (
    DUPLEX,
    PREFACE,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RawClient,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
    connected,
    framed,
    request_fields,
)
from serving import Served, eventually, only_nghttp2, serving

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, CANCEL, CALM = 1, 3, 8, 11


async def goes_away(raw: RawClient) -> int | None:
    """Wait until the server has ended the connection; return the error code it gave, if any."""
    await raw.until(lambda: raw.closed)
    return raw.goaways[-1].error_code if raw.goaways else None


async def still_serves(served: Served) -> bool:
    """Whether another client is answered."""
    return bool(await served.stub().EmptyCall(pb.Empty()) == pb.Empty())


@only_nghttp2
async def test_rapid_reset_ends_the_connection(transport: Any) -> None:
    limits: dict[str, Any] = {"stream_resets_burst": 50, "stream_resets_per_second": 1}
    async with serving(transport, **limits) as served, connected(served.port) as raw:
        for stream_id in range(1, 301, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
            raw.send(RstStreamFrame(stream_id, CANCEL))

        assert await goes_away(raw) is not None
        assert await still_serves(served)


async def test_resets_within_the_allowance_are_served(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        for stream_id in range(1, 1_001, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
            raw.send(RstStreamFrame(stream_id, CANCEL))

        answer = await raw.ask(1_001, request_fields(), framed(b""))

        assert answer.status == 0


async def test_a_flood_of_continuations_ends_the_connection(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        raw.send(HeadersFrame(1, raw.headers(1, request_fields()).data))

        raw.send_raw(b"\0\0\0\x09\0\0\0\0\x01" * 10_000)

        await goes_away(raw)
        assert await still_serves(served)


@only_nghttp2
async def test_a_flood_of_settings_ends_the_connection(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        raw.send_raw(SettingsFrame(0).serialize() * 5_000)

        assert await goes_away(raw) == CALM
        assert await still_serves(served)


@only_nghttp2
async def test_a_flood_of_pings_ends_the_connection(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        raw.send_raw(PingFrame(0, b"flooding").serialize() * 5_000)

        assert await goes_away(raw) == CALM
        assert await still_serves(served)


async def test_pings_too_often_without_a_call_end_the_connection(transport: Any) -> None:
    limits: dict[str, Any] = {"min_ping_interval_seconds": 60, "max_ping_strikes": 2}
    async with serving(transport, **limits) as served, connected(served.port) as raw:
        for _ in range(4):
            raw.send(PingFrame(0, b"too soon"))

        assert await goes_away(raw) == CALM
        assert raw.goaways[-1].additional_data == b"too_many_pings"
        assert await still_serves(served)


async def test_pings_after_each_answer_are_no_abuse(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        for stream_id in range(1, 21, 2):
            await raw.ask(stream_id, request_fields(), framed(b""))
            await raw.settle()

        assert raw.goaways == []


@only_nghttp2
async def test_a_header_bomb_ends_the_connection(transport: Any) -> None:
    async with serving(transport, max_metadata_bytes=4_096) as served:
        async with connected(served.port) as raw:
            # A value in the table of HPACK costs one byte to repeat.
            fields = [("x-bomb", "v" * 2_000)] * 100
            raw.call(1, [*request_fields(), *fields], framed(b""))

            assert await goes_away(raw) == CALM
        assert await still_serves(served)


@only_nghttp2
async def test_too_many_headers_end_the_connection(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        raw.call(1, [*request_fields(), *[("x", "y")] * 1_000], framed(b""))

        assert await goes_away(raw) == CALM
        assert await still_serves(served)


@only_nghttp2
async def test_a_client_that_never_greets_is_left(transport: Any) -> None:
    async with serving(transport, handshake_timeout_seconds=0.1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)

        await asyncio.wait_for(reader.read(), 5)

        assert reader.at_eof()
        writer.transport.abort()


async def test_http1_is_turned_away(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    told = await asyncio.wait_for(reader.read(), 5)

    writer.transport.abort()
    assert await still_serves(served)
    if served.inner.name == "nghttp2":
        assert told.startswith(b"HTTP/1.1 505 ")
        assert b"gRPC over HTTP/2" in told


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream_id)
        + payload
    )


MALFORMED = {
    "data on stream 0": frame(0, 0, 0, b"x"),
    "data on an idle stream": frame(0, 0, 7, b"x"),
    "headers on stream 0": frame(1, 4, 0, b"\x82"),
    "headers on an even stream": frame(1, 4, 2, b"\x82"),
    "headers that HPACK cannot read": frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
    "padding longer than its frame": frame(1, 0xC, 3, b"\xff"),
    "a reset of an idle stream": frame(3, 0, 9, b"\0\0\0\x08"),
    "a reset that is too short": frame(3, 0, 1, b"\0\0"),
    "settings of an odd size": frame(4, 0, 0, b"\0" * 5),
    "settings on a stream": frame(4, 0, 1),
    "an acknowledgement with content": frame(4, 1, 0, b"\0" * 6),
    "an impossible window": frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"),
    "a ping that is too short": frame(6, 0, 0, b"\0" * 7),
    "a ping on a stream": frame(6, 0, 1, b"\0" * 8),
    "a continuation of nothing": frame(9, 4, 1, b"\x82"),
    "a window that overflows": frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "a frame beyond the largest size": b"\xff\xff\xff\0\0\0\0\0\x01",
}


@only_nghttp2
@pytest.mark.parametrize("sent", list(MALFORMED.values()), ids=list(MALFORMED))
async def test_a_malformed_frame_ends_its_connection_and_no_other(
    served: Served, sent: bytes
) -> None:
    async with connected(served.port) as raw:
        await raw.ask(1, request_fields(), framed(b""))

        raw.send_raw(sent)

        await goes_away(raw)
    assert await still_serves(served)


async def test_an_unknown_kind_of_frame_is_ignored(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send_raw(frame(0xEE, 0xFF, 0, b"whatever"))

        assert (await raw.ask(1, request_fields(), framed(b""))).status == 0


@only_nghttp2
async def test_a_request_that_is_no_http_ends_only_its_stream(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, [(":method", "POST"), (":scheme", "http")], "END_STREAM"))
        answer = await raw.answer(1)

        assert answer.reset == PROTOCOL_ERROR
        assert (await raw.ask(3, request_fields(), framed(b""))).status == 0


@only_nghttp2
async def test_content_that_does_not_match_its_length_ends_only_its_stream(
    served: Served,
) -> None:
    async with connected(served.port) as raw:
        await raw.settle()
        fields = [*request_fields(DUPLEX), ("content-length", "3")]
        raw.send(raw.headers(1, fields), DataFrame(1, framed(b""), flags=["END_STREAM"]))
        answer = await raw.answer(1)

        assert answer.reset == PROTOCOL_ERROR
        assert await asyncio.wait_for(served.servicer.endings.get(), 5)
        assert served.servicer.contexts[0].code() is grpc.StatusCode.INTERNAL
        assert (await raw.ask(3, request_fields(), framed(b""))).status == 0


@only_nghttp2
async def test_a_broken_connection_names_the_last_call_that_ran(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(DUPLEX)))
        raw.send(raw.headers(3, request_fields(DUPLEX)))
        await eventually(lambda: len(served.servicer.contexts) == 2)

        raw.send_raw(b"\0\0\0\x09\0\0\0\0\x05" * 3)
        await goes_away(raw)

        assert raw.goaways[-1].last_stream_id == 3


@only_nghttp2
async def test_data_after_the_end_of_a_request_ends_the_connection(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields("/grpc.testing.TestService/FullDuplexCall")))
        raw.send(DataFrame(1, _waits(), flags=["END_STREAM"]), DataFrame(1, b"more"))

        await goes_away(raw)
    assert await still_serves(served)


def _waits() -> bytes:
    parameters = [pb.ResponseParameters(size=1, interval_us=10_000_000)]
    return framed(pb.StreamingOutputCallRequest(response_parameters=parameters))


@only_nghttp2
async def test_a_window_update_of_zero_is_an_error(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send_raw(frame(8, 0, 0, b"\0\0\0\0"))

        assert await goes_away(raw) is not None


@pytest.mark.parametrize("cut", [0, 1, 9, 23])
async def test_the_greeting_may_arrive_in_pieces(served: Served, cut: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    greeting = PREFACE + SettingsFrame(0).serialize() + WindowUpdateFrame(0, 10).serialize()

    writer.write(greeting[:cut])
    await asyncio.sleep(0.01)
    writer.write(greeting[cut:])

    assert await asyncio.wait_for(reader.readexactly(9), 5)
    writer.transport.abort()


@only_nghttp2
@pytest.mark.parametrize(
    "fields",
    [
        request_fields("/nobody.Serves/This"),
        request_fields(content_type="text/html"),
        [(":method", "GET"), *request_fields()[1:]],
        request_fields(grpc_timeout="never"),
        request_fields(),
        request_fields(DUPLEX),
    ],
    ids=["unserved", "foreign", "get", "unreadable", "unary", "duplex"],
)
async def test_a_request_that_is_reset_in_the_same_breath_harms_nobody(
    served: Served, fields: Any
) -> None:
    async with connected(served.port) as raw:
        raw.send(
            raw.headers(1, fields),
            DataFrame(1, framed(b"")),
            RstStreamFrame(1, CANCEL),
            raw.headers(3, fields),
            RstStreamFrame(3, CANCEL),
        )

        assert (await raw.ask(5, request_fields(), framed(b""))).status == 0


@only_nghttp2
async def test_a_violation_right_after_calls_began_ends_them(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(DUPLEX)))
        await eventually(lambda: served.servicer.contexts)
        raw.send(raw.headers(3, request_fields("/nobody.Serves/This")))

        raw.send_raw(MALFORMED["data on an idle stream"])

        assert await goes_away(raw) is not None
        assert await asyncio.wait_for(served.servicer.endings.get(), 5)


@only_nghttp2
async def test_a_window_of_one_call_that_overflows_ends_its_connection(served: Served) -> None:
    async with connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(DUPLEX)))
        raw.send(raw.headers(3, request_fields("/nobody.Serves/This")))
        raw.send(WindowUpdateFrame(1, window_increment=2**31 - 1))

        assert await goes_away(raw) == FLOW_CONTROL_ERROR
        assert await still_serves(served)


def session(raw: RawClient) -> bytes:
    """The bytes of a client that does a little of everything."""
    frames = [
        SettingsFrame(0),
        raw.headers(1, request_fields(grpc_timeout="1S")),
        DataFrame(1, framed(b""), flags=["END_STREAM"]),
        raw.headers(3, request_fields(DUPLEX)),
        DataFrame(3, framed(pb.StreamingOutputCallRequest(payload=pb.Payload(body=b"x" * 50)))),
        raw.headers(5, request_fields("/nobody.Serves/This")),
        PingFrame(0, b"12345678"),
        WindowUpdateFrame(0, window_increment=1_000),
        DataFrame(5, framed(b"")),
        RstStreamFrame(3, CANCEL),
        raw.headers(7, request_fields(grpc_encoding="gzip")),
        DataFrame(7, framed(b"\0", flag=1), flags=["END_STREAM"]),
        raw.headers(9, request_fields(DUPLEX)),
    ]
    return PREFACE + b"".join(frame.serialize() for frame in frames)


def mutilated(data: bytes, chance: random.Random) -> bytes:
    """Change a few bytes, or lose, repeat or swap pieces."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(PREFACE), len(changed)), chance.randint(1, 30)
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length]
            case _:
                changed[at:at] = chance.randbytes(length)
    return bytes(changed)


@only_nghttp2
async def test_mutilated_sessions_harm_nobody_else(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(served.port) as raw:
        whole = session(raw)

    for seed in range(300):
        chance = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        data = mutilated(whole, chance)
        cut = chance.randrange(len(data))
        writer.write(data[:cut])
        await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError, RuntimeError):  # It may be cut off by then.
            writer.write(data[cut:])
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
        writer.transport.abort()

    assert await still_serves(served)
    errors = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert errors == []
