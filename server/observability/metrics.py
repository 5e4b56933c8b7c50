"""Figures over time, counted in plain integers and put into Prometheus' form when it asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from policy.reasons import Reason
from server.ledger import Answer

_BUCKETS_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000)
_MICROSECONDS = 1_000_000

# The name of a member of an enumeration takes a while to look up, and these are for every call.
_GRANT = "grant", ""
_REFUSALS = {reason: ("refusal", reason.name) for reason in Reason}

Gauge = Callable[[], float]


class Metrics:
    """What is counted on the path: nothing but additions to integers."""

    def __init__(self) -> None:
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.reports: Counter[tuple[str, str, str]] = Counter()
        self.failures: Counter[str] = Counter()
        self.refused_connections: Counter[str] = Counter()
        self.facts_stale = 0
        self.implausible_reports = 0
        self.facts_reload_failures = 0
        self.durations = [0] * (len(_BUCKETS_US) + 1)
        self.duration_sum_us = 0

    def count_decision(self, reason: Reason | None, duration_us: int) -> None:
        """Count one answer, a refusal where it has a reason, and the time from question to it."""
        self.decisions[_GRANT if reason is None else _REFUSALS[reason]] += 1
        self.durations[bisect_left(_BUCKETS_US, duration_us)] += 1
        self.duration_sum_us += duration_us

    def count_report(self, verb: str, answer: Answer, duration_us: int) -> None:
        """Count one report about a call, its outcome, and the time from report to answer."""
        reason = answer.reason
        outcome = "refusal" if reason else "grant" if answer.state == "live" else answer.state
        self.reports[verb, outcome, reason.name if reason else ""] += 1
        self.implausible_reports += answer.implausible_seconds > 0
        self.durations[bisect_left(_BUCKETS_US, duration_us)] += 1
        self.duration_sum_us += duration_us

    def count_failure(self, reason: str) -> None:
        """Count one question that got an error."""
        self.failures[reason] += 1

    def count_refused_connection(self, reason: str) -> None:
        """Count one connection that was turned away or thrown out."""
        self.refused_connections[reason] += 1

    def count_emergency(self) -> None:
        """Count one emergency grant."""
        self.decisions["emergency", ""] += 1


class MetricsPage(Collector):
    """The page that Prometheus reads: the counts, and what others' gauges and counters say now."""

    def __init__(
        self, metrics: Metrics, *, gauges: dict[str, Gauge], counters: dict[str, Gauge]
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._counters = counters

    @override
    def collect(self) -> Iterator[Metric]:
        """Build every family anew."""
        yield self._decisions()
        yield self._reports()
        metrics = self._metrics
        yield self._by_reason("failures", metrics.failures)
        yield self._by_reason("refused_connections", metrics.refused_connections)
        yield self._durations()
        for name, read in self._counters.items():
            yield CounterMetricFamily(f"callgate_{name}", HELP[name], value=read())
        for name, read in self._gauges.items():
            yield GaugeMetricFamily(f"callgate_{name}", HELP[name], value=read())

    def _decisions(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "callgate_decisions", HELP["decisions"], labels=("outcome", "reason")
        )
        for labels, count in list(self._metrics.decisions.items()):
            family.add_metric(labels, count)
        return family

    def _reports(self) -> CounterMetricFamily:
        labels = ("verb", "outcome", "reason")
        family = CounterMetricFamily("callgate_reports", HELP["reports"], labels=labels)
        for values, count in list(self._metrics.reports.items()):
            family.add_metric(values, count)
        return family

    def _by_reason(self, name: str, counts: Counter[str]) -> CounterMetricFamily:
        family = CounterMetricFamily(f"callgate_{name}", HELP[name], labels=("reason",))
        for reason, count in list(counts.items()):
            family.add_metric((reason,), count)
        return family

    def _durations(self) -> HistogramMetricFamily:
        total, buckets = 0, []
        for bound_us, count in zip((*_BUCKETS_US, None), self._metrics.durations, strict=True):
            total += count
            bound = "+Inf" if bound_us is None else str(bound_us / _MICROSECONDS)
            buckets.append((bound, total))
        sum_seconds = self._metrics.duration_sum_us / _MICROSECONDS
        return HistogramMetricFamily(
            "callgate_decision_seconds",
            HELP["decision_seconds"],
            buckets=buckets,
            sum_value=sum_seconds,
        )


HELP = {
    "decisions": "Answers given, by outcome (grant, refusal, emergency) and reason of refusal.",
    "reports": "Reports about running calls (extend, settle, release), by outcome and reason.",
    "failures": "Questions that got an error, by the reason of its ErrorInfo.",
    "refused_connections": "Connections turned away or thrown out: certificate, handshake, "
    "too_many, flood, broken, foreign.",
    "decision_seconds": "From question to answer, emergencies left out.",
    "waiting_for_ledger": "Commands that wait for the ledger's reply.",
    "waiting_limit": "How many may wait before new calls are shed; it shrinks when they take long.",
    "implausible_reports": "Reports of use beyond what can have passed; it is held apart.",
    "facts_stale": "Questions decided with facts the ledger no longer agreed with, asked again.",
    "facts_reload_failures": "Loads of catalogue or directory that were refused.",
    "identities_reload_failures": "Looks for identities that failed.",
    "records_dropped_grants": "Decision records of grants dropped because too many were waiting.",
    "records_dropped_refusals": "Decision records of refusals and emergencies dropped likewise.",
    "records_failed_writes": "Times the decision records could not be written.",
    "records_not_kept": "Decision records that will not reach the archive.",
    "records_waiting": "Decision records that wait to be written.",
    "bridges": "Streams of bridges that are open here.",
    "bridges_replaced": "Streams of bridges that ended because a newer one took over.",
    "ledger_up": "1 while the ledger answers and takes writes, in a cluster any of it, else 0.",
    "ledger_nodes_away": "Primaries of the ledger that are away while others answer.",
    "accounts_unopened": "Accounts of tenants in use that could not be opened yet.",
    "store_clock_refused": "Processes that do not believe the store's clock, for it jumped.",
}
