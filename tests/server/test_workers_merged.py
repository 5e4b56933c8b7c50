"""Figures and health of several workers, as if they were one."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from grpc_health.v1 import health_pb2 as pb

from server.app.workers.channel import Family
from server.app.workers.merging import left_behind, merged, metrics_of
from server.services.health import LEDGER_SERVICE, HealthService


def page(granted: float, *, bridges: float = 0, ledger_up: float = 1) -> list[Family]:
    """Make what one worker says."""
    granted_name, labels = "callgate_decisions_total", {"outcome": "grant"}
    return [
        Family("callgate_decisions", "Answers.", "counter", [(granted_name, labels, granted)]),
        Family("callgate_bridges", "Streams.", "gauge", [("callgate_bridges", {}, bridges)]),
        Family("callgate_ledger_up", "Up.", "gauge", [("callgate_ledger_up", {}, ledger_up)]),
        Family("process_cpu_seconds", "CPU.", "counter", [("process_cpu_seconds_total", {}, 9)]),
    ]


def samples(families: list[Family]) -> dict[str, float]:
    return {name: value for family in families for name, _, value in family.samples}


def test_figures_add_up_and_the_ledger_is_as_bad_as_the_worst_sees_it() -> None:
    told = samples(merged([page(3, bridges=1), page(4, bridges=2, ledger_up=0)]))

    assert told["callgate_decisions_total"] == 7
    assert told["callgate_bridges"] == 3
    assert told["callgate_ledger_up"] == 0


def test_only_samples_with_the_same_labels_are_added() -> None:
    other = [
        Family("callgate_decisions", "", "counter", [("callgate_decisions_total", {}, 5)]),
    ]

    (decisions,) = [one for one in merged([page(3), other]) if one.name == "callgate_decisions"]

    assert sorted(value for _, _, value in decisions.samples) == [3, 5]


def test_counts_of_a_worker_that_ended_go_on_counting_and_nothing_else_of_it_does() -> None:
    left = left_behind(page(5, bridges=2))

    assert samples(left) == {"callgate_decisions_total": 5}


def test_merged_figures_are_in_the_form_that_prometheus_reads() -> None:
    (metric, *_) = metrics_of(merged([page(3), page(4)]))

    assert (metric.name, metric.type) == ("callgate_decisions", "counter")
    assert [(one.name, one.labels, one.value) for one in metric.samples] == [
        ("callgate_decisions_total", {"outcome": "grant"}, 7)
    ]


async def test_the_ledger_serves_while_it_does_for_every_worker() -> None:
    health, told = HealthService(5), []
    health.tell(LEDGER_SERVICE, serving=True)

    async def watch() -> None:
        request = pb.HealthCheckRequest(service=LEDGER_SERVICE)
        told.extend(
            [
                answer.status
                async for answer in health.Watch(request, Mock(peer=lambda: "ipv4:127.0.0.1:1"))
            ]
        )

    watching = asyncio.create_task(watch())
    for serving in (False, True):
        await _heard()
        health.tell_of_others(LEDGER_SERVICE, serving=serving)
    await _heard()
    health.drain()
    await watching

    up, down = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
    assert told == [up, down, up, down]


async def _heard() -> None:
    """Let the watcher hear what was told before."""
    for _ in range(3):
        await asyncio.sleep(0)
