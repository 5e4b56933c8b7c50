"""The processes of a benchmark: a store, servers, the load; each pinned, all gone afterwards."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from bench.http2 import Where
from bench.load import Figures, Job
from bench.machine import LOAD_CORE, SERVER_CORE, pinned
from server.storage.redis.embedded import PACKED_ENTRIES, find_binary

# A million users take minutes to read.
_START_SECONDS = 900.0
_POLL_SECONDS = 0.01
_STOP_SECONDS = 10.0
_LISTENING = re.compile(r"Listening on [\w.]+:(\d+)")


class DidNotStart(Exception):
    """A process ended, or said nothing in time; the text is its log."""


class LoadFailed(Exception):
    """A server did not answer as it should have; the text says how."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server that takes calls: where, and which process does the work."""

    where: Where
    pid: int
    start_seconds: float = 0.0


class Processes:
    """Starts processes in one folder; use it in a `with`, whose end ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._by_pid: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def store(self, name: str = "store") -> tuple[Path, int]:
        """Start a Redis or Valkey with the settings of the embedded one: (socket, pid)."""
        folder = self.folder / name
        folder.mkdir()
        path = folder / "store.sock"
        options = {
            "port": "0",
            "unixsocket": str(path),
            "dir": str(folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "zset-max-listpack-entries": str(PACKED_ENTRIES),
        }
        words = [part for key, value in options.items() for part in (f"--{key}", value)]
        process = self._spawn(LOAD_CORE, [str(find_binary()), *words], name)
        self._wait(process, name, lambda: _accepts(path))
        return path, process.pid

    def engine(self, name: str, **settings: object) -> Served:
        """Start `python -m server` on the server's core and wait until it decides about calls.

        Settings are given as in `listen=...`.
        """
        return self.deciding(name, [sys.executable, "-m", "server"], **settings)

    def deciding(self, name: str, command: list[str], **settings: object) -> Served:
        """Start an engine by another command, and wait until its ledger is up."""
        started = time.perf_counter()
        served = self.listening(name, command, **settings)
        process = self._by_pid[served.pid]
        self._wait(process, name, lambda: _ledger_is_up(self._log(name)))
        return replace(served, start_seconds=time.perf_counter() - started)

    def listening(self, name: str, command: list[str], **settings: object) -> Served:
        """Start a server that says in its log where it listens."""
        started = time.perf_counter()
        ours = {f"CALLGATE_{key.upper()}": str(value) for key, value in settings.items()}
        # Workers are there to use more than one core.
        core = None if int(str(settings.get("workers", 1))) > 1 else SERVER_CORE
        process = self._spawn(core, command, name, settings=ours)
        self._wait(process, name, lambda: _LISTENING.search(self._log(name)))
        found = _LISTENING.search(self._log(name))
        assert found is not None
        where = Where("127.0.0.1", int(found[1]))
        return Served(where, process.pid, time.perf_counter() - started)

    def stop(self, pid: int) -> None:
        """End one of them early."""
        _end(self._by_pid[pid])

    def load(self, core: int | None = LOAD_CORE) -> LoadProcess:
        """Start what loads servers, on the other core."""
        return LoadProcess(self._stack, core)

    def _spawn(
        self,
        core: int | None,
        command: list[str],
        name: str,
        *,
        settings: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        inherited = {key: value for key, value in os.environ.items() if "CALLGATE" not in key}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*pinned(core), *command],
                env=inherited | (settings or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._stack.callback(_end, process)
        self._by_pid[process.pid] = process
        return process

    def _wait(self, process: subprocess.Popen[bytes], name: str, holds: Any) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not holds():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{name}: {self._log(name)[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def _log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


class LoadProcess:
    """Does one job at a time."""

    def __init__(self, stack: ExitStack, core: int | None) -> None:
        self._process = subprocess.Popen(
            [*pinned(core), sys.executable, "-m", "bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(_end, self._process)

    def run(self, job: Job) -> Figures:
        """Do a job and return its figures. Raises `LoadFailed`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job) | {"where": list(job.where)}) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        if "failed" in said:
            raise LoadFailed(said["failed"])
        return Figures(**said)


def _ledger_is_up(log: str) -> bool:
    return log.rfind("The ledger answers.") > log.rfind("The ledger is away")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
