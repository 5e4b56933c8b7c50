"""A node's lane: given up for its own answers only, and over TLS as without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import uvloop

from deployments import Server, running_server_on_a_port
from ports import reserve_port
from server.storage.redis import Store, StoreUnavailable
from server.storage.redis.lane import Lane
from server.storage.redis.node import LONGEST_PAUSE_SECONDS, Node, NodeEvents
from stores import REDIS, binaries, needs_redis

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"


def a_writer() -> asyncio.StreamWriter:
    transport = SimpleNamespace(
        set_protocol=lambda _: None, abort=lambda: None, write=lambda _: None
    )
    return cast("asyncio.StreamWriter", SimpleNamespace(transport=transport))


class Scene:
    """A node whose attempts to connect a test lets succeed or fail."""

    def __init__(self) -> None:
        self.attempts = 0
        self.failures = 0
        self.trouble: StoreUnavailable | None = None
        events = NodeEvents(opened=lambda: None, doubted=self._count)
        self.node = Node(None, self._connect, reply_seconds=1.0, events=events)

    async def _connect(self) -> asyncio.StreamWriter:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return a_writer()

    def _count(self) -> None:
        self.failures += 1


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_many_who_ask_at_once_share_one_attempt(scene: Scene) -> None:
    lanes = await asyncio.gather(*(scene.node.reach() for _ in range(10)))

    assert len(set(lanes)) == 1
    assert scene.attempts == 1


async def test_who_is_cancelled_takes_the_attempt_from_nobody(scene: Scene) -> None:
    first, second = (asyncio.create_task(scene.node.reach()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert isinstance(await second, Lane)


async def test_after_a_failure_there_is_a_pause_and_then_another_attempt(scene: Scene) -> None:
    scene.trouble = StoreUnavailable("nobody is there")
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match="nobody is there"):
            await scene.node.reach()
    assert scene.attempts == scene.failures == 1

    scene.trouble = None
    await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    assert (await scene.node.reach()).is_open


async def test_a_late_word_of_an_old_lane_does_not_end_the_new_one(scene: Scene) -> None:
    old = await scene.node.reach()
    scene.node.refuse(old, "READONLY")
    await asyncio.sleep(LONGEST_PAUSE_SECONDS)
    new = await scene.node.reach()

    scene.node.refuse(old, "READONLY")

    assert new is not old
    assert scene.node.lane is new


@pytest.fixture(scope="module")
def tls_server() -> Iterator[Server]:
    binary = binaries()[REDIS]
    assert binary is not None
    options = {
        "--tls-cert-file": "server.crt",
        "--tls-key-file": "server.key",
        "--tls-ca-cert-file": "authority.crt",
    }
    files = [part for name, file in options.items() for part in (name, str(CERTIFICATES / file))]
    with running_server_on_a_port(binary, *files, "--tls-port", "0") as server:
        yield server


@needs_redis  # Valkey's was built without TLS.
def test_the_lane_goes_over_tls_on_either_loop(tls_server: Server) -> None:
    port = reserve_port()
    tls_server.run("CONFIG", "SET", "tls-port", port)
    url = f"rediss://localhost:{port}?ssl_ca_certs={CERTIFICATES / 'authority.crt'}"
    url += f"&ssl_certfile={CERTIFICATES / 'client.crt'}&ssl_keyfile={CERTIFICATES / 'client.key'}"

    async def ask() -> list[bytes]:
        store = Store(url)
        replies = await asyncio.gather(*(store.command("ECHO", "x" * 100_000) for _ in range(20)))
        await store.close()
        return replies

    for run in (asyncio.run, uvloop.run):
        assert run(ask()) == [b"x" * 100_000] * 20
