"""A customer's suite on the harness: it passes, and catches the bug that the bridge may have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).parent / "sample"


def run_suite(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "no:valkey", "."],
        cwd=SAMPLE,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_suite_passes_on_a_bridge_that_is_right() -> None:
    done = run_suite()

    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
    started = re.search(r"an engine started in (\d+\.\d\d) s", done.stdout)
    assert started is not None
    print(f"an engine of the harness started in {started[1]} s")  # noqa: T201 -- To be seen with -s.


def test_the_harness_catches_a_bridge_that_settles_twice() -> None:
    done = run_suite(TOY_BRIDGE_BUG="1")

    assert done.returncode == 1, done.stdout
    assert "1 failed, 4 passed" in done.stdout
    assert (
        "one was to be ended once; it was ended 2 times: SettleCall 2 of 42s, SettleCall 3 of 43s"
        in done.stdout
    )
