"""What the conformance suite shares: both transports, on the event loop of the product."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from serving import Served, serving


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["nghttp2", "grpcio"])
def transport(request: pytest.FixtureRequest) -> Any:
    """One suite, two transports."""
    return request.param


@pytest.fixture
async def served(transport: Any) -> AsyncIterator[Served]:
    """A server with the default limits."""
    async with serving(transport) as running:
        yield running
