"""Tests of the life of a call run on a real store, over both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from server.transport import TransportName
from stores import VALKEY, binaries, running_server
from switchboards import Served, Switchboard, adele, switchboard


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    binary = binaries()[VALKEY]
    assert binary is not None
    with running_server(binary) as url:
        yield url


@pytest.fixture(params=["grpcio", "nghttp2"])
def transport(request: pytest.FixtureRequest) -> TransportName:
    chosen: TransportName = request.param
    return chosen


@pytest.fixture
async def board(url: str) -> AsyncIterator[Switchboard]:
    """Contoso with 6.00: adele calls at 0.10 a minute."""
    async with switchboard(url, adele()) as board:
        await board.open(6_000_000)
        yield board


@pytest.fixture
async def engine(board: Switchboard, transport: TransportName) -> AsyncIterator[Served]:
    async with board.serve(transport) as served:
        yield served
