"""How the cost of a call grows with users, prefixes and running calls, and what those take."""

from __future__ import annotations

import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bench import straight
from bench.facts import SAMPLE_CATALOGUE, Shape, write_catalogue, write_directory
from bench.learned import learn
from bench.load import Figures, Job
from bench.machine import resident_bytes
from bench.plan import IN_FLIGHT, Plan
from bench.processes import LoadProcess, Processes, Served
from bench.servers import engine_settings, first_answer_seconds, patiently

_BYTES_PER_MEBIBYTE = 1 << 20
_WORKERS_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Grown:
    """One engine with so much of something, on a store of its own."""

    served: Served
    shape: Shape
    store: Path
    store_pid: int


class Growth:
    """Measures pairs of engines, the small and the large one in turn."""

    def __init__(self, processes: Processes, load: LoadProcess, plan: Plan) -> None:
        self._processes = processes
        self._load = load
        self._plan = plan
        self._other_load: LoadProcess | None = None

    def users(self, sizes: tuple[int, int]) -> dict[str, float | None]:
        """Compare few users with many; tell also what the many need."""
        small, large = (
            self._engine(f"users{size}", Shape(users=size), SAMPLE_CATALOGUE) for size in sizes
        )
        more = (sizes[1] - sizes[0]) / 100_000
        grown_bytes = resident_bytes(large.served.pid) - resident_bytes(small.served.pid)
        found: dict[str, float | None] = {
            "growth_users": self._ratio(small, large),
            "start_to_first_answer_s_users_largest": large.served.start_seconds,
            "mebibytes_per_100000_users": grown_bytes / more / _BYTES_PER_MEBIBYTE,
        }
        self._stop(small, large)
        return found

    def prefixes(self, sizes: tuple[int, int]) -> dict[str, float | None]:
        """Compare few prefixes with many."""
        folder = self._processes.folder
        small, large = (
            self._engine(
                f"prefixes{size}", Shape(), write_catalogue(folder / f"catalogue{size}", size)
            )
            for size in sizes
        )
        found: dict[str, float | None] = {"growth_prefixes": self._ratio(small, large)}
        self._stop(small, large)
        return found

    def running_calls(self, sizes: tuple[int, int]) -> dict[str, float | None]:
        """Compare hardly any running call with many; tell what each call takes."""
        small, large = (self._engine(f"calls{size}", Shape(), SAMPLE_CATALOGUE) for size in sizes)
        store = straight.Straight(large.store)
        tenants_bytes = sum(straight.bytes_by_kind(store).values())
        learned = learn(large.served.where, large.store, large.shape)
        straight.fill(store, learned, large.shape, running=sizes[1])
        kept = straight.bytes_by_kind(store)
        store.close()
        found: dict[str, float | None] = {
            "growth_running_calls": self._ratio(small, large),
            "redis_bytes_per_running_call": (kept["call"] + kept["expiry"]) / sizes[1],
            "redis_bytes_per_journal_entry": kept["journal"] / sizes[1],
            "redis_bytes_per_tenant": tenants_bytes / large.shape.tenants,
        }
        self._stop(small, large)
        return found

    def workers(self, counts: tuple[int, int]) -> dict[str, float | None]:
        """Compare one process with two, and with as many as there are cores for."""
        most = min(counts[1], (os.cpu_count() or 1) - 2)
        found: dict[int, list[Figures]] = {}
        for count in sorted({counts[0], 2, most}):
            grown = self._engine(f"workers{count}", Shape(), SAMPLE_CATALOGUE, workers=count)
            found[count] = [
                self._with_workers(grown, number) for number in range(-1, self._plan.passes)
            ][1:]
            self._stop(grown)
        cost_us, rate = (
            {
                count: statistics.median(getattr(one, name) for one in all_)
                for count, all_ in found.items()
            }
            for name in ("cpu_us_per_call", "calls_per_second")
        )
        return {
            "growth_workers": cost_us[most] / cost_us[counts[0]],
            "two_workers_speedup": rate[2] / rate[1],
        }

    def _with_workers(self, grown: Grown, number: int) -> Figures:
        """Load with two processes at once, for one may be less than two workers can take."""
        jobs = [
            Job(
                grown.served.where,
                grown.served.pid,
                grown.shape,
                f"workers-{grown.served.pid}-{number}-{half}",
                self._plan.growth_calls,
                IN_FLIGHT * 2,
                connections=_WORKERS_CONNECTIONS // 2,
            )
            for half in range(2)
        ]
        loads = [self._load, self._second_load()]
        with ThreadPoolExecutor() as threads:
            one, other = threads.map(patiently, loads, jobs)
        return replace(
            one,
            calls=one.calls + other.calls,
            # Each saw the CPU time of both.
            cpu_us_per_call=(one.cpu_us_per_call + other.cpu_us_per_call) / 4,
            calls_per_second=one.calls_per_second + other.calls_per_second,
        )

    def _second_load(self) -> LoadProcess:
        if self._other_load is None:
            self._other_load = self._processes.load(core=None)
        return self._other_load

    def _engine(self, name: str, shape: Shape, catalogue: Path, **settings: object) -> Grown:
        folder = self._processes.folder / f"of-{name}"
        store, store_pid = self._processes.store(f"store-{name}")
        directory = write_directory(folder / "directory", shape)
        settings = engine_settings(folder, store, directory) | settings
        served = self._processes.engine(
            name, **settings, transport="nghttp2", catalogue_folder=catalogue
        )
        seconds = first_answer_seconds(served, shape)
        return Grown(replace(served, start_seconds=seconds), shape, store, store_pid)

    def _ratio(self, small: Grown, large: Grown) -> float:
        """Load both in turn; return how much more CPU a call costs the large one."""
        costs_us: dict[int, list[float]] = {small.served.pid: [], large.served.pid: []}
        for number in range(-1, self._plan.passes):
            for one in (small, large):
                seed = f"grown-{one.served.pid}-{number}"
                calls = self._plan.growth_calls
                job = Job(one.served.where, one.served.pid, one.shape, seed, calls, IN_FLIGHT)
                figures = patiently(self._load, job)
                if number >= 0:  # The first pass warms up.
                    costs_us[one.served.pid].append(figures.cpu_us_per_call)
        of_small, of_large = (statistics.median(costs) for costs in costs_us.values())
        return of_large / of_small

    def _stop(self, *grown: Grown) -> None:
        for one in grown:
            self._processes.stop(one.served.pid)
            self._processes.stop(one.store_pid)
