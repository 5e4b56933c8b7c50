"""The page of metrics: which figures of which part stand on it."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from server.app.engine import Engine
from server.app.money import make_money_in
from server.app.workers.channel import Family, Shared
from server.app.workers.merging import MergedPage, families_of
from server.funding.provider_events import PATH
from server.observability.metrics import Gauge, MetricsPage
from server.transport.http import HttpListener, PostRoute

_log = logging.getLogger("callgate")


async def show_figures(engine: Engine, stack: AsyncExitStack, shared: Shared | None) -> None:
    """Serve the page where the settings say so. Raises `OSError` if its port is taken.

    Whichever worker is asked tells the figures of all.
    """
    address = engine.settings.http_listen
    if address is None:
        return
    posts = payment_posts(engine)
    if shared is None:
        listener = HttpListener(address, _page(engine), posts)
    else:
        page = MergedPage(lambda: own_families(engine, shared), lambda: shared.others.figures)
        listener = HttpListener(address, page, posts, is_shared=True)
    stack.push_async_callback(listener.stop)
    _log.info("Metrics on %s:%d/metrics.", address.host, await listener.start())


def own_families(engine: Engine, shared: Shared) -> list[Family]:
    """Read the figures of one worker: those of its engine, and those of its process by number."""
    process = CollectorRegistry()
    ProcessCollector(registry=process)
    GCCollector(registry=process)
    return families_of(_page(engine)) + families_of(process, worker=str(shared.number))


def _page(engine: Engine) -> MetricsPage:
    return MetricsPage(engine.metrics, counters=_counters(engine), gauges=_gauges(engine))


def _counters(engine: Engine) -> dict[str, Gauge]:
    records, metrics = engine.records, engine.metrics
    return {
        "facts_stale": lambda: metrics.facts_stale,
        "implausible_reports": lambda: metrics.implausible_reports,
        "facts_reload_failures": lambda: metrics.facts_reload_failures,
        "records_dropped_grants": lambda: records.dropped_grants,
        "records_dropped_refusals": lambda: records.dropped_refusals,
        "bridges_replaced": lambda: engine.standings.replaced,
        "records_failed_writes": lambda: records.failed_writes,
        "records_not_kept": lambda: 0 if records.spool is None else records.spool.lost,
        "identities_reload_failures": lambda: engine.identities.failures,
    }


def _gauges(engine: Engine) -> dict[str, Gauge]:
    return {
        "bridges": lambda: engine.standings.count,
        "waiting_for_ledger": lambda: engine.load.waiting,
        "waiting_limit": lambda: engine.load.limit,
        "records_waiting": lambda: engine.records.waiting,
        "store_clock_refused": lambda: float(engine.clock.off_seconds != 0),
        "ledger_up": lambda: float(engine.watch.up),
        "ledger_nodes_away": lambda: len(engine.watch.away),
        "accounts_unopened": lambda: engine.opening.waiting,
    }


def payment_posts(engine: Engine) -> dict[str, PostRoute]:
    """Name the path that a provider's events are posted to; none without a provider."""
    money = make_money_in(
        engine.settings, engine.archive.database, engine.ledger, now_ms=engine.now_ms
    )
    return {} if money.events is None else {PATH: money.events.take}
