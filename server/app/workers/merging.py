"""Adding up the figures of several workers, so that whichever is asked tells those of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from server.app.workers.channel import Family

# A figure that is as bad as the worst of them; all others add up.
_WORST = frozenset({"callgate_ledger_up"})
_ADDS_UP_FOR_EVER = frozenset({"counter", "histogram"})

_Key = tuple[str, tuple[tuple[str, str], ...]]


def families_of(collector: Collector, **added: str) -> list[Family]:
    """Read figures, each with some labels more."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [(one.name, {**one.labels, **added}, one.value) for one in metric.samples],
        )
        for metric in collector.collect()
    ]


def merged(pages: Iterable[Iterable[Family]]) -> list[Family]:
    """Add up the figures of several pages."""
    heads: dict[str, Family] = {}
    sums: dict[str, dict[_Key, float]] = {}
    for family in (family for page in pages for family in page):
        heads.setdefault(family.name, family)
        found = sums.setdefault(family.name, {})
        for name, labels, value in family.samples:
            key = (name, tuple(sorted(labels.items())))
            if key not in found:
                found[key] = value
            elif family.name in _WORST:
                found[key] = min(found[key], value)
            else:
                found[key] += value
    return [
        Family(name, head.about, head.kind, [(key, dict(at), v) for (key, at), v in found.items()])
        for (name, head), found in zip(heads.items(), sums.values(), strict=True)
    ]


def left_behind(page: Iterable[Family]) -> list[Family]:
    """Keep what still counts of a worker that ended: what only ever grows, and is all workers'."""
    return [one for one in page if one.kind in _ADDS_UP_FOR_EVER and not is_of_one_process(one)]


def is_of_one_process(family: Family) -> bool:
    """Tell whether a figure is about a process rather than about the engine."""
    return not family.name.startswith("callgate_")


def metrics_of(families: Iterable[Family]) -> Iterator[Metric]:
    """Put figures into Prometheus' form."""
    for family in families:
        metric = Metric(family.name, family.about, family.kind)
        for name, labels, value in family.samples:
            metric.add_sample(name, labels, value)
        yield metric


class MergedPage(Collector):
    """The page of one worker with the figures of all."""

    def __init__(
        self, own: Callable[[], list[Family]], of_others: Callable[[], list[Family]]
    ) -> None:
        self._own = own
        self._of_others = of_others

    @override
    def collect(self) -> Iterator[Metric]:
        """Build every family anew."""
        return metrics_of(merged([self._own(), self._of_others()]))
