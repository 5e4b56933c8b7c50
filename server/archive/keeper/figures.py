"""What the keeper shows of its work, and when it raises the alarm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

# What a store that fails now would lose is what the archive lacks: so this is watched closely.
LAG_ALARM_SECONDS = 2.0
FILL_ALARM_PERCENT = 80
_PERCENT = 100
_MS = 1_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Figures:
    """What the keeper knows of each partition, and what it has done. Plain numbers."""

    journal_max_entries: int
    leads: bool = False
    archive_up: bool = True
    entries_archived: int = 0
    partitions_rebuilt: int = 0
    expired_reservations: int = 0
    # By partition: when its oldest entry that waits was written, how many wait, what is wrong.
    oldest_ms: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    troubles: dict[int, str] = field(default_factory=dict)
    _alarms: set[str] = field(default_factory=set)

    def lag_seconds(self, now_ms: int) -> float:
        """Say how old the oldest entry is that the archive lacks; 0 where it lacks none."""
        return max(0, now_ms - min(self.oldest_ms.values(), default=now_ms)) / _MS

    def fill_percent(self) -> int:
        """Say how full the fullest journal is."""
        return max(self.waiting.values(), default=0) * _PERCENT // self.journal_max_entries

    def note_waiting(self, partition: int, waiting: int, oldest_ms: int | None) -> None:
        """Keep what was found waiting in one partition."""
        self.waiting[partition] = waiting
        if oldest_ms is None or not waiting:
            self.oldest_ms.pop(partition, None)
        else:
            self.oldest_ms[partition] = oldest_ms

    def look(self, now_ms: int) -> None:
        """Raise alarms that are due, and take back those that are over."""
        lag = self.lag_seconds(now_ms)
        self._tell("lag", lag > LAG_ALARM_SECONDS, f"The archive lags {lag:.1f} s behind.")
        fill = self.fill_percent()
        self._tell("fill", fill >= FILL_ALARM_PERCENT, f"A journal is {fill} % full.")

    def note_trouble(self, partition: int, trouble: str) -> None:
        """Keep what is wrong with a partition, '' where nothing is; tell it when it changes."""
        if trouble and self.troubles.get(partition) != trouble:
            _log.error("Partition %d: %s.", partition, trouble)
        if trouble:
            self.troubles[partition] = trouble
        else:
            self.troubles.pop(partition, None)

    def _tell(self, name: str, due: bool, text: str) -> None:
        if due and name not in self._alarms:
            self._alarms.add(name)
            _log.error("ALARM %s: %s", name, text)
        elif not due and name in self._alarms:
            self._alarms.discard(name)
            _log.info("The alarm %s is over: %s", name, text)


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
