"""Real engines in processes of their own, the store that they use, and questions to ask them."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import redis
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from callgate.v1.credits_pb2 import GetBalanceRequest, GetBalanceResponse
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from dying import Mortal
from forks import Launch, Process, run_forked
from server.storage.redis.embedded import find_binary

ROOT = Path(__file__).resolve().parents[2]
# What a start and a stop take at most, many times what they do on a machine that is not busy.
START_SECONDS = 90.0
STOP_SECONDS = 90.0
DEADLINE_SECONDS = 5.0
# Which transport engines serve with where a test does not say; `make test TRANSPORT=grpcio`.
TRANSPORT = os.environ.get("TEST_TRANSPORT") or "auto"
_LISTENING = re.compile(r"Listening on ([\w.]+:\d+)")

_call_ids = (f"call-{number}@test" for number in itertools.count())


class Engine:
    """`python -m server` in a folder of its own; settings are given as in `deadline_ms=200`.

    With `run_command` it is started as by its operators, else in two seconds less.
    """

    def __init__(self, folder: Path, launch: Launch = run_forked, /, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = settings
        self.process: Process
        self._launch = launch
        self._channel: grpc.Channel | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.launch()
        wait_until(lambda: _LISTENING.search(self.log) or self.process.poll() is not None)
        found = _LISTENING.search(self.log)
        assert found, self.log
        self.address = found[1]
        self._channel = grpc.insecure_channel(self.address)
        self.stub = AuthorizationServiceStub(self._channel)

    def launch(self) -> None:
        """Start it and wait for nothing."""
        settings = {
            "listen": "127.0.0.1:0",
            "transport": TRANSPORT,
            "data_folder": self.folder / "data",
            "records_path": self.folder / "records",
            **self.settings,
        }
        ours = {f"CALLGATE_{name.upper()}": str(value) for name, value in settings.items()}
        inherited = {name: value for name, value in os.environ.items() if "CALLGATE" not in name}
        (self.folder / "log").write_bytes(b"")
        self.process = self._launch(environment=inherited | ours, log=self.folder / "log")

    def stop(self) -> int:
        """Stop it as an operator does; return its exit status."""
        self.process.terminate()
        return self.gone()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.gone()

    def gone(self) -> int:
        """Wait until it has ended; return its exit status."""
        status = self.process.wait(STOP_SECONDS)
        if self._channel is not None:
            self._channel.close()
        return status

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def store(self) -> Path:
        """The socket of its embedded store."""
        return self.folder / "data" / "store" / "store.sock"

    def ask(
        self, request: pb.AuthorizeCallRequest, seconds: float = DEADLINE_SECONDS
    ) -> pb.AuthorizeCallResponse:
        return self.stub.AuthorizeCall(request, timeout=seconds)

    def ask_raw(self, data: bytes) -> bytes:
        """Ask with bytes as they are, and get the bytes of the answer."""
        assert self._channel is not None
        name = "/callgate.v1.AuthorizationService/AuthorizeCall"
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(name)
        return method(data, timeout=DEADLINE_SECONDS)

    def balance(self, tenant_id: str) -> GetBalanceResponse:
        assert self._channel is not None
        stub = CreditServiceStub(self._channel)
        return stub.GetBalance(GetBalanceRequest(tenant_id=tenant_id), timeout=DEADLINE_SECONDS)

    def health(self, service: str = "") -> str:
        assert self._channel is not None
        check = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        request = health_pb2.HealthCheckRequest(service=service)
        answer = check(request, timeout=DEADLINE_SECONDS)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def has_ledger(self) -> bool:
        """Say whether the ledger answers it now; its health may be of a moment ago."""
        try:
            self.balance("contoso")
        except grpc.RpcError:
            return False
        return self.health("callgate.ledger") == "SERVING"

    def watch_health(self) -> Generator[str, None, None]:
        """Yield the engine's own health, now and at each change, until the caller closes it."""
        assert self._channel is not None
        watch = self._channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        stream = watch(health_pb2.HealthCheckRequest())
        try:
            for answer in stream:
                yield str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        finally:
            stream.cancel()


@contextmanager
def running_engine(
    folder: Path, launch: Launch = run_forked, /, **settings: object
) -> Iterator[Engine]:
    """Run an engine while the block lasts."""
    engine = Engine(folder, launch, **settings)
    engine.start()
    try:
        yield engine
    finally:
        if engine.process.poll() is None:
            engine.stop()


class OwnRedis(Mortal):
    """A Redis or Valkey on a socket, that a test may freeze, kill and start again."""

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._binary = binary or find_binary()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self._folder),
            "appendonly": "yes",
            "save": "",
        }
        words = (part for name, value in options.items() for part in (f"--{name}", value))
        self.run_process([str(self._binary), *words])
        wait_until(self._answers)

    def command(self, *parts: str | int) -> Any:
        return command(self.socket, *parts)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.command("PING"))
        return False


@contextmanager
def running_redis(folder: Path) -> Iterator[OwnRedis]:
    """Run one while the block lasts."""
    redis = OwnRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


def command(socket: Path, *parts: str | bytes | int) -> Any:
    """Run one command on the store behind a socket."""
    with redis.Redis(unix_socket_path=str(socket), protocol=2) as client:
        return client.execute_command(*parts)


def wait_until(holds: Callable[[], object], seconds: float = START_SECONDS) -> float:
    """Wait until something holds; return how long it took."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


def a_question(called_number: str = "+14255550123", **changes: Any) -> pb.AuthorizeCallRequest:
    """Build a question about a new call of adele of contoso, a minute unless told otherwise."""
    seconds = changes.pop("seconds", 60)
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "gateway_id": "sbc-1",
        "call_id": next(_call_ids),
        "sequence": 1,
        "called_number": called_number,
        "requested_duration": Duration(seconds=seconds) if seconds else None,
    }
    user_id = changes.pop("user_id", "adele")
    kinds = {field.name for field in pb.AuthorizeCallRequest.DESCRIPTOR.oneofs[0].fields}
    if not kinds & changes.keys():
        fields["user_call"] = pb.UserCall(user_id=user_id)
    return pb.AuthorizeCallRequest(**(fields | changes))


@dataclass(frozen=True, slots=True)
class Failed:
    """How a question failed: the status, the reason and metadata of its ErrorInfo, its text."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    text: str


def failure_of(ask: Callable[[], object]) -> Failed:
    """Ask what has to fail, and tell how it did."""
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    # What is raised is both an error and the call that ended with it.
    error = cast("grpc.Call", caught.value)
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    if status is not None:
        status.details[0].Unpack(info)
        assert info.domain == "callgate.v1"
    return Failed(error.code(), info.reason, dict(info.metadata), error.details() or "")
