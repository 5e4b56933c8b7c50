"""The benchmark of the whole: `make bench`, or `make bench QUICK=1` for one under a minute."""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
from pathlib import Path

import click

from bench import machine, straight
from bench.facts import Shape, write_directory
from bench.growth import Growth
from bench.plan import FULL, QUICK, Plan
from bench.processes import LoadProcess, Processes
from bench.results import RESULTS, Results, gather, table
from bench.servers import Field, measure, start_field


@click.command()
@click.option("--quick", is_flag=True, help="Under a minute: fewer passes, nothing grown.")
def main(*, quick: bool) -> None:
    """Measure every server side by side, and write down what came of it."""
    plan = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        results = _about(quick=quick) | _measure(Path(folder), plan)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _say(table(results))
    for name, reason in results["not_measured"].items():
        _say(f"not measured: {name}: {reason}")
    _say(f"\nwritten to {RESULTS}")


def _measure(folder: Path, plan: Plan) -> Results:
    shape = Shape()
    directory = write_directory(folder / "directory", shape)
    with Processes(folder) as processes:
        load = processes.load()
        _say("Starting the servers ...")
        with_servers = start_field(processes, shape, directory)
        _say(f"Measuring {len(with_servers.subjects)} of them, {plan.passes} passes ...")
        measured, failed = measure(with_servers.subjects, load, plan, shape=shape)
        _say("Measuring the store ...")
        store = _measure_store(with_servers, plan, shape)
        for subject in {one.served.pid for one in with_servers.subjects.values()}:
            processes.stop(subject)
        grown = _measure_growth(processes, load, plan)
        results = gather(measured, with_servers.missing | failed, store=store, grown=grown)
    start_seconds = round(with_servers.start_seconds, 2)
    return results | {
        "go_versions": with_servers.go_versions,
        "start_to_first_answer_s": start_seconds,
    }


def _measure_store(
    with_servers: Field, plan: Plan, shape: Shape
) -> dict[str, straight.StoreFigures]:
    store = straight.Straight(with_servers.store)
    found: dict[str, list[straight.StoreFigures]] = {"reserve": [], "small": []}
    calls = plan.straight_calls
    for number in range(plan.passes):
        seed = f"straight-{number}"
        found["reserve"].append(
            straight.reserve(store, with_servers.learned, shape, seed=seed, calls=calls)
        )
        found["small"].append(straight.small(store, seed=seed, calls=calls))
    store.close()
    return {name: straight.median(figures) for name, figures in found.items()}


def _measure_growth(processes: Processes, load: LoadProcess, plan: Plan) -> dict[str, float | None]:
    growth = Growth(processes, load, plan)
    found: dict[str, float | None] = {}
    if plan.running_calls:
        _say("Measuring with many running calls ...")
        found |= growth.running_calls(plan.running_calls)
    if plan.prefixes:
        _say("Measuring with many prefixes ...")
        found |= growth.prefixes(plan.prefixes)
    if plan.workers and machine.has_cores_for_workers():
        _say("Measuring with several workers ...")
        found |= growth.workers(plan.workers)
    if plan.users:
        _say("Measuring with many users ...")
        found |= growth.users(plan.users)
    return found


def _about(*, quick: bool) -> Results:
    now = dt.datetime.now(dt.UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": "make bench QUICK=1" if quick else "make bench",
        "commit": machine.commit(),
        "machine": machine.described(),
    }


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
