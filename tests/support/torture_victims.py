"""What the torture is done to: a store, two servers, a keeper; each comes back after a while."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

from deployments import PATIENT_MS, Cluster, Watched, running_cluster, running_sentinels
from engines import OwnRedis
from forks import Process, run_forked
from ports import reserve_port
from server.ledger.keys import partition_keys, partition_of
from server.storage.redis.embedded import find_binary

LONGEST_ABSENCE_SECONDS = 0.3
SERVERS = 2


class TorturedStore(Protocol):
    """A store that can be hurt."""

    url: str

    def hurt(self, random: Random) -> str:
        """Do to it what this kind of store has to bear, and bring it back; say what was done."""


class PlainStore:
    """One server with an append-only file, that is killed and started again."""

    def __init__(self, redis: OwnRedis) -> None:
        self._redis, self.url = redis, redis.url

    def hurt(self, random: Random) -> str:
        self._redis.kill()
        self._redis.start()
        return "store"


class OlderStore:
    """One server that comes back, every other time, as it was when it was killed last."""

    def __init__(self, redis: OwnRedis, folder: Path) -> None:
        self._redis, self.url = redis, redis.url
        self._file, self._older = folder / "appendonlydir", folder / "older"

    def hurt(self, random: Random) -> str:
        self._redis.kill()
        told = "store"
        if self._older.exists():
            shutil.rmtree(self._file)
            self._older.rename(self._file)
            told = "store older"
        else:
            shutil.copytree(self._file, self._older)
        self._redis.start()
        return told


class ClusteredStore:
    """Three primaries, whose slots move from one to another."""

    def __init__(self, cluster: Cluster, tenant_ids: Sequence[str]) -> None:
        self._cluster, self._tenant_ids, self.url = cluster, tenant_ids, cluster.url

    def hurt(self, random: Random) -> str:
        key = partition_keys(partition_of(random.choice(self._tenant_ids))).journal
        owner = self._cluster.owner_of(key)
        target = random.choice([node for node in self._cluster.nodes if node is not owner])
        self._cluster.move_slot_of(key, target)
        return "slot moved"


class WatchedStore:
    """A primary, its replica and three sentinels; the primary is killed, once."""

    def __init__(self, watched: Watched) -> None:
        self._watched, self.url, self._killed = watched, watched.url, False

    def hurt(self, random: Random) -> str:
        if self._killed:
            return "nothing"
        self._killed = True
        # What was answered and has not reached the replica would be lost, as the docs say.
        self._watched.primary.run("CLIENT", "PAUSE", 5_000, "WRITE")
        self._watched.primary.run("WAIT", 1, 5_000)
        self._watched.kill(self._watched.primary)
        self._watched.until_promoted(self._watched.replica)
        return "primary"


@contextmanager
def tortured_store(kind: str, folder: Path, tenant_ids: Sequence[str]) -> Iterator[TorturedStore]:
    """Run a store of one kind, "plain", "older", "cluster" or "sentinel"."""
    if kind == "cluster":
        with running_cluster(find_binary()) as cluster:
            yield ClusteredStore(cluster, tenant_ids)
    elif kind == "sentinel":
        with running_sentinels(find_binary(), down_after_ms=PATIENT_MS) as watched:
            yield WatchedStore(watched)
    else:
        redis = OwnRedis(folder / "store")
        redis.start()
        try:
            if kind == "older":
                yield OlderStore(redis, folder / "store")
            else:
                yield PlainStore(redis)
        finally:
            redis.kill()


class Victims:
    """A store, `servers` servers on ports of their own, one keeper, all on one archive."""

    def __init__(
        self, folder: Path, store: TorturedStore, catalogue: Path, directory: Path
    ) -> None:
        self._folder = folder
        self.store = store
        self.archive = folder / "archive.sqlite"
        self.ports = [reserve_port() for _ in range(SERVERS)]
        self.hurt: Counter[str] = Counter()
        self._settings = {
            "redis_url": store.url,
            "archive_url": f"sqlite:///{self.archive}",
            "catalogue_folder": str(catalogue),
            "directory_folder": str(directory),
            "run_keeper": "false",
            # Hours are talked in seconds.
            "report_tolerance_seconds": "86400",
        }
        self._processes: dict[str, Process] = {}

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.ports]

    @property
    def names(self) -> list[str]:
        """The processes that may be killed, besides the store's."""
        return ["keeper", *(f"server-{port}" for port in self.ports)]

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

    def start(self, name: str) -> None:
        """Start one of them."""
        port = name.removeprefix("server-")
        command = ["keeper"] if name == "keeper" else []
        self._processes[name] = self.launch(name, *command, listen=f"127.0.0.1:{port}")

    def launch(self, name: str, *command: str, listen: str = "") -> Process:
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
        return run_forked(*command, environment=os.environ | ours, log=folder / "log")

    async def hurt_one(self, random: Random) -> None:
        """Kill one with SIGKILL, or hurt the store, and bring it back a little later."""
        name = random.choice(["store", *self.names])
        if name == "store":
            self.hurt[await asyncio.to_thread(self.store.hurt, random)] += 1
            return
        self._processes[name].kill()
        self._processes[name].wait()
        self.hurt[name.partition("-")[0]] += 1
        await asyncio.sleep(random.random() * LONGEST_ABSENCE_SECONDS)
        self.start(name)

    def log(self, name: str) -> str:
        """What one of them has written."""
        return (self._folder / name / "log").read_text(errors="replace")
