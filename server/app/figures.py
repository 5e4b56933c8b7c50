"""The page of metrics: which figures of which part stand on it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from server.app.parts import Engine
from server.observation.metrics import Gauge, MetricsPage, serve_metrics

_log = logging.getLogger("callgate")


def show_figures(engine: Engine, stack: AsyncExitStack) -> None:
    """Serve the page where the settings say so. Raises `OSError` if its port is taken."""
    address = engine.settings.metrics_listen
    if address is None:
        return
    page = MetricsPage(engine.metrics, counters=_counters(engine), gauges=_gauges(engine))
    httpd, _ = serve_metrics(address, page)
    stack.callback(httpd.server_close)
    stack.push_async_callback(asyncio.to_thread, httpd.shutdown)
    _log.info("Metrics on %s:%d/metrics.", address.host, httpd.server_port)


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
    }


def _gauges(engine: Engine) -> dict[str, Gauge]:
    return {
        "bridges": lambda: engine.standings.count,
        "records_waiting": lambda: engine.records.waiting,
        "ledger_up": lambda: float(engine.watch.up),
    }
