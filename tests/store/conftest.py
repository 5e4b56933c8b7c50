"""Servers to lose, cut and move under load, and the load."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from deployments import Server, running_server_on_a_port
from server.storage.redis import Store
from server.storage.redis.embedded import find_binary
from store_load import LIBRARY
from stores import SINGLE, binaries

Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a figure that was measured, whether or not the test fails."""

    def write(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}\n")

    return write


@pytest.fixture(scope="session", params=SINGLE)
def binary(request: pytest.FixtureRequest) -> Path:
    found = binaries()[request.param]
    assert found is not None
    return found


@pytest.fixture(scope="session")
def lasting_server() -> Iterator[Server]:
    with running_server_on_a_port(find_binary()) as running:
        yield running


@pytest.fixture
def server(lasting_server: Server) -> Server:
    """One server, empty but for the functions."""
    lasting_server.run("FLUSHALL")
    return lasting_server


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    connected = Store(server.url)
    await connected.load_library(LIBRARY)
    yield connected
    await connected.close()
