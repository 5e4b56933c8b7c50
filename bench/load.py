"""Loads one server and measures it: so many calls in flight, or so many a second.

A process of its own, so that it can be pinned: it reads one job in JSON a line from its standard
input, and answers each with a line of figures, or of what failed. Every answer is kept, and
checked afterwards.
"""

from __future__ import annotations

import itertools
import json
import random
import select
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bench.control import Bridge
from bench.facts import Shape
from bench.http2 import Broken, Headers, Http2, Where, framed
from bench.machine import cpu_us
from bench.questions import Asked, WrongAnswer, check_answers, questions
from callgate.v1 import authorization_pb2 as pb

AUTHORIZE_PATH = "/callgate.v1.AuthorizationService/AuthorizeCall"
CONNECTIONS = 4
_PREFIX_BYTES = 5
_WAIT_SECONDS = 20.0
_NS_PER_US, _NS_PER_SECOND = 1_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to do to which server. Without a rate: `in_flight` calls all the time."""

    where: Where
    server_pid: int
    shape: Shape
    seed: str
    calls: int
    in_flight: int = 1
    calls_per_second: float = 0.0
    national: bool = False
    # Whether answers decide; an echo's only have to belong to their questions.
    decides: bool = True
    # How many the calls are spread over.
    connections: int = CONNECTIONS
    # Items in one ControlCalls stream instead of calls.
    control: bool = False

    @classmethod
    def read(cls, text: str) -> Job:
        """Read one from JSON."""
        fields: dict[str, Any] = json.loads(text)
        where, shape = Where(*fields.pop("where")), Shape(**fields.pop("shape"))
        return cls(where=where, shape=shape, **fields)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it. CPU is the server's."""

    calls: int
    cpu_us_per_call: float
    calls_per_second: float
    p50_us: float
    p99_us: float


class Load:
    """Everything that is to be asked, and what came back."""

    def __init__(self, job: Job) -> None:
        asked = questions(job.shape, job.seed, national=job.national)
        self.asked: list[Asked] = list(itertools.islice(asked, job.calls))
        self.bodies = [framed(one.message().SerializeToString()) for one in self.asked]
        self.answers: list[bytes] = [b""] * job.calls
        self.latencies_ns = [0] * job.calls
        self.answered = 0
        # The next one to be asked.
        self.next = 0


class Line:
    """One connection, and what is on its way over it."""

    def __init__(self, load: Load, where: Where, *, asks_on: bool) -> None:
        self.http2 = Http2(where, AUTHORIZE_PATH, ended=self._on_end)
        self._load = load
        self._asks_on = asks_on
        self._sent: dict[int, tuple[int, int]] = {}

    def ask(self, since_ns: int) -> None:
        """Ask the next question, as one that is waiting since then."""
        load = self._load
        if load.next == len(load.bodies):
            return
        number, load.next = load.next, load.next + 1
        self._sent[self.http2.call(load.bodies[number])] = number, since_ns

    def turn(self) -> None:
        """Read what has come, and send what that gave rise to."""
        self.http2.receive()
        self.http2.flush()

    def _on_end(self, stream_id: int, data: bytes, headers: Headers) -> None:
        now_ns = time.perf_counter_ns()
        if headers.get("grpc-status") != "0":
            raise Broken(f"a call ended with {headers}")
        number, since_ns = self._sent.pop(stream_id)
        load = self._load
        load.answers[number] = data
        load.latencies_ns[number] = now_ns - since_ns
        load.answered += 1
        if self._asks_on:
            self.ask(now_ns)


