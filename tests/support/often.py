"""Running chosen tests again and again beside busy loops, to see which fail how often."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dying import die_with_us

# A run that takes longer is ended, and failed.
RUN_SECONDS = 1_200.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_NO_TEST = "(no test: the run itself)"


@dataclass(slots=True)
class Failures:
    """How often a test failed, and where the output of the first time is."""

    first: Path
    count: int = 0


@dataclass(slots=True)
class Told:
    """What so many runs told."""

    runs: int
    failed_runs: int = 0
    tests: dict[str, Failures] = field(default_factory=dict)

    def take(self, log: Path) -> None:
        """Take over how a run failed."""
        self.failed_runs += 1
        for test in set(_FAILED.findall(log.read_text(errors="replace"))) or {_NO_TEST}:
            self.tests.setdefault(test, Failures(log)).count += 1

    def lines(self) -> Iterator[str]:
        """Say it, the worst first."""
        yield f"{self.failed_runs} of {self.runs} runs failed"
        for test, failures in sorted(self.tests.items(), key=lambda item: -item[1].count):
            yield f"  {failures.count} of {self.runs}  {test}  (first: {failures.first})"


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep so many processors busy while the block lasts."""
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", "while True: pass"],
            preexec_fn=die_with_us(),  # noqa: PLW1509 -- It makes one system call.
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_often(
    chosen: Sequence[str], folder: Path, *, runs: int, load: int, tell: Callable[[str], None]
) -> Told:
    """Run the chosen tests so often; the outputs of those that failed stay in the folder."""
    told = Told(runs)
    with busy_loops(load):
        for number in range(1, runs + 1):
            log, started = folder / f"run-{number}.txt", time.monotonic()
            is_green = _run(chosen, log)
            seconds = time.monotonic() - started
            word = "ok" if is_green else "failed"
            tell(f"run {number} of {runs}: {word}, {seconds:.0f} s")
            if is_green:
                log.unlink()
            else:
                told.take(log)
    return told


def _run(chosen: Sequence[str], log: Path) -> bool:
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", *chosen],
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=RUN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0
