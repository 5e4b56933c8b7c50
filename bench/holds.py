"""What holds the interpreter while calls are answered: collections, and work of other threads.

    python -m bench.holds

An engine in this process is loaded from another one, at a rate. A watcher thread wants to run each
half millisecond: how late it is tells how long others kept the interpreter (or, on a busy machine,
the core). Collections are timed by themselves.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import uvloop

from bench.facts import Shape, write_directory
from bench.http2 import Where
from bench.load import Figures, Job
from bench.machine import SERVER_CORE
from bench.processes import Processes
from bench.servers import engine_settings
from server.app.process import YOUNG_OBJECTS
from server.app.running import running_engine
from server.settings import Settings
from server.settings.loading import load_settings

CALLS, CALLS_PER_SECOND = 6_000, 1_000
_LOOK_SECONDS = 0.0005
_MS = 1_000


@dataclass(slots=True)
class Holds:
    """What was seen, in milliseconds."""

    late: list[float] = field(default_factory=list)
    longest_collection: dict[int, float] = field(default_factory=dict)
    collections: Counter[int] = field(default_factory=Counter)
    _began: float = 0.0

    def collected(self, phase: str, info: dict[str, Any]) -> None:
        """Take note of a collection, as `gc.callbacks` tells of it."""
        now, generation = time.perf_counter(), info["generation"]
        if phase == "start":
            self._began = now
            return
        self.collections[generation] += 1
        longest = self.longest_collection.get(generation, 0.0)
        self.longest_collection[generation] = max(longest, (now - self._began) * _MS)

    def watch(self, over: Event) -> None:
        """Run again and again until it is over."""
        while not over.is_set():
            due = time.perf_counter() + _LOOK_SECONDS
            time.sleep(_LOOK_SECONDS)
            self.late.append((time.perf_counter() - due) * _MS)

    def late_ms(self, share: float) -> float:
        """Say how late the watcher was in all but this share of its looks."""
        return sorted(self.late)[int(len(self.late) * (1 - share)) - 1]


async def measure(
    settings: Settings, load: Callable[[Job], Figures], shape: Shape, *, calls: int
) -> Holds:
    """Load an engine with so many calls, and watch."""
    holds, over = Holds(), Event()
    async with running_engine(settings) as (_, port):
        where, own = Where("127.0.0.1", port), os.getpid()
        warm = Job(where, own, shape, "warm", calls // 10, in_flight=8)
        timed = Job(where, own, shape, "timed", calls, calls_per_second=CALLS_PER_SECOND)
        await asyncio.to_thread(load, warm)
        watcher = Thread(target=holds.watch, args=(over,), daemon=True)
        gc.callbacks.append(holds.collected)
        watcher.start()
        try:
            figures = await asyncio.to_thread(load, timed)
        finally:
            over.set()
            gc.callbacks.remove(holds.collected)
            watcher.join()
    sys.stdout.write(f"p50 {figures.p50_us:.0f} us, p99 {figures.p99_us:.0f} us\n")
    return holds


def main() -> None:
    """Print what was seen."""
    shape = Shape()
    with tempfile.TemporaryDirectory(prefix="cg") as name, Processes(Path(name)) as processes:
        folder = processes.folder
        directory = write_directory(folder / "directory", shape)
        load, (store, _) = processes.load(), processes.store()
        told = engine_settings(folder, store, directory)
        settings = load_settings(
            None, {f"CALLGATE_{key.upper()}": str(value) for key, value in told.items()}
        )
        os.sched_setaffinity(0, {SERVER_CORE})
        gc.set_threshold(YOUNG_OBJECTS)
        holds = uvloop.run(measure(settings, load.run, shape, calls=CALLS))
    for share in (0.01, 0.001, 0.0):
        sys.stdout.write(f"late by {holds.late_ms(share):.2f} ms in all but {share:.1%} of looks\n")
    for generation, count in sorted(holds.collections.items()):
        longest = holds.longest_collection[generation]
        sys.stdout.write(
            f"generation {generation}: {count} collections, longest {longest:.2f} ms\n"
        )


if __name__ == "__main__":
    main()
