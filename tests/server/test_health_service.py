"""What health checks are told: of each service by name, in silence, and before a drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from grpc_health.v1 import health_pb2 as pb

from server.services.health import HealthService

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
NOBODY = cast("Any", None)


@pytest.fixture
def health() -> HealthService:
    health = HealthService(heartbeat_seconds=0.01)
    for service in ("", "callgate.v1.AuthorizationService"):
        health.tell(service, serving=True)
    return health


def watch(health: HealthService) -> AsyncIterator[pb.HealthCheckResponse]:
    return health.Watch(pb.HealthCheckRequest(), NOBODY)


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
