"""A scripted engine, and somebody at a terminal in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripted_engine import Script, scripted_engine
from terminal import Terminal


@pytest.fixture
def engine() -> Iterator[Script]:
    with scripted_engine() as script:
        yield script


@pytest.fixture
def terminal(engine: Script, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal(engine.address)
