"""Deployments of several servers that a test may freeze, kill and change: a cluster, Sentinel."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from dying import Mortal

START_SECONDS = 15.0
SLOTS = 16_384
PRIMARY_NAME = "money"
# How long a primary is silent before sentinels, or the nodes of a cluster, take it for dead.
DOWN_AFTER_MS = 500
# The fourth node of a cluster.
_REPLICA = 3


class Server(Mortal):
    """One server on a port of its own; what it wrote is gone when it ends."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._command = [str(binary), *options, "--port", str(self.port), "--dir", str(folder)]
        self._command += ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}"

    def start(self) -> None:
        self.run_process(self._command)

    def run(self, *parts: str | int) -> Any:
        """Run one command, beside all that is tested."""
        with redis.Redis(port=self.port, protocol=2) as client:
            return client.execute_command(*parts)

    def fill(self, prefix: str, keys: int, key_bytes: int = 300) -> None:
        """Write so many keys, to have something to carry."""
        with redis.Redis(port=self.port, protocol=2) as client, client.pipeline(False) as all_keys:
            for number in range(keys):
                all_keys.set(f"{prefix}:{number}", "x" * key_bytes)
            all_keys.execute()

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.run("PING"))
        return False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Three primaries; the slots are theirs in equal parts. The first has a replica, if any has."""

    nodes: tuple[Server, ...]
    replica: Server | None = None

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.nodes)

    def owner_of(self, key: str) -> Server:
        """Say who has a key now."""
        slot = key_slot(key.encode())
        for first, last, (_, port, *_), *_ in self.nodes[0].run("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(slot)

    def move_slot_of(self, key: str, target: Server, *, batch: int = 100) -> float:
        """Move a slot key by key, so many at a time, as operators do; say how long it took."""
        slot, source, started = key_slot(key.encode()), self.owner_of(key), time.monotonic()
        target.run("CLUSTER SETSLOT", slot, "IMPORTING", id_of(source))
        source.run("CLUSTER SETSLOT", slot, "MIGRATING", id_of(target))
        while keys := source.run("CLUSTER GETKEYSINSLOT", slot, batch):
            source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            node.run("CLUSTER SETSLOT", slot, "NODE", id_of(target))
        return time.monotonic() - started


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary with a replica, and three sentinels that watch over them."""

    primary: Server
    replica: Server
    sentinels: tuple[Server, ...]

    @property
    def url(self) -> str:
        return self.url_of(*(sentinel.address for sentinel in self.sentinels))

    @staticmethod
    def url_of(*addresses: str) -> str:
        return f"redis+sentinel://{','.join(addresses)}/{PRIMARY_NAME}"


@contextmanager
def running_cluster(binary: Path, *, with_replica: bool = False) -> Iterator[Cluster]:
    """Run a cluster of three primaries while the block lasts."""
    with _servers() as (make, _):
        buses = [free_port() for _ in range(4 if with_replica else 3)]
        nodes = tuple(
            make(
                *(binary, "--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", str(DOWN_AFTER_MS)),
                *("--cluster-require-full-coverage", "no"),
            )
            for bus in buses
        )
        for number, (node, bus) in enumerate(zip(nodes, buses, strict=True)):
            until(node.answers)
            # First of all, for a node that has met others takes no epoch.
            node.run("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number != _REPLICA:
                first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
                node.run("CLUSTER ADDSLOTSRANGE", first, last)
            nodes[0].run("CLUSTER MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            until(partial(_serves_all_slots, node))
        if with_replica:
            nodes[_REPLICA].run("CLUSTER REPLICATE", id_of(nodes[0]))
            until(partial(_replicates, nodes[_REPLICA]))
        yield Cluster(nodes[:_REPLICA], nodes[_REPLICA] if with_replica else None)


@contextmanager
def running_sentinels(binary: Path) -> Iterator[Watched]:
    """Run a primary, its replica and three sentinels while the block lasts."""
    with _servers() as (make, folder):
        primary = make(binary)
        replica = make(binary, "--replicaof", f"127.0.0.1 {primary.port}")
        until(primary.answers)
        sentinels = []
        for number in range(3):
            config = folder / f"sentinel-{number}.conf"
            config.write_text(
                f"sentinel monitor {PRIMARY_NAME} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {PRIMARY_NAME} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {PRIMARY_NAME} 3000\n"
            )
            sentinels.append(make(binary, str(config), "--sentinel"))
        until(partial(_replicates, replica))
        for sentinel in sentinels:
            until(partial(_knows_all, sentinel))
        yield Watched(primary, replica, tuple(sentinels))


@contextmanager
def running_server_on_a_port(binary: Path, *options: str) -> Iterator[Server]:
    """Run one server while the block lasts."""
    with _servers() as (make, _):
        server = make(binary, *options)
        until(server.answers)
        yield server


@contextmanager
def _servers() -> Iterator[tuple[Callable[..., Server], Path]]:
    top = Path(tempfile.mkdtemp(prefix="cg-"))
    made: list[Server] = []

    def make(binary: Path, *options: str) -> Server:
        folder = top / str(len(made))
        folder.mkdir()
        made.append(Server(binary, folder, *options))
        return made[-1]

    try:
        yield make, top
    finally:
        for server in made:
            server.kill()
        shutil.rmtree(top, ignore_errors=True)


def _serves_all_slots(node: Server) -> bool:
    info = node.run("CLUSTER INFO")
    return (info["cluster_state"], info["cluster_slots_ok"]) == ("ok", str(SLOTS))


def _replicates(replica: Server) -> bool:
    if not replica.answers():
        return False
    return bool(replica.run("INFO", "replication")["master_link_status"] == "up")


def _knows_all(sentinel: Server) -> bool:
    if not sentinel.answers():
        return False
    known = sentinel.run("SENTINEL MASTERS")[PRIMARY_NAME]
    return bool(known["num-other-sentinels"] == 2 and known["num-slaves"] == 1)


def id_of(node: Server) -> str:
    return str(node.run("CLUSTER MYID").decode())


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds of a deployment."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "a deployment did not come to be as it should"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
