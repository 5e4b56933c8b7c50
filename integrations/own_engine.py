"""A whole engine for a while: `python -m server` on a free port, its store in a temporary folder.

with own_engine() as engine:
Connection(engine.address).authorize_call(...)
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30
STOP_SECONDS = 15
_POLL_SECONDS = 0.05
_LISTENING = re.compile(r"Listening on ([\w.]+:\d+)\D")


class EngineDidNotStart(Exception):
    """The engine ended, or answers nobody; the text holds the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """An engine that runs: where it listens, and its process."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def own_engine(settings: Mapping[str, str] | None = None) -> Iterator[OwnEngine]:
    """Start an engine, wait until it answers, and stop it when the block ends.

    `settings` are environment variables for it ("CALLGATE_SLICE_SECONDS"); those of the caller's
    own environment are kept away from it. Raises `EngineDidNotStart`.
    """
    with tempfile.TemporaryDirectory(prefix="callgate-") as name:
        log = Path(name, "engine.log")
        process = _start(log, {"CALLGATE_DATA_FOLDER": f"{name}/data", **(settings or {})})
        try:
            address = _wait_until_it_listens(process, log)
            yield OwnEngine(address, process)
        finally:
            _stop(process)


@contextmanager
def store_frozen(engine: OwnEngine) -> Iterator[None]:
    """Let the embedded store hang, as if its machine were gone, until the block ends."""
    store = _store_of(engine.process.pid)
    os.kill(store, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(store, signal.SIGCONT)


def _store_of(parent: int) -> int:
    """Return the process id of the one child that is a Valkey."""
    for listing in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in listing.read_text().split():
            name = Path(f"/proc/{child}/comm").read_text()
            if name.startswith(("valkey", "redis")):
                return int(child)
    raise LookupError(f"process {parent} has no store of its own")


def _start(log: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if "CALLGATE" not in name}
    # Port 0: the system chooses one that is free, and the engine says which.
    ours = {"CALLGATE_LISTEN": "127.0.0.1:0"}
    with log.open("wb") as written:
        return subprocess.Popen(
            [sys.executable, "-m", "server"],
            cwd=ROOT,
            env={**inherited, **ours, **settings},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )


def _wait_until_it_listens(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address it says it listens on, which it says once it answers."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        listening = _LISTENING.search(log.read_text(errors="replace"))
        if listening:
            return listening[1]
        if process.poll() is not None:
            raise EngineDidNotStart(f"The engine ended at its start:\n{_last_words(log)}")
        time.sleep(_POLL_SECONDS)
    raise EngineDidNotStart(f"It did not listen within {START_SECONDS} s:\n{_last_words(log)}")


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
