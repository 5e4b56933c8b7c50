"""The processes that are killed: a store, two servers, a keeper; each comes back after a while."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from engines import ROOT, OwnRedis

LONGEST_ABSENCE_SECONDS = 0.3


class Victims:
    """One store, `servers` servers on ports of their own, one keeper, all on one archive."""

    def __init__(self, folder: Path, catalogue: Path, directory: Path, *, servers: int = 2) -> None:
        self._folder = folder
        self.store = OwnRedis(folder / "store")
        self.archive = folder / "archive.sqlite"
        self.ports = [_free_port() for _ in range(servers)]
        self.killed: Counter[str] = Counter()
        self._settings = {
            "redis_url": self.store.url,
            "archive_url": f"sqlite:///{self.archive}",
            "catalogue_folder": str(catalogue),
            "directory_folder": str(directory),
            "run_keeper": "false",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports]

    @property
    def names(self) -> list[str]:
        """What may be killed."""
        return ["store", "keeper", *(f"server-{port}" for port in self.ports)]

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Victims]:
        """Run them all while the block lasts."""
        for name in self.names:
            self.start(name)
        try:
            yield self
        finally:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                await asyncio.to_thread(process.wait)
            self.store.kill()

    def start(self, name: str) -> None:
        """Start one of them."""
        if name == "store":
            self.store.start()
            return
        port = name.removeprefix("server-")
        command = ["keeper"] if name == "keeper" else []
        self._processes[name] = self.launch(name, *command, listen=f"127.0.0.1:{port}")

    def launch(self, name: str, *command: str, listen: str = "") -> subprocess.Popen[bytes]:
        """Run `python -m server` with a command, on the store and archive of the others."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        settings = self._settings | {
            "data_folder": str(folder),
            "records_path": str(folder / "records"),
        }
        if listen and not command:
            settings["listen"] = listen
        ours = {f"CALLGATE_{key.upper()}": value for key, value in settings.items()}
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "server", *command],
                cwd=ROOT,
                env=dict(os.environ) | ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    async def kill_one(self, random: Random) -> str:
        """Kill one with SIGKILL, and start it again a little later."""
        name = random.choice(self.names)
        if name == "store":
            self.store.kill()
        else:
            self._processes[name].kill()
            self._processes[name].wait()
        self.killed[name] += 1
        await asyncio.sleep(random.random() * LONGEST_ABSENCE_SECONDS)
        await asyncio.to_thread(self.start, name)
        return name

    def log(self, name: str) -> str:
        """What one of them has written."""
        return (self._folder / name / "log").read_text(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
