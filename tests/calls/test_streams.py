"""Bridges' streams: questions in, answers by number; who may have one, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from switchboards import (
    GATEWAY,
    Bridge,
    Served,
    Switchboard,
    authorize,
    extend,
    failure,
    release,
    settle,
)

MINUTE = 100_000


async def test_every_verb_is_answered_on_a_stream(board: Switchboard, engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    call, other = authorize(gateway_id=""), authorize()
    legs = pb.AuthorizeCallsRequest(
        legs=[authorize(), authorize()], mode=pb.LEG_MODE_ALL_OR_NOTHING
    )

    granted, unanswered, conference = await bridge.ask(call, other, legs)
    (extended,) = await bridge.ask(extend(call, 2, 30))
    settled, released = await bridge.ask(settle(call, 3, 50), release(other, 2))

    assert granted.authorize_call.grant.granted_duration.seconds == 60
    assert unanswered.authorize_call.HasField("grant")
    assert len(conference.authorize_calls.answers) == 2
    assert extended.extend_call.grant.granted_duration.seconds == 120
    assert settled.settle_call.usages[0].used_duration.seconds == 50
    assert released.release_call.released.micros == MINUTE
    assert await board.money() == (5_700_000, 2 * MINUTE, MINUTE)


async def test_an_answer_on_a_stream_is_the_unary_answer(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    call = authorize()

    (item,) = await bridge.ask(call)

    assert item.authorize_call == await engine.stub.AuthorizeCall(call)


async def test_a_question_that_fails_is_told_as_a_unary_call_would_be(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    call = authorize()
    await bridge.ask(call)
    call_2 = authorize(call_id=call.call_id, called_number="+390612345679")

    unknown, wrong, reused, elsewhere, nothing = await bridge.ask(
        settle(authorize(), 2, 10),
        authorize(tenant_id="A B"),
        call_2,
        authorize(gateway_id="bridge-2"),
        pb.CallAnnouncement(tenant_id="contoso", call_id="never"),
    )

    assert (unknown.error.code, unknown.error.reason) == (5, "CALL_UNKNOWN")
    assert (wrong.error.code, wrong.error.metadata["field"]) == (3, "tenant_id")
    assert (reused.error.code, reused.error.reason) == (6, "REQUEST_REUSED")
    assert elsewhere.error.metadata["field"] == "gateway_id"
    assert nothing.error.reason == "CALL_UNKNOWN"
    # The stream goes on.
    assert (await bridge.ask(authorize()))[0].HasField("authorize_call")


async def test_many_questions_are_answered_in_few_messages(
    board: Switchboard, engine: Served
) -> None:
    bridge = await engine.bridge("contoso")
    questions = [authorize(seconds=60) for _ in range(60)]

    answers = await bridge.ask(*questions)

    assert sum(item.authorize_call.HasField("grant") for item in answers) == 60
    assert len(bridge.messages) < 60
    assert await board.money() == (0, 6_000_000, 0)


async def test_an_idle_stream_answers_without_delay(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    await bridge.ask(authorize())
    loop = asyncio.get_running_loop()
    times = []

    for _ in range(20):
        started = loop.time()
        await bridge.ask(authorize(dry_run=True))
        times.append(loop.time() - started)

    assert sorted(times)[len(times) // 2] < 0.02


async def test_an_emergency_on_a_stream_needs_nothing_but_its_digits(engine: Served) -> None:
    bridge = await engine.bridge("contoso")

    (item,) = await bridge.ask(
        pb.AuthorizeCallRequest(called_number="911", gateway_id="\x00", call_id="", sequence=-1)
    )

    assert item.authorize_call.grant.emergency


async def test_an_emergency_in_broken_bytes_is_granted_and_its_neighbours_are_answered(
    engine: Served,
) -> None:
    bridge = await engine.bridge("contoso")
    emergency = bridge.question(authorize("911", call_id="call-\x01"))
    neighbour = bridge.question(authorize())
    message = pb.ControlCallsRequest(questions=[emergency, neighbour]).SerializeToString()
    raw: Any = engine.channel().stream_stream("/callgate.v1.AuthorizationService/ControlCalls")()
    hello = pb.ControlHello(gateway_id="bridge-raw")
    await raw.write(pb.ControlCallsRequest(hello=hello).SerializeToString())

    await raw.write(message.replace(b"call-\x01", b"call-\xff"))

    items: list[pb.ControlItem] = []
    while len(items) < 2:
        items += pb.ControlCallsResponse.FromString(await raw.read()).items
    by_id = {item.item_id: item for item in items}
    assert by_id[emergency.item_id].authorize_call.grant.emergency
    assert by_id[neighbour.item_id].error.metadata["field"] == "gateway_id"
    raw.cancel()


# --- Who has a stream --------------------------------------------------------------------------


async def test_the_newest_stream_of_a_gateway_wins(engine: Served) -> None:
    older = await engine.bridge("contoso")
    await older.ask(authorize())

    newer = await engine.bridge("contoso")
    await newer.ask(authorize())

    assert (await older.ended())[:2] == ("ABORTED", "REPLACED")
    assert (await newer.ask(authorize()))[0].authorize_call.HasField("grant")


async def test_a_newer_stream_at_another_server_wins_too(
    board: Switchboard, engine: Served
) -> None:
    older = await engine.bridge("contoso")
    await older.ask(authorize())

    async with board.serve() as elsewhere:
        newer = await elsewhere.bridge("contoso")
        await newer.ask(authorize())

        assert (await older.ended())[:2] == ("ABORTED", "REPLACED")
        assert (await newer.ask(authorize()))[0].authorize_call.HasField("grant")
        assert engine.standings.count == 0


async def test_a_store_that_was_emptied_replaces_nobody(board: Switchboard, engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    await bridge.ask(authorize())
    await board.store.command("FLUSHALL")
    await board.open(6_000_000)

    await asyncio.sleep(1.2)

    assert (await bridge.ask(authorize()))[0].authorize_call.HasField("grant")
    assert engine.standings.replaced == 0


async def test_streams_of_two_gateways_live_side_by_side(engine: Served) -> None:
    one, two = await engine.bridge("contoso"), await engine.bridge(gateway_id="bridge-2")

    await one.ask(authorize())
    await two.ask(authorize(gateway_id="bridge-2"))
    await one.ask(authorize())

    assert engine.standings.count == 2


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.ControlCallsRequest(), "hello"),
        (pb.ControlCallsRequest(hello=pb.ControlHello(gateway_id="a b")), "hello.gateway_id"),
        (
            pb.ControlCallsRequest(hello=pb.ControlHello(gateway_id="b", tenant_ids=["A"])),
            "hello.tenant_ids[0]",
        ),
        (
            pb.ControlCallsRequest(
                hello=pb.ControlHello(gateway_id="b", tenant_ids=map(str, range(1_001)))
            ),
            "hello.tenant_ids",
        ),
        (
            pb.ControlCallsRequest(
                hello=pb.ControlHello(gateway_id="b"), questions=[pb.ControlQuestion()]
            ),
            "questions[0].item_id",
        ),
        (
            pb.ControlCallsRequest(
                hello=pb.ControlHello(gateway_id="b"),
                questions=[pb.ControlQuestion(item_id=1), pb.ControlQuestion(item_id=1)],
            ),
            "questions[1].item_id",
        ),
        (
            pb.ControlCallsRequest(
                hello=pb.ControlHello(gateway_id="b"),
                questions=[pb.ControlQuestion(item_id=n) for n in range(1, 258)],
            ),
            "questions",
        ),
    ],
)
async def test_a_stream_that_begins_wrongly_ends_with_the_field(
    engine: Served, message: pb.ControlCallsRequest, field: str
) -> None:
    bridge = Bridge(AuthorizationServiceStub(engine.channel()).ControlCalls())
    await bridge.stream.write(message)

    assert await bridge.ended() == ("INVALID_ARGUMENT", "FIELD_INVALID", {"field": field})


async def test_a_second_hello_and_a_strange_tenant_end_a_stream(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    await bridge.stream.write(pb.ControlCallsRequest(hello=pb.ControlHello(gateway_id=GATEWAY)))
    stranger = await engine.bridge("nobody", gateway_id="bridge-2")

    assert (await bridge.ended())[2] == {"field": "hello"}
    assert (await stranger.ended())[:2] == ("PERMISSION_DENIED", "TENANT_FORBIDDEN")


async def test_a_question_without_content_is_answered_by_an_error(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    await bridge.send(pb.ControlQuestion(item_id=77))

    assert (await bridge.answer(77)).error.metadata["field"] == "question"


# --- How it ends -------------------------------------------------------------------------------


async def test_a_bridge_that_says_no_more_gets_all_its_answers(
    board: Switchboard, engine: Served
) -> None:
    bridge = await engine.bridge("contoso")
    questions = [bridge.question(authorize()) for _ in range(50)]
    await bridge.send(*questions)
    await bridge.stream.done_writing()

    answers = [await bridge.answer(question.item_id) for question in questions]

    assert all(item.authorize_call.HasField("grant") for item in answers)
    assert await bridge.stream.code() is not None
    assert engine.standings.count == 0


async def test_a_server_that_stops_answers_what_it_read_and_lets_the_bridge_go(
    board: Switchboard, engine: Served
) -> None:
    """I7: at a drain streams end by themselves, with what was asked answered."""
    bridge = await engine.bridge("contoso")
    await bridge.ask(authorize())
    loop = asyncio.get_running_loop()
    started = loop.time()

    await engine.inner.stop(5.0)

    assert loop.time() - started < 2.0
    assert (await bridge.stream.code()).name == "OK"


async def test_a_stream_that_breaks_leaves_its_calls_as_they_are(
    board: Switchboard, engine: Served
) -> None:
    bridge = await engine.bridge("contoso")
    call = authorize()
    await bridge.ask(call)
    before = await board.money()

    bridge.stream.cancel()
    again = await engine.bridge("contoso")
    (known,) = await again.ask(
        pb.CallAnnouncement(tenant_id="contoso", call_id=call.call_id, sequence=1)
    )

    assert known.deadline.granted_duration.seconds == 60
    assert known.deadline.sequence == 1
    assert not known.deadline.final
    assert known.deadline.report_by_time.ToMilliseconds() == board.clock.now_ms() + 240_000
    assert await board.money() == before


async def test_a_bridge_that_announces_nothing_ends_nothing(
    board: Switchboard, engine: Served
) -> None:
    bridge = await engine.bridge("contoso")
    calls = [authorize(), authorize()]
    await bridge.ask(*calls)
    bridge.stream.cancel()
    before = await board.money()

    again = await engine.bridge("contoso")
    await again.ask(pb.CallAnnouncement(tenant_id="contoso", call_id=calls[0].call_id))

    assert await board.money() == before
    settled, other = await again.ask(settle(calls[0], 2, 1), settle(calls[1], 2, 1))
    assert settled.HasField("settle_call")
    assert other.HasField("settle_call")


async def test_an_announced_call_that_is_over_is_told_so(engine: Served) -> None:
    bridge = await engine.bridge("contoso")
    call = authorize()
    await bridge.ask(call)
    await bridge.ask(settle(call, 2, 1))

    (over,) = await bridge.ask(pb.CallAnnouncement(tenant_id="contoso", call_id=call.call_id))

    assert (over.error.reason, over.error.metadata["state"]) == ("CALL_ENDED", "settled")


async def test_a_call_the_store_has_forgotten_is_announced_anew_and_loses_nothing(
    board: Switchboard, engine: Served
) -> None:
    bridge = await engine.bridge("contoso")
    call = authorize()
    await bridge.ask(call)
    await board.store.command("FLUSHALL")
    await board.open(6_000_000)

    (unknown,) = await bridge.ask(extend(call, 2, 30))
    running = authorize(call_id=call.call_id, sequence=2)
    running.running_call.used_duration.CopyFrom(Duration(seconds=30))
    (granted,) = await bridge.ask(running)
    (settled,) = await bridge.ask(settle(call, 3, 90))

    assert unknown.error.reason == "CALL_UNKNOWN"
    # 30 s that were used and 60 more, in increments begun.
    assert granted.authorize_call.grant.granted_duration.seconds == 120
    assert settled.settle_call.usages[0].used_duration.seconds == 90
    assert await board.money() == (5_800_000, 0, 2 * MINUTE)


async def test_a_bridge_that_does_not_read_stops_being_read(
    board: Switchboard, engine: Served
) -> None:
    """A slow bridge: what it leaves untaken is bounded, and others are served."""
    # Else grpcio's client takes tens of megabytes of what nobody reads.
    slow = await engine.bridge("contoso", options=(("grpc.http2.bdp_probe", 0),))
    question = authorize(dry_run=True, explain=True)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await slow.send(*(slow.question(question) for _ in range(256)))
            sent += 256

    flooding = asyncio.create_task(flood())
    stuck_at = -1
    while stuck_at != sent:
        stuck_at = sent
        await asyncio.sleep(0.5)
        # What grpcio itself takes ahead of its reader, some megabytes, is the transport's.
        assert sent < 300_000
    other = await engine.bridge(gateway_id="bridge-2")
    assert (await other.ask(authorize(gateway_id="bridge-2")))[0].HasField("authorize_call")
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    slow.stream.cancel()


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
async def test_a_stream_begins_at_once_and_is_never_silent_for_long(
    board: Switchboard, transport: Any
) -> None:
    async with board.serve(transport, heartbeat_seconds=0.05) as engine:
        call = engine.stub.ControlCalls()
        async with asyncio.timeout(5):
            await call.initial_metadata()  # Some clients say nothing before it has come.
            hello = pb.ControlHello(gateway_id=GATEWAY, tenant_ids=["contoso"])
            await call.write(pb.ControlCallsRequest(hello=hello))
            for _ in range(3):
                assert await call.read() == pb.ControlCallsResponse()
            await call.write(pb.ControlCallsRequest(questions=[]))
            await call.done_writing()
            while await call.read() is not grpc.aio.EOF:
                continue
        assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
async def test_a_message_that_cannot_be_read_is_a_mistake_of_its_sender(
    board: Switchboard, transport: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/callgate.v1.AuthorizationService"
    async with (
        board.serve(transport) as engine,
        grpc.aio.insecure_channel(engine.target) as channel,
    ):
        for messages in ([b"\xff\xff"], [b"\x0a\x02\xff\xff"], [hello(), b"\xff\xff"]):
            stream: Any = channel.stream_stream(f"{path}/ControlCalls")()
            for message in messages:
                await stream.write(message)
            async with asyncio.timeout(5):
                assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
        for method in ("ExtendCall", "SettleCall", "AuthorizeCalls", "GetEmergencyNumbers"):
            unary: Any = channel.unary_unary(f"{path}/{method}")
            call = unary(b"\xff\xff")
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT, method
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


def hello() -> bytes:
    said = pb.ControlHello(gateway_id=GATEWAY, tenant_ids=["contoso"])
    return pb.ControlCallsRequest(hello=said).SerializeToString()


async def test_a_stream_to_nowhere_fails(engine: Served) -> None:
    bridge = Bridge(AuthorizationServiceStub(engine.channel()).ControlCalls())
    await bridge.stream.done_writing()

    assert (await failure(bridge.stream.read()))[2] == {"field": "hello"}
