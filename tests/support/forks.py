"""Starting `python -m server`: as a command, or forked from a process that has imported it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dying import die_with_us

ROOT = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.01


class Forked:
    """A process with the methods of `subprocess.Popen` that tests use; it is not our own child."""

    def __init__(self, pid: int, status: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self.returncode is None:
            with contextlib.suppress(FileNotFoundError):
                self.returncode = int(self._status.read_text(encoding="utf-8"))
                self._status.unlink()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status. Raises `subprocess.TimeoutExpired`."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("python -m server", timeout or 0)
            time.sleep(_POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Stop it as an operator does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self.send_signal(signal.SIGKILL)


def run_command(*words: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Run `python -m server WORDS` in the root of the tree, in two seconds more than a fork."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "server", *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, as of a job at a terminal.
            process_group=0,
            preexec_fn=die_with_us(),  # noqa: PLW1509 -- It makes one system call.
        )


Process = subprocess.Popen[bytes] | Forked


class Launch(Protocol):
    """A way to start `python -m server WORDS`; its output is added to the log."""

    def __call__(self, *words: str, environment: Mapping[str, str], log: Path) -> Process: ...


class Forks:
    """The process that has imported the engine; started with the first order."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py")), str(ROOT)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._statuses = Path(tempfile.mkdtemp(prefix="cg-"))
        self._numbers = iter(range(sys.maxsize))

    def fork(self, *words: str, environment: Mapping[str, str], log: Path) -> Forked:
        """Fork one."""
        status = self._statuses / f"{next(self._numbers)}"
        order = {
            "words": words,
            "environment": dict(environment),
            "log": str(log),
            "status": str(status),
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None, "it has pipes"
        assert stdout is not None, "it has pipes"
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return Forked(int(stdout.readline()), status)

    def close(self) -> None:
        """End the process, and with it all that it forked."""
        self._process.communicate()


@functools.cache
def _forks() -> Forks:
    """The one of this run of tests."""
    made = Forks()
    atexit.register(made.close)
    return made


def run_forked(*words: str, environment: Mapping[str, str], log: Path) -> Forked:
    """Do as `run_command` does, without the import."""
    return _forks().fork(*words, environment=environment, log=log)
