"""A little of the soak: calls begun and ended leave nothing behind but what is archived."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.facts import Shape
from soak import soak

CALLS = 600
# Users take time to read, and are not what a soak is about.
SHAPE = Shape(tenants=20, users=400)


def test_calls_that_are_over_leave_nothing_but_their_records() -> None:
    told: list[str] = []

    # The name of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        result = soak(Path(folder), CALLS, looks=3, tell=told.append, shape=SHAPE)

    assert "memory is flat" in result
    assert len(told) == 3
