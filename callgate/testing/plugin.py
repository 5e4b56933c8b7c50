"""The fixtures of pytest. Importing it costs a run that uses none of them nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from callgate.testing.engine import Engine
    from callgate.testing.engines import Nursery

MARKER = "callgate"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what may stand in the configuration."""
    parser.addini("callgate_scenario", "The file of tenants and rates of every engine.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(scenario=None, **settings): the scenario and settings of the fixture `engine`",
    )


@pytest.fixture(scope="session")
def callgate_nursery() -> Iterator[Nursery]:
    """What engines come from, once for all tests of a run."""
    from callgate.testing.engines import Nursery

    with Nursery() as nursery:
        nursery.warm_up()
        yield nursery


@pytest.fixture
def engine(callgate_nursery: Nursery, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Run a real engine for one test, empty and by itself.

    `@pytest.mark.callgate(scenario="file.toml", slice_seconds=60)` says what it starts with.
    """
    marker = request.node.get_closest_marker(MARKER)
    settings = dict(marker.kwargs) if marker is not None else {}
    told = settings.pop("scenario", None) or request.config.getini("callgate_scenario")
    scenario = request.config.rootpath / told if told else None
    with callgate_nursery.engine(scenario, settings) as engine:
        yield engine
