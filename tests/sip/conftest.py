"""A proxy, its sidecar and an engine, all real; `make test-sip` installs what they need."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callgate.testing import Engine, Nursery
from sip_house import House

os.environ["CALLGATE_ENGINE"] = shlex.join([sys.executable, "-m", "server"])
SCENARIO = Path(__file__).parent / "scenario.toml"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        nursery.warm_up()
        yield nursery


@pytest.fixture
def engine(nursery: Nursery, request: pytest.FixtureRequest) -> Iterator[Engine]:
    settings = getattr(request, "param", {})
    with nursery.engine(SCENARIO, settings) as engine:
        yield engine


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, engine.address) as house:
        yield house
