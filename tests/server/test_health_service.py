"""What health checks are told: of each service by name, in silence, and before a drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2 as pb

from server.services import health as health_module
from server.services.health import HealthService

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
NOBODY = cast("Any", None)


class Context:
    """Of a call on one connection."""

    def __init__(self, peer: str = "ipv4:127.0.0.1:1") -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise grpc.aio.AbortError(code, details)


@pytest.fixture
def health() -> HealthService:
    health = HealthService(heartbeat_seconds=0.01)
    for service in ("", "callgate.v1.AuthorizationService"):
        health.tell(service, serving=True)
    return health


def watch(
    health: HealthService, peer: str = "ipv4:127.0.0.1:1"
) -> AsyncGenerator[pb.HealthCheckResponse]:
    watching = health.Watch(pb.HealthCheckRequest(), cast("Any", Context(peer)))
    return cast("AsyncGenerator[pb.HealthCheckResponse]", watching)


async def test_every_service_is_listed(health: HealthService) -> None:
    listed = await health.List(NOBODY, NOBODY)

    told = {name: one.status for name, one in listed.statuses.items()}
    assert told == {"": SERVING, "callgate.v1.AuthorizationService": SERVING}


async def test_a_watch_on_which_nothing_happens_is_told_again(health: HealthService) -> None:
    watching = watch(health)

    assert [(await anext(watching)).status for _ in range(3)] == [SERVING] * 3


async def test_watchers_stay_while_a_drain_is_announced_and_go_when_it_begins(
    health: HealthService,
) -> None:
    watching = watch(health)
    await anext(watching)

    health.warn()
    assert [(await anext(watching)).status for _ in range(2)] == [NOT_SERVING] * 2
    health.tell("", serving=True)
    health.drain()

    async with asyncio.timeout(5):
        assert {one.status async for one in watching} <= {NOT_SERVING}


async def test_one_connection_watches_no_more_than_its_share(
    health: HealthService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "MOST_WATCHES", 2)
    first, second = watch(health), watch(health)
    await anext(first)
    await anext(second)

    with pytest.raises(grpc.aio.AbortError, match="end some first"):
        await anext(watch(health))
    await anext(watch(health, "ipv4:127.0.0.1:2"))
    await first.aclose()
    await anext(watch(health))


async def test_the_clients_of_a_unix_socket_do_not_share_one_share(
    health: HealthService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "MOST_WATCHES", 2)

    watching = [watch(health, "unix:") for _ in range(3)]

    assert [(await anext(one)).status for one in watching] == [SERVING] * 3


async def test_many_watchers_are_told_of_a_change_a_few_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_module, "WOKEN_AT_ONCE", 4)
    health = HealthService(heartbeat_seconds=60)
    health.tell("", serving=True)
    told = 0

    async def follow(watching: AsyncGenerator[pb.HealthCheckResponse]) -> None:
        nonlocal told
        async for one in watching:
            told += one.status == NOT_SERVING

    following = [asyncio.create_task(follow(watch(health))) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)

    health.tell("", serving=False)
    grown = []
    while told < 20:
        before = told
        await asyncio.sleep(0)
        grown.append(told - before)

    assert max(grown) == 4
    for one in following:
        one.cancel()
    await asyncio.gather(*following, return_exceptions=True)
