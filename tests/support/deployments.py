"""Deployments of several servers that a test may freeze, kill and change: a cluster, Sentinel."""

from __future__ import annotations

import contextlib
import shutil
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
from ports import reserve_port

# Until a deployment is as it should be: many times what it takes on a machine that is not busy.
START_SECONDS = 60.0
SLOTS = 16_384
PRIMARY_NAME = "money"
# How long a primary is silent before sentinels, or the nodes of a cluster, take it for dead.
DOWN_AFTER_MS = 500
# The same where nothing is to follow from a server that a busy machine did not run for a while.
PATIENT_MS = 10_000
# Sentinels find each other, and hear how servers are, this often and not every 2 and 10 s. One that
# was not run for a while does not take its clock for wrong, which would stop it for 30 s.
_SENTINEL_PACE = (
    *("publish-period", 200, "info-period", 200, "ask-period", 200),
    *("tilt-trigger", 60_000),
)
_LOG_LINES = 12
# The fourth node of a cluster.
_REPLICA = 3


class Server(Mortal):
    """One server on a port of its own; what it wrote is gone when it ends."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.port = reserve_port()
        self._log = folder / "log"
        self._command = [str(binary), *options, "--port", str(self.port), "--dir", str(folder)]
        self._command += ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]
        self._command += ["--logfile", str(self._log)]
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}"

    def start(self, *options: str) -> None:
        self.run_process([*self._command, *options])

    def run(self, *parts: str | int) -> Any:
        """Run one command, beside all that is tested."""
        with redis.Redis(port=self.port, protocol=2, socket_timeout=START_SECONDS) as client:
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

    def told(self) -> str:
        """What it says of itself, and wrote last."""
        try:
            words = self.run("INFO", "replication") or {}
            sentinel = self.run("INFO", "sentinel") or {}
            nodes = self.run("CLUSTER", "NODES") if "--cluster-enabled" in self._command else ""
            told = f"{words} {sentinel} {nodes}"
        except redis.RedisError as error:
            told = repr(error)
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n    ".join([f"{self.address}: {told}", *lines[-_LOG_LINES:]])


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

    def until_led_by(self, primary: Server, replica: Server) -> None:
        """Wait until all sentinels say that these two, and nothing is wrong with either."""
        all_servers = (primary, replica, *self.sentinels)
        until(partial(_replicates, replica), *all_servers)
        for sentinel in self.sentinels:
            until(partial(_watches, sentinel, primary, replica), *all_servers)

    def kill(self, primary: Server) -> None:
        """Kill the primary, and have its replica take its place at once."""
        primary.kill()
        until(self._fails_over, primary, *self.sentinels)

    def _fails_over(self) -> bool:
        """Have a sentinel do without the others what all agree on once they notice a death."""
        with contextlib.suppress(redis.ResponseError):
            return bool(self.sentinels[0].run("SENTINEL FAILOVER", PRIMARY_NAME))
        return False

    def until_promoted(self, replica: Server) -> None:
        """Wait until a replica is the primary, and all sentinels say so."""
        for sentinel in self.sentinels:
            until(partial(_names, sentinel, replica), replica, *self.sentinels)

    @staticmethod
    def url_of(*addresses: str) -> str:
        return f"redis+sentinel://{','.join(addresses)}/{PRIMARY_NAME}"


@contextmanager
def running_cluster(binary: Path, *, with_replica: bool = False) -> Iterator[Cluster]:
    """Run a cluster of three primaries while the block lasts."""
    with _servers() as (make, _):
        buses = [reserve_port() for _ in range(4 if with_replica else 3)]
        nodes = tuple(
            make(
                *(binary, "--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", str(DOWN_AFTER_MS if with_replica else PATIENT_MS)),
                *("--cluster-require-full-coverage", "no"),
            )
            for bus in buses
        )
        for number, (node, bus) in enumerate(zip(nodes, buses, strict=True)):
            until(node.answers, node)
            # First of all, for a node that has met others takes no epoch.
            node.run("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number != _REPLICA:
                first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
                node.run("CLUSTER ADDSLOTSRANGE", first, last)
            nodes[0].run("CLUSTER MEET", "127.0.0.1", node.port, bus)
        for node in nodes:
            until(partial(_serves_all_slots, node), *nodes)
        if with_replica:
            nodes[_REPLICA].run("CLUSTER REPLICATE", id_of(nodes[0]))
            until(partial(_replicates, nodes[_REPLICA]), *nodes)
        yield Cluster(nodes[:_REPLICA], nodes[_REPLICA] if with_replica else None)


@contextmanager
def running_sentinels(binary: Path, *, down_after_ms: int = DOWN_AFTER_MS) -> Iterator[Watched]:
    """Run a primary, its replica and three sentinels while the block lasts.

    With `PATIENT_MS` the replica takes over by `Watched.kill` alone.
    """
    with _servers() as (make, folder):
        primary = make(binary)
        replica = make(binary, "--replicaof", f"127.0.0.1 {primary.port}")
        until(primary.answers, primary)
        sentinels = []
        for number in range(3):
            config = folder / f"sentinel-{number}.conf"
            config.write_text(
                f"sentinel monitor {PRIMARY_NAME} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {PRIMARY_NAME} {down_after_ms}\n"
                f"sentinel failover-timeout {PRIMARY_NAME} 3000\n"
            )
            sentinels.append(make(binary, str(config), "--sentinel"))
        for sentinel in sentinels:
            until(sentinel.answers, sentinel)
            sentinel.run("SENTINEL DEBUG", *_SENTINEL_PACE)
        watched = Watched(primary, replica, tuple(sentinels))
        watched.until_led_by(primary, replica)
        yield watched


@contextmanager
def running_server_on_a_port(binary: Path, *options: str) -> Iterator[Server]:
    """Run one server while the block lasts."""
    with _servers() as (make, _):
        server = make(binary, *options)
        until(server.answers, server)
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


def _watches(sentinel: Server, primary: Server, replica: Server) -> bool:
    known = sentinel.run("SENTINEL MASTERS")[PRIMARY_NAME]
    replicas = sentinel.run("SENTINEL SLAVES", PRIMARY_NAME)
    return (
        (known["port"], known["num-other-sentinels"]) == (primary.port, 2)
        and known["flags"] == "master"
        and [(one["port"], one["flags"]) for one in replicas] == [(replica.port, "slave")]
        and replicas[0]["master-link-status"] == "ok"
    )


def _names(sentinel: Server, primary: Server) -> bool:
    _, port = sentinel.run("SENTINEL GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME)
    return bool(primary.run("INFO", "replication")["role"] == "master" and port == primary.port)


def id_of(node: Server) -> str:
    return str(node.run("CLUSTER MYID").decode())


def until(holds: Callable[[], bool], *servers: Server) -> None:
    """Wait until something holds of a deployment. What its servers say and wrote is told if not."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            told = "\n  ".join(server.told() for server in servers)
            raise AssertionError(f"a deployment did not come to be as it should:\n  {told}")
        time.sleep(0.02)
