"""The servers of a benchmark: started side by side, measured in turn."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from bench import go_reference as reference
from bench.facts import Shape
from bench.learned import Learned, learn
from bench.load import Figures, Job
from bench.plan import CONTROL_IN_FLIGHT, IN_FLIGHT, Plan
from bench.processes import LoadFailed, LoadProcess, Processes, Served
from bench.questions import questions
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub

CERTIFICATES = Path("tests/support/certificates")
AUTHORITY = CERTIFICATES / "authority.crt"
ECHO, GRPCIO, NGHTTP2, TLS = (
    "echo_grpcio",
    "authorize_grpcio",
    "authorize_nghttp2",
    "authorize_nghttp2_tls",
)
NATIONAL, CONTROL = "authorize_nghttp2_national", "control"
GO_POOLED, GO_PIPELINED = "authorize_go_pooled", "authorize_go_pipelined"
MIN_CALLS = 100
_FIRST_ANSWER_SECONDS = 30.0
_PAUSE_SECONDS = 3.0


@dataclass(slots=True)
class Measured:
    """The figures of one server, one a pass, for each way of loading it."""

    busy: list[Figures] = field(default_factory=list)
    alone: list[Figures] = field(default_factory=list)
    open: list[Figures] = field(default_factory=list)

    def median(self, of: str, what: str) -> float | None:
        """Take the median of a figure over the passes; None where it was not measured."""
        values = [getattr(figures, what) for figures in getattr(self, of)]
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True)
class Subject:
    """One row of the table: a server, and how it is to be asked."""

    served: Served
    national: bool = False
    decides: bool = True
    control: bool = False


@dataclass(slots=True)
class Field:
    """All that runs at the same time, and what is not there with the reason."""

    subjects: dict[str, Subject]
    learned: Learned
    store: Path
    store_pid: int
    start_seconds: float
    missing: dict[str, str]
    go_versions: dict[str, str] | None


def engine_settings(folder: Path, store: Path, directory: Path) -> dict[str, object]:
    """Give the settings of an engine under test: its own facts, no keeper at its side."""
    return {
        "listen": "127.0.0.1:0",
        "redis_url": f"unix://{store}",
        "directory_folder": directory,
        "data_folder": folder / "data",
        "records_path": folder / "records",
        # A machine that is busy with something else shall slow a run down, not end it.
        "deadline_ms": 10_000,
        # It would share the load's core; what it does is not part of any answer.
        "run_keeper": "false",
    }


def start_field(processes: Processes, shape: Shape, directory: Path) -> Field:
    """Start every server that can be had."""
    store, store_pid = processes.store()
    settings = engine_settings(processes.folder, store, directory)
    began = time.perf_counter()
    nghttp2 = processes.engine("nghttp2", **settings, transport="nghttp2")
    learned = learn(nghttp2.where, store, shape)
    start_seconds = time.perf_counter() - began
    missing: dict[str, str] = {}
    subjects = {
        ECHO: Subject(
            processes.listening("echo", [sys.executable, "-m", "bench.echo"]), decides=False
        ),
        GRPCIO: Subject(processes.engine("grpcio", **settings, transport="grpcio")),
        NGHTTP2: Subject(nghttp2),
        NATIONAL: Subject(nghttp2, national=True),
        TLS: Subject(_start_tls(processes, settings)),
        CONTROL: Subject(nghttp2, control=True),
    }
    go_versions = None
    try:
        program, go_versions = reference.build()
    except reference.NoReference as error:
        missing[GO_POOLED] = missing[GO_PIPELINED] = str(error)
    else:
        facts = reference.write_facts(processes.folder / "facts.json", learned, shape)
        for name, pipelined in ((GO_POOLED, False), (GO_PIPELINED, True)):
            words = reference.command(program, facts, store, pipelined=pipelined)
            subjects[name] = Subject(processes.listening(name, words))
    return Field(subjects, learned, store, store_pid, start_seconds, missing, go_versions)


def measure(
    subjects: dict[str, Subject], load: LoadProcess, plan: Plan, *, shape: Shape
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Measure each server in turn, in every pass; say why of those that fail at their warm-up."""
    rates: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, subject in subjects.items():
        job = _job(subject, shape, f"{name}-warm", calls=plan.warm_up_calls)
        try:
            rates[name] = patiently(load, _busy(job)).calls_per_second
        except LoadFailed as error:
            missing[name] = str(error)
    measured = {name: Measured() for name in rates}
    for number, name in itertools.product(range(plan.passes), rates):
        seed, subject = f"{name}-{number}", subjects[name]
        found = measured[name]
        calls = max(MIN_CALLS, int(rates[name] * plan.seconds))
        found.busy.append(patiently(load, _busy(_job(subject, shape, f"{seed}-busy", calls=calls))))
        rates[name] = found.busy[-1].calls_per_second
        if subject.control or subject.national:
            continue
        calls = max(MIN_CALLS, int(rates[name] * plan.seconds / 3))
        found.alone.append(patiently(load, _job(subject, shape, f"{seed}-alone", calls=calls)))
        half = replace(
            _job(subject, shape, f"{seed}-open", calls=calls), calls_per_second=rates[name] / 2
        )
        found.open.append(patiently(load, half))
    return measured, missing


def patiently(load: LoadProcess, job: Job) -> Figures:
    """Do a job; once more, with other calls, where the machine was too busy for an answer.

    Raises `LoadFailed`.
    """
    try:
        return load.run(job)
    except LoadFailed:
        time.sleep(_PAUSE_SECONDS)
        return load.run(replace(job, seed=f"{job.seed}-again"))


def first_answer_seconds(served: Served, shape: Shape) -> float:
    """Wait for a first answer; return the time from the start of the process."""
    began = time.perf_counter()
    question = next(questions(shape, "first")).message()
    with grpc.insecure_channel(f"{served.where.host}:{served.where.port}") as channel:
        AuthorizationServiceStub(channel).AuthorizeCall(question, timeout=_FIRST_ANSWER_SECONDS)
    return served.start_seconds + time.perf_counter() - began


def better(measured: Mapping[str, Measured], names: Iterable[str]) -> Measured | None:
    """Choose the one that costs the least CPU per call; None where there is none."""
    there = [measured[name] for name in names if name in measured]
    return min(there, key=lambda one: one.median("busy", "cpu_us_per_call") or 0, default=None)


def _start_tls(processes: Processes, settings: dict[str, object]) -> Served:
    served = processes.deciding(
        "tls",
        [sys.executable, "-m", "server"],
        **settings,
        transport="nghttp2",
        tls_certificate=CERTIFICATES / "server.crt",
        tls_key=CERTIFICATES / "server.key",
    )
    return replace(served, where=served.where._replace(authority_file=str(AUTHORITY)))


def _job(subject: Subject, shape: Shape, seed: str, *, calls: int) -> Job:
    return Job(
        subject.served.where,
        subject.served.pid,
        shape,
        seed,
        calls,
        national=subject.national,
        decides=subject.decides,
        control=subject.control,
    )


def _busy(job: Job) -> Job:
    return replace(job, in_flight=CONTROL_IN_FLIGHT if job.control else IN_FLIGHT)
