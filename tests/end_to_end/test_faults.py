"""What breaks under load: no answer goes to another's question, and all is well again soon."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import grpc
import pytest

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from engines import Engine, OwnRedis, a_question, running_engine, wait_until
from workers import workers_of

CALLERS = 8
FREEZE_SECONDS = 3.0
CALM_SECONDS = 0.5
RECOVERY_SECONDS = 2.0
TROUBLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
_RECONNECT = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One question and what came back."""

    caller: int
    at: float
    question: pb.AuthorizeCallRequest
    response: pb.AuthorizeCallResponse | None
    code: grpc.StatusCode


class Callers:
    """Ask all the time, each over a connection of its own, each about a number of its own."""

    def __init__(self, address: str) -> None:
        self.answered: list[Answered] = []
        self._address = address
        self._numbers = (f"+1425{number}" for number in itertools.count(2_000_000))
        self._lock = threading.Lock()
        self._enough = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask while the block lasts."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._enough.set()
            for thread in threads:
                thread.join()

    def recovered_seconds(self, since: float) -> float:
        """Wait until every caller was answered after a moment; say when the last one was."""
        before = len(self.answered)

        def first_answers() -> dict[int, float]:
            found: dict[int, float] = {}
            for one in self.answered[before:]:
                if one.response is not None and one.at > since:
                    found.setdefault(one.caller, one.at)
            return found

        wait_until(lambda: len(first_answers()) == CALLERS)
        return max(first_answers().values()) - since

    def _ask(self, caller: int) -> None:
        with grpc.insecure_channel(self._address, _RECONNECT) as channel:
            stub = AuthorizationServiceStub(channel)
            while not self._enough.is_set():
                with self._lock:
                    question = a_question(next(self._numbers), seconds=1)
                self.answered.append(self._answer(stub, caller, question))

    def _answer(
        self, stub: AuthorizationServiceStub, caller: int, question: pb.AuthorizeCallRequest
    ) -> Answered:
        response, code = None, grpc.StatusCode.OK
        try:
            response = stub.AuthorizeCall(question, timeout=1.0)
        except grpc.RpcError as error:
            code = cast("grpc.Call", error).code()
            time.sleep(0.02)
        return Answered(caller, time.monotonic(), question, response, code)


def test_no_fault_under_load_gives_anybody_another_s_answer_and_each_is_over_soon(
    tmp_path: Path, redis: OwnRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redis hangs for 3 s, connections to it are cut, workers are killed one after the other."""
    seconds: dict[str, float] = {}
    with running_engine(tmp_path / "engine", redis_url=redis.url, workers=2) as engine:
        callers = Callers(engine.address)
        with callers.asking():
            time.sleep(CALM_SECONDS)
            with redis.frozen():
                time.sleep(FREEZE_SECONDS)
            seconds["Redis hung for 3 s"] = callers.recovered_seconds(time.monotonic())
            time.sleep(CALM_SECONDS)
            redis.command("CLIENT", "KILL", "TYPE", "normal")
            seconds["connections cut"] = callers.recovered_seconds(time.monotonic())
            for number in (1, 2):
                time.sleep(CALM_SECONDS)
                os.kill(workers_of(engine)[number], signal.SIGKILL)
                seconds[f"worker {number} killed"] = callers.recovered_seconds(time.monotonic())
                wait_until(partial(_serves_again, engine, number))
            time.sleep(CALM_SECONDS)
        again = [one for one in callers.answered if one.response is not None][::20]
        with grpc.insecure_channel(engine.address) as channel:
            stub = AuthorizationServiceStub(channel)
            repeated = [stub.AuthorizeCall(one.question, timeout=5) for one in again]

    codes = Counter(one.code.name for one in callers.answered)
    with capsys.disabled():
        sys.stdout.write(
            f"\nFaults under load of {CALLERS} callers: {dict(codes)}; all answered again after "
            + ", ".join(f"{name}: {taken:.2f} s" for name, taken in seconds.items())
            + f"; {len(repeated)} asked again, each answered as before\n"
        )

    right = [(one.question, one.response) for one in callers.answered if one.response is not None]
    assert all(told.called_number == asked.called_number for asked, told in right)
    assert len({told.decision_id for _, told in right}) == len(right)
    assert repeated == [one.response for one in again]
    assert {one.code for one in callers.answered} - {grpc.StatusCode.OK} <= TROUBLE
    assert max(seconds.values()) < RECOVERY_SECONDS


def _serves_again(engine: Engine, number: int) -> bool:
    return engine.log.count(f"worker {number}: Serving with") == 2
