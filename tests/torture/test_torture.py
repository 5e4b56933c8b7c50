"""A tenth of the torture: kill everything at random, then count the money."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from torture import torture

CALLS, KILLS = 500, 10
# Cluster and Sentinel are tried with fewer.


@pytest.mark.parametrize("store", ["plain", "older", "cluster", "sentinel"])
async def test_no_kill_costs_or_gives_a_micro(
    capsys: pytest.CaptureFixture[str], store: str
) -> None:
    """Scenarios B1, B11, C1: what was talked is paid once, and nothing stays held."""
    seed = time.time_ns() % 1_000_000
    with capsys.disabled():
        print(f"\ntorture of a {store} store: seed {seed}")

    share = 1 if store == "plain" else 4
    # The name of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        told = await torture(Path(folder), seed, CALLS // share, kills=KILLS // share, store=store)

    with capsys.disabled():
        print(told)
    assert "all agree" in told
