"""How connections begin, age, idle and end: addresses, keep-alive, GOAWAY, drain, many streams."""

import asyncio
import gc
import socket
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from interop import pb, stubs
from raw_http2 import (
    DUPLEX,
    DataFrame,
    RstStreamFrame,
    connected,
    framed,
    request_fields,
)
from server.transport import AddressUnusable, TransportOptions, make_server
from server.transport.listeners import bind
from server.transport.servicer_context import ServicerContext
from server.transport.stream import Stream
from serving import OWN_CONNECTION, Served, eventually, only_nghttp2, serving

LAST_POSSIBLE_STREAM = 2**31 - 1
NO_ERROR, CANCEL = 0, 8


def wants(size: int) -> Any:
    return pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size)])


# Addresses ---------------------------------------------------------------------------------------


async def test_a_unix_socket_is_served_and_removed(transport: Any, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"

    async with serving(transport, address=f"unix:{path}") as served:
        assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()

    assert not path.exists()


@only_nghttp2
async def test_a_socket_that_a_dead_server_left_is_replaced(transport: Any, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async with serving(transport, address=f"unix:{path}") as served:
        assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


@only_nghttp2
async def test_a_socket_that_is_in_use_is_left_alone(transport: Any, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/grpc.sock"
    async with serving(transport, address=address) as served:
        second = make_server(transport, TransportOptions())

        with pytest.raises(AddressUnusable, match=r"grpc\.sock"):
            second.add_insecure_port(address)

        assert await served.stub().EmptyCall(pb.Empty()) == pb.Empty()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
async def test_every_loopback_address_is_served(transport: Any, address: str) -> None:
    inner = make_server(transport, TransportOptions())
    port = inner.add_insecure_port(address)
    await inner.start()
    host = address.rpartition(":")[0]

    async with grpc.aio.insecure_channel(f"{host}:{port}", options=OWN_CONNECTION) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.TestServiceStub(channel).EmptyCall(pb.Empty())

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await inner.stop(0)


@pytest.mark.parametrize("address", ["127.0.0.1:port", "no such host:0", "1.2.3.4:1"])
async def test_an_address_that_cannot_be_used_is_named(transport: Any, address: str) -> None:
    inner = make_server(transport, TransportOptions())

    with pytest.raises(AddressUnusable, match=address.split(":", maxsplit=1)[0]):
        inner.add_insecure_port(address)
    await inner.stop(0)


async def test_a_port_in_use_is_refused(served: Served, transport: Any) -> None:
    second = make_server(transport, TransportOptions())

    with pytest.raises(AddressUnusable):
        second.add_insecure_port(served.target)
    await second.stop(0)


async def test_two_servers_share_a_port_if_both_say_so(transport: Any) -> None:
    async with (
        serving(transport, reuse_port=True) as first,
        serving(transport, address=first.target, reuse_port=True) as second,
    ):
        for _ in range(30):
            await first.stub().EmptyCall(pb.Empty())

        # The kernel spreads connections, and each stub has its own.
        assert first.servicer.contexts
        assert second.servicer.contexts


@only_nghttp2
async def test_a_socket_made_elsewhere_is_served(transport: Any, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/inherited.sock"
    [listener] = bind(address, reuse_port=False)
    inner = make_server(transport, TransportOptions())
    inner.add_listener(listener)
    await inner.start()

    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.TestServiceStub(channel).EmptyCall(pb.Empty())

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    await inner.stop(0)


def test_grpcio_says_that_it_cannot_serve_a_socket_made_elsewhere(tmp_path: Path) -> None:
    [listener] = bind(f"unix:{tmp_path}/inherited.sock", reuse_port=False)

    with pytest.raises(AddressUnusable, match="grpcio"):
        asyncio.run(offer(listener))
    listener.close()


async def offer(listener: socket.socket) -> None:
    """Offer a socket to the transport that cannot take it."""
    make_server("grpcio", TransportOptions()).add_listener(listener)


async def test_the_peer_is_named_by_its_address(served: Served) -> None:
    peers: list[Any] = []

    async def look(_request: Any, context: Any) -> Any:
        peers.extend((context.peer(), context.peer_identities(), context.peer_identity_key()))
        return pb.SimpleResponse()

    served.servicer.behaviour = look
    await served.stub().UnaryCall(pb.SimpleRequest())

    assert peers[0].startswith("ipv4:127.0.0.1:")
    assert peers[1:] == [None, None]


# Keep-alive --------------------------------------------------------------------------------------


async def test_a_silent_client_is_pinged_and_kept_while_it_answers(transport: Any) -> None:
    limits: dict[str, Any] = {"keepalive_time_seconds": 0.1, "handshake_timeout_seconds": 0.1}
    async with serving(transport, **limits) as served, connected(served.port) as raw:
        await raw.until(lambda: raw.pings >= 2)

        assert (await raw.ask(1, request_fields(), framed(b""))).status == 0


@only_nghttp2
async def test_a_client_that_does_not_answer_pings_is_left(transport: Any) -> None:
    limits: dict[str, Any] = {
        "keepalive_time_seconds": 0.1,
        "keepalive_timeout_seconds": 0.1,
        "handshake_timeout_seconds": 0.1,
    }
    async with serving(transport, **limits) as served, connected(served.port) as raw:
        raw.acknowledge_pings = False
        raw.send(raw.headers(1, request_fields(DUPLEX)))

        await raw.until(lambda: raw.closed)

        await asyncio.wait_for(served.servicer.endings.get(), 5)


# Age, GOAWAY and drain ---------------------------------------------------------------------------


async def test_an_old_connection_is_asked_to_go_and_its_running_call_is_waited_for(
    transport: Any,
) -> None:
    async with (
        serving(transport, max_connection_age_seconds=0.2) as served,
        connected(served.port) as raw,
    ):
        raw.send(raw.headers(1, request_fields(DUPLEX)))

        await raw.until(lambda: len(raw.goaways) == 2)
        raw.send(DataFrame(1, framed(wants(7)), flags=["END_STREAM"]))
        answer = await raw.answer(1)
        await raw.until(lambda: raw.closed)

        assert [goaway.last_stream_id for goaway in raw.goaways] == [LAST_POSSIBLE_STREAM, 1]
        assert {goaway.error_code for goaway in raw.goaways} == {NO_ERROR}
        assert answer.status == 0


async def test_a_servicer_that_wants_to_know_is_told_to_move_and_not_cut(
    transport: Any,
) -> None:
    async with serving(transport, max_connection_age_seconds=0.1) as served:
        told = asyncio.Event()
        call = served.stub().FullDuplexCall()
        await call.write(wants(1))
        await call.read()
        served.inner.on_move(served.servicer.contexts[0], told.set)

        await asyncio.wait_for(told.wait(), 5)
        await call.write(wants(2))

        assert len((await call.read()).payload.body) == 2
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_call_that_was_told_to_move_before_it_asked_is_told_at_once(
    transport: Any,
) -> None:
    async with serving(transport, max_connection_age_seconds=0.05) as served:
        told = asyncio.Event()
        call = served.stub().FullDuplexCall()
        await call.write(wants(1))
        await call.read()
        await asyncio.sleep(0.2)

        served.inner.on_move(served.servicer.contexts[0], told.set)

        await asyncio.wait_for(told.wait(), 5)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_clients_notice_nothing_of_connections_that_age(transport: Any) -> None:
    peers: set[str] = set()

    async def look(_request: Any, context: Any) -> Any:
        peers.add(context.peer())
        return pb.SimpleResponse()

    async with serving(transport, max_connection_age_seconds=0.05) as served:
        served.servicer.behaviour = look
        stub = served.stub()

        for _ in range(60):
            await stub.UnaryCall(pb.SimpleRequest())
            await asyncio.sleep(0.005)

        assert len(peers) > 1


@only_nghttp2
async def test_draining_serves_what_is_on_its_way_and_refuses_what_comes_later(
    transport: Any,
) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        raw.acknowledge_pings = False  # The client has not seen the first GOAWAY yet.
        raw.send(raw.headers(1, request_fields(DUPLEX)))
        await eventually(lambda: served.servicer.contexts)
        stopping = asyncio.create_task(served.inner.stop(5))
        await raw.until(lambda: raw.goaways)

        answer = await raw.ask(3, request_fields(), framed(b""))
        raw.send(DataFrame(1, flags=["END_STREAM"]))
        await raw.answer(1)
        raw.close()
        await stopping

        assert answer.status == 0
        assert raw.answers[1].status == 0


async def test_stopping_waits_for_running_calls(served: Served) -> None:
    call = served.stub().FullDuplexCall()
    await call.write(wants(1))
    await call.read()

    stopping = asyncio.create_task(served.inner.stop(5))
    await asyncio.sleep(0.05)
    await call.write(wants(2))
    answer = await call.read()
    await call.done_writing()
    await stopping

    assert len(answer.payload.body) == 2
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("grace", [0.05, None])
async def test_stopping_ends_calls_when_its_patience_does(
    served: Served, grace: float | None
) -> None:
    call = served.stub().FullDuplexCall()
    await call.write(wants(1))
    await call.read()

    await asyncio.wait_for(served.inner.stop(grace), 5)

    assert await call.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    await asyncio.wait_for(served.servicer.endings.get(), 5)


async def test_a_shorter_patience_wins(served: Served) -> None:
    call = served.stub().FullDuplexCall()
    await call.write(wants(1))
    await call.read()
    patient = asyncio.create_task(served.inner.stop(60))
    await asyncio.sleep(0.05)

    await asyncio.wait_for(served.inner.stop(None), 5)

    await asyncio.wait_for(patient, 5)


async def test_an_idle_server_stops_at_once(served: Served) -> None:
    await served.stub().EmptyCall(pb.Empty())

    await asyncio.wait_for(served.inner.stop(60), 5)
    await asyncio.wait_for(served.inner.wait_for_termination(), 5)


async def test_a_stopped_server_takes_no_connections(served: Served) -> None:
    await served.inner.stop(0)

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port)


@only_nghttp2
async def test_stopping_does_not_wait_for_a_client_that_does_not_read(transport: Any) -> None:
    parameters = [pb.ResponseParameters(size=10_000) for _ in range(1_000)]
    request = framed(pb.StreamingOutputCallRequest(response_parameters=parameters))
    async with serving(transport) as served, connected(served.port) as raw:
        raw.send(raw.headers(1, request_fields(DUPLEX)), DataFrame(1, request))
        await raw.until(lambda: 1 in raw.answers and raw.answers[1].data)

        await asyncio.wait_for(served.inner.stop(0.05), 5)

        await asyncio.wait_for(served.servicer.endings.get(), 5)


# Many streams ------------------------------------------------------------------------------------


@only_nghttp2
async def test_thousands_of_calls_run_at_once_on_one_connection(transport: Any) -> None:
    count = 3_000
    async with serving(transport) as served, connected(served.port) as raw:
        for stream_id in range(1, 2 * count, 2):
            raw.send(raw.headers(stream_id, request_fields(DUPLEX)))
        await eventually(lambda: len(served.servicer.contexts) == count, within_seconds=20)

        for stream_id in range(1, 2 * count, 2):
            raw.send(DataFrame(stream_id, framed(wants(1)), flags=["END_STREAM"]))
        await eventually(
            lambda: sum(answer.ended for answer in raw.answers.values()) == count,
            within_seconds=20,
        )

        assert {answer.status for answer in raw.answers.values()} == {0}


@only_nghttp2
async def test_more_calls_than_the_limit_wait_at_the_client(transport: Any) -> None:
    async with serving(transport, max_concurrent_streams=4) as served:
        stub = served.stub()
        await stub.EmptyCall(pb.Empty())  # Now the client knows the limit.

        answers = await asyncio.gather(
            *[stub.UnaryCall(pb.SimpleRequest(response_size=size)) for size in range(100)]
        )

        assert [len(answer.payload.body) for answer in answers] == list(range(100))


async def test_each_answer_belongs_to_its_request(served: Served) -> None:
    stub = served.stub()

    async def ask(size: int) -> int:
        answer = await stub.UnaryCall(pb.SimpleRequest(response_size=size))
        return len(answer.payload.body)

    assert await asyncio.gather(*[ask(size) for size in range(500)]) == list(range(500))


@only_nghttp2
async def test_a_connection_that_served_much_holds_nothing_more(transport: Any) -> None:
    async with serving(transport) as served, connected(served.port) as raw:
        for stream_id in range(1, 2_001, 4):
            raw.call(stream_id, request_fields(grpc_timeout="1H"), framed(b""))
            raw.send(raw.headers(stream_id + 2, request_fields(DUPLEX)))
            raw.send(RstStreamFrame(stream_id + 2, CANCEL))
        await raw.answer(1_997)
        await raw.settle()
        served.servicer.contexts.clear()
        gc.collect()

        held = [thing for thing in gc.get_objects() if isinstance(thing, Stream | ServicerContext)]
        assert held == []