def run(job: Job) -> Figures:
    """Ask everything, check every answer, and tell what it cost. Raises `WrongAnswer`."""
    if job.control:
        return _run_control(job)
    load, is_open = Load(job), job.calls_per_second > 0
    count = job.connections if is_open else min(job.connections, job.in_flight)
    lines = [Line(load, job.where, asks_on=not is_open) for _ in range(count)]
    before_us, started_ns = cpu_us(job.server_pid), time.perf_counter_ns()
    if is_open:
        _open_loop(load, lines, _arrivals(job, started_ns))
    else:
        _closed_loop(load, lines, job.in_flight)
    seconds = (time.perf_counter_ns() - started_ns) / _NS_PER_SECOND
    used_us = cpu_us(job.server_pid) - before_us
    for line in lines:
        line.http2.close()
    check_answers(load.asked, _answers(load.answers), decides=job.decides)
    return _figures(load.latencies_ns, used_us, seconds)


def _run_control(job: Job) -> Figures:
    asked = list(itertools.islice(questions(job.shape, job.seed), job.calls))
    bridge = Bridge(job.where, asked, job.in_flight)
    bridge.greet()
    before_us, started_ns = cpu_us(job.server_pid), time.perf_counter_ns()
    answers, latencies_ns = bridge.run()
    seconds = (time.perf_counter_ns() - started_ns) / _NS_PER_SECOND
    used_us = cpu_us(job.server_pid) - before_us
    check_answers(asked[1:], answers)
    return _figures(latencies_ns, used_us, seconds)


def _closed_loop(load: Load, lines: list[Line], in_flight: int) -> None:
    for place in range(in_flight):
        lines[place % len(lines)].ask(time.perf_counter_ns())
    for line in lines:
        line.http2.flush()
    while load.answered < len(load.bodies):
        _turn(lines, _WAIT_SECONDS)


def _open_loop(load: Load, lines: list[Line], arrivals_ns: list[int]) -> None:
    """Ask each question at its time, however many are waiting; a late start counts as waiting."""
    for place, due_ns in enumerate(arrivals_ns):
        while (wait_ns := due_ns - time.perf_counter_ns()) > 0:
            _turn(lines, wait_ns / _NS_PER_SECOND, silence_is_fine=True)
        line = lines[place % len(lines)]
        line.ask(due_ns)
        line.http2.flush()
    while load.answered < len(load.bodies):
        _turn(lines, _WAIT_SECONDS)


def _turn(lines: list[Line], seconds: float, *, silence_is_fine: bool = False) -> None:
    ready, _, _ = select.select([line.http2 for line in lines], (), (), seconds)
    if not ready and not silence_is_fine:
        raise Broken(f"nothing came for {seconds:g} s")
    for line in lines:
        if line.http2 in ready:
            line.turn()


def _arrivals(job: Job, started_ns: int) -> list[int]:
    """Say when each question comes up: by chance, as those of strangers do."""
    chance = random.Random(job.seed)
    gaps_ns = (
        int(chance.expovariate(job.calls_per_second) * _NS_PER_SECOND) for _ in range(job.calls)
    )
    return [started_ns + after_ns for after_ns in itertools.accumulate(gaps_ns)]


def _answers(bodies: Iterable[bytes]) -> Iterable[pb.AuthorizeCallResponse]:
    return (pb.AuthorizeCallResponse.FromString(body[_PREFIX_BYTES:]) for body in bodies)


def _figures(latencies_ns: list[int], used_us: float, seconds: float) -> Figures:
    calls = len(latencies_ns)
    percentiles_ns = statistics.quantiles(latencies_ns, n=100)
    return Figures(
        calls=calls,
        cpu_us_per_call=used_us / calls,
        calls_per_second=calls / seconds,
        p50_us=percentiles_ns[49] / _NS_PER_US,
        p99_us=percentiles_ns[98] / _NS_PER_US,
    )


def _work_off(words: str) -> dict[str, Any]:
    try:
        return asdict(run(Job.read(words)))
    except (Broken, OSError, WrongAnswer) as error:
        return {"failed": str(error)}


if __name__ == "__main__":
    for job_words in sys.stdin:
        sys.stdout.write(json.dumps(_work_off(job_words)) + "\n")
        sys.stdout.flush()
