"""What holds for a whole run of tests: their order, what is left out, and how to have it."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterable

import pytest

# "random", or a seed that a random run told; then files, and tests within files, are shuffled.
ORDER = "TEST_ORDER"
NO_REDIS, NO_POSTGRESQL = "redis-server is not installed", "PostgreSQL is not installed"
_HOW = {
    NO_REDIS: "`make test-redis7` installs it from Debian's packages and runs them",
    NO_POSTGRESQL: "on Debian `apt-get install postgresql`, then run them again",
}
_SIP = "tests/sip: `make test-sip` installs Kamailio and SIPp from Debian's packages and runs it"


def choose_order() -> None:
    """Settle on a seed where a random order is wanted, for this process and those it starts."""
    if os.environ.get(ORDER) == "random":
        os.environ[ORDER] = str(random.SystemRandom().randrange(1_000_000))


def order() -> str:
    """Say which order it is, where it is a random one."""
    seed = os.environ.get(ORDER)
    return f"Random order: `make test ORDER={seed}` repeats it." if seed else ""


def shuffle(items: list[pytest.Item]) -> None:
    """Shuffle files, and tests within files, where that is wanted."""
    seed = os.environ.get(ORDER)
    if not seed:
        return
    chance = random.Random(seed)
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    files = list(by_file.values())
    chance.shuffle(files)
    for file in files:
        chance.shuffle(file)
    items[:] = [item for file in files for item in file]


def leave_out(items: Iterable[pytest.Item]) -> None:
    """Skip what needs a Redis where there is none."""
    if shutil.which("redis-server") is None:
        for item in items:
            if item.get_closest_marker("needs_redis"):
                item.add_marker(pytest.mark.skip(reason=NO_REDIS))


def not_run(reasons: Iterable[str], *, all_files: bool) -> list[str]:
    """Say what was not run and how to have it, a line each."""
    counts = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    lines = [
        f"Not run: {count} tests, {reason}: {_HOW[reason]}."
        for reason, count in counts.items()
        if reason in _HOW
    ]
    if all_files and "TEST_SIP" not in os.environ:
        lines.append(f"Not run: {_SIP}.")
    return lines
