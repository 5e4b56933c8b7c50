"""The one HTTP listener: metrics, posts within their limits, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from server.observability.metrics import Metrics, MetricsPage
from server.transport.http import HttpListener, Posted, Reply
from server.transport.http.listener import MAX_BODY_BYTES, MAX_POSTS_AT_ONCE, Address

ANY_PORT = Address("127.0.0.1", 0)


class Listening:
    """A listener with one route that keeps what came, and that can be held."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.open = asyncio.Event()
        self.full = asyncio.Event()
        self.open.set()
        page = MetricsPage(Metrics(), gauges={"ledger_up": lambda: 1.0}, counters={})
        self.listener = HttpListener(ANY_PORT, page, {"/hook": self.take})

    async def take(self, posted: Posted) -> Reply:
        self.posted.append(posted)
        if len(self.posted) == MAX_POSTS_AT_ONCE:
            self.full.set()
        await self.open.wait()
        if posted.body == b"bug":
            raise RuntimeError("a bug")
        return Reply(202, "taken")


@pytest.fixture
async def listening() -> AsyncIterator[tuple[Listening, str]]:
    one = Listening()
    port = await one.listener.start()
    yield one, f"http://127.0.0.1:{port}"
    one.open.set()
    await one.listener.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_prometheus_reads_the_page(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{listening[1]}/metrics") as answer:
        text = await answer.text()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "callgate_ledger_up 1.0" in text.splitlines()


async def test_a_post_reaches_its_route_with_its_raw_body(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    body = b'{"a": 1}\r\n\x00\xff'

    async with client.post(f"{listening[1]}/hook", data=body, headers={"X-A": "b"}) as answer:
        assert (answer.status, await answer.text()) == (202, "taken")

    (posted,) = listening[0].posted
    assert (posted.body, posted.headers["x-a"]) == (body, "b")


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 202), (MAX_BODY_BYTES + 1, 413)])
async def test_a_body_has_a_limit(
    listening: tuple[Listening, str], client: aiohttp.ClientSession, size: int, status: int
) -> None:
    async with client.post(f"{listening[1]}/hook", data=b"x" * size) as answer:
        assert answer.status == status

    assert len(listening[0].posted) == (status == 202)


async def test_nothing_else_is_there(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    statuses = []
    for method, path in (("GET", "/"), ("GET", "/hook"), ("POST", "/metrics"), ("POST", "/x")):
        async with client.request(method, f"{listening[1]}{path}") as answer:
            statuses.append(answer.status)

    assert statuses == [404, 405, 405, 404]


async def test_a_bug_in_a_route_asks_for_another_try(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{listening[1]}/hook", data=b"bug") as answer:
        assert answer.status == 500
        assert "a bug" not in await answer.text()


async def test_an_encoded_body_is_not_taken(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with client.post(f"{listening[1]}/hook", data=b"x" * 9, headers=headers) as answer:
        assert answer.status == 400

    assert listening[0].posted == []


async def test_too_many_posts_at_once_are_sent_away(
    listening: tuple[Listening, str], client: aiohttp.ClientSession
) -> None:
    one, url = listening
    one.open.clear()

    async def post() -> int:
        async with client.post(f"{url}/hook", data=b"x") as answer:
            return answer.status

    posts = [asyncio.create_task(post()) for _ in range(MAX_POSTS_AT_ONCE)]
    async with asyncio.timeout(5):
        await one.full.wait()
        assert await post() == 503
    one.open.set()

    assert set(await asyncio.gather(*posts)) == {202}


async def test_a_taken_port_is_told() -> None:
    first, second = Listening().listener, Listening()
    port = await first.start()
    second.listener._address = Address("127.0.0.1", port)

    with pytest.raises(OSError, match="address already in use"):
        await second.listener.start()

    await first.stop()
    await second.listener.stop()


async def test_headers_that_do_not_arrive_end_the_connection(
    listening: tuple[Listening, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.transport.http.listener.HEADER_SECONDS", 0.1)
    another = Listening()
    port = await another.listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(b"POST /hook HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    async with asyncio.timeout(5):
        await reader.read()

    assert reader.at_eof()
    writer.close()
    await another.listener.stop()


async def test_who_comes_beyond_the_limit_of_connections_is_closed_and_room_comes_back(
    monkeypatch: pytest.MonkeyPatch, listening: tuple[Listening, str]
) -> None:
    monkeypatch.setattr("server.transport.http.listener.MAX_CONNECTIONS", 2)
    port = int(listening[1].rpartition(":")[2])

    async def status(*, keep: bool) -> bytes:
        """Ask on a connection of its own; empty where it was closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            line = await reader.readline()
            if keep and line:
                kept.append(writer)
                return line
            writer.close()
            return line
        return b""

    kept: list[asyncio.StreamWriter] = []
    told = [await status(keep=True) for _ in range(4)]
    for writer in kept:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(10):
        while not (again := await status(keep=False)):
            continue

    assert [bool(line) for line in told] == [True, True, False, False]
    assert again.startswith(b"HTTP/1.1 404")
