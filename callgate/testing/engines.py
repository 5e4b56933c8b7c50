"""Getting engines: from one process that has imported everything and forks each of them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from callgate.testing.engine import Engine

ENGINE_VARIABLE = "CALLGATE_ENGINE"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_LOG_LINES = 20


class EngineFailed(Exception):
    """An engine did not start, or ended by itself; the text has the end of its log."""


def engine_command() -> list[str]:
    """Say how an engine is started: `CALLGATE_ENGINE`, else the installed `callgate-engine`.

    Raises `EngineFailed` where there is none.
    """
    given = os.environ.get(ENGINE_VARIABLE)
    if given:
        return shlex.split(given)
    if importlib.util.find_spec("callgate_engine") is not None:
        return [sys.executable, "-m", "callgate_engine"]
    raise EngineFailed(
        "No engine is installed. Install callgate-engine, or name a command in "
        f'{ENGINE_VARIABLE}, such as "python -m server" in a tree of callgate.'
    )


class Nursery:
    """Starts one process of the engine's, and has it fork an engine whenever one is wanted.

    Used as `with Nursery() as nursery:`; its engines end with it.
    """

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or engine_command()
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()
        self._errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115 -- As long as the process.

    @property
    def pid(self) -> int:
        """The process, once it was started."""
        assert self._process is not None, "warm_up() comes first"
        return self._process.pid

    def warm_up(self) -> None:
        """Start the process now, so that the first engine need not wait for it; returns at once."""
        if self._process is None:
            self._process = subprocess.Popen(
                [*self._command, "harness", "--nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )

    def close(self) -> None:
        """End the process, and with it all of its engines."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._errors.close()

    @contextmanager
    def engine(
        self, scenario: Path | str | None = None, settings: Mapping[str, object] | None = None
    ) -> Iterator[Engine]:
        """Run an engine, empty and by itself, while the block lasts.

        `scenario` is a file of tenants and rates; without one there are those of the sample.
        `settings` are the engine's, by the names in `docs/settings.md`. Raises `EngineFailed`.
        """
        with tempfile.TemporaryDirectory(prefix="callgate-") as name:
            folder, began = Path(name), time.monotonic()
            pid = self._order(folder, scenario, settings or {})
            try:
                address = self._wait(folder, pid)
                with Engine(address, folder, pid, start_seconds=time.monotonic() - began) as engine:
                    yield engine
            finally:
                _end(pid)

    def _order(
        self, folder: Path, scenario: Path | str | None, settings: Mapping[str, object]
    ) -> int:
        wanted = {
            "listen": "127.0.0.1:0",
            "data_folder": folder,
            "records_path": folder / "records",
            "mask_digits": 0,
            **settings,
        }
        order = {
            "folder": str(folder),
            "settings": {f"CALLGATE_{name.upper()}": str(told) for name, told in wanted.items()},
            "scenario": None if scenario is None else str(Path(scenario).absolute()),
        }
        with self._asking:
            self.warm_up()
            process = self._process
            assert process is not None, "it was started"
            assert process.stdin is not None, "it has pipes"
            assert process.stdout is not None, "it has pipes"
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
            answer = process.stdout.readline()
        if not answer:
            self._errors.seek(0)
            raise EngineFailed(f"{shlex.join(self._command)} ended: {self._errors.read()}")
        return int(json.loads(answer)["pid"])

    def _wait(self, folder: Path, pid: int) -> str:
        ready, until = folder / "address", time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if ready.exists():
                return ready.read_text(encoding="utf-8")
            if not _lives(pid):
                raise EngineFailed(f"The engine ended: {_end_of_log(folder)}")
            time.sleep(_POLL_SECONDS)
        raise EngineFailed(f"The engine did not start in {START_SECONDS} s: {_end_of_log(folder)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def running_engine(
    scenario: Path | str | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[Engine]:
    """Run one engine while the block lasts; for many, keep a `Nursery`."""
    with Nursery() as nursery, nursery.engine(scenario, settings) as engine:
        yield engine


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _end(pid: int) -> None:
    """End an engine; it is another process's child, so its end is looked for."""
    for number in (signal.SIGCONT, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    until = time.monotonic() + STOP_SECONDS
    while _lives(pid):
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _end_of_log(folder: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])
    return "it wrote no log"
