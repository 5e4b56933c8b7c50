"""A store of a test's own, for engines to use and for the test to hurt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import OwnRedis, running_redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with running_redis(tmp_path / "redis") as redis:
        yield redis
