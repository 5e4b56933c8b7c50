"""The page of the keeper that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from server.keeper.figures import Figures

_PERCENT = 100


class KeeperPage(Collector):
    """What a keeper does now, and how far the archive is behind."""

    def __init__(
        self,
        figures: Figures,
        now_ms: Callable[[], int],
        more: Sequence[Callable[[], Iterable[Metric]]] = (),
    ) -> None:
        self._figures = figures
        self._now_ms = now_ms
        self._more = tuple(more)

    @override
    def collect(self) -> Iterator[Metric]:
        """Build every family anew."""
        figures = self._figures
        for name, (text, gauge) in {
            "keeper_leads": ("1 while this keeper works, 0 while it waits.", figures.leads),
            "archive_up": ("1 while the archive answers, else 0.", figures.archive_up),
            "drain_lag_seconds": (
                "Age of the oldest entry that the archive lacks: what a lost store would lose.",
                figures.lag_seconds(self._now_ms()),
            ),
            "journal_fill_ratio": (
                "How full the fullest journal is; at 1 new calls that are metered are refused.",
                figures.fill_percent() / _PERCENT,
            ),
            "partitions_in_trouble": (
                "Partitions that cannot be drained until an operator has looked.",
                len(figures.troubles),
            ),
        }.items():
            yield GaugeMetricFamily(f"callgate_{name}", text, value=gauge)
        for name, (text, count) in {
            "entries_archived": ("Entries of journals written to the archive.", "entries_archived"),
            "partitions_rebuilt": ("Partitions filled from the archive.", "partitions_rebuilt"),
            "expired_reservations": (
                "Reservations given back because nobody reported on them in time.",
                "expired_reservations",
            ),
        }.items():
            yield CounterMetricFamily(f"callgate_{name}", text, value=getattr(figures, count))
        for families in self._more:
            yield from families()
