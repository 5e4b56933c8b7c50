"""A whole engine for a while: `python -m server` on a free port, its store in a temporary folder.

with own_engine() as engine:
Connection(engine.address).authorize_call(...)
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from callgate.connection import Connection
from callgate.errors import NoAnswer
from callgate.v1.authorization_pb2 import GetEmergencyNumbersRequest

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30
STOP_SECONDS = 15
_POLL_SECONDS = 0.05


class EngineDidNotStart(Exception):
    """The engine ended, or answers nobody; the text holds the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """An engine that runs: where it listens, its process, and the file of what it writes."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the end of what the engine has written."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def own_engine(settings: Mapping[str, str] | None = None) -> Iterator[OwnEngine]:
    """Start an engine, wait until it answers, and stop it when the block ends.

    `settings` are environment variables for it ("CALLGATE_SLICE_SECONDS"); those of the caller's
    own environment are kept away from it. Raises `EngineDidNotStart`.
    """
    with tempfile.TemporaryDirectory(prefix="callgate-") as name:
        folder = Path(name)
        engine = _start(folder, settings or {})
        try:
            _wait_until_it_answers(engine)
            yield engine
        finally:
            _stop(engine.process)


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


def _start(folder: Path, settings: Mapping[str, str]) -> OwnEngine:
    address = f"127.0.0.1:{_free_port()}"
    inherited = {name: value for name, value in os.environ.items() if "CALLGATE" not in name}
    ours = {"CALLGATE_LISTEN": address, "CALLGATE_DATA_FOLDER": str(folder / "data")}
    log = folder / "engine.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "server"],
            cwd=ROOT,
            env={**inherited, **ours, **settings},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    return OwnEngine(address, process, log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(engine: OwnEngine) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not _answers(engine.address):
        if engine.process.poll() is not None:
            raise EngineDidNotStart(f"The engine ended at its start:\n{engine.last_words()}")
        if time.monotonic() > give_up_at:
            raise EngineDidNotStart(
                f"The engine did not answer within {START_SECONDS} s:\n{engine.last_words()}"
            )
        time.sleep(_POLL_SECONDS)


def _answers(address: str) -> bool:
    try:
        with Connection(address, deadline_seconds=1) as connection:
            connection.get_emergency_numbers(GetEmergencyNumbersRequest(location="US"))
    except NoAnswer:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
