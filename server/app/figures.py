"""The page of metrics: which figures of which part stand on it."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from server.app.parts import Engine
from server.http import HttpListener
from server.observation.metrics import Gauge, MetricsPage

_log = logging.getLogger("callgate")


async def show_figures(engine: Engine, stack: AsyncExitStack) -> None:
    """Serve the page where the settings say so. Raises `OSError` if its port is taken."""
    address = engine.settings.http_listen
    if address is None:
        return
    page = MetricsPage(engine.metrics, counters=_counters(engine), gauges=_gauges(engine))
    listener = HttpListener(address, page)
    stack.push_async_callback(listener.stop)
    _log.info("Metrics on %s:%d/metrics.", address.host, await listener.start())


def _counters(engine: Engine) -> dict[str, Gauge]:
    records, metrics = engine.records, engine.metrics
    return {
        "facts_stale": lambda: metrics.facts_stale,
        "expired_reservations": lambda: metrics.expired_reservations,
        "facts_reload_failures": lambda: metrics.facts_reload_failures,
        "records_dropped_grants": lambda: records.dropped_grants,
        "records_dropped_refusals": lambda: records.dropped_refusals,
        "bridges_replaced": lambda: engine.standings.replaced,
        "records_failed_writes": lambda: records.failed_writes,
        "identities_reload_failures": lambda: engine.identities.failures,
    }


def _gauges(engine: Engine) -> dict[str, Gauge]:
    return {
        "bridges": lambda: engine.standings.count,
        "records_waiting": lambda: engine.records.waiting,
        "ledger_up": lambda: float(engine.watch.up),
    }
