"""The HTTP listener of an engine: which figures stand on its page, and who answers the rest."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.registry import Collector

from server.app.access import answers_over_http, tls_files
from server.app.engine import Engine
from server.app.money import make_money_in
from server.app.workers.channel import Family, Shared
from server.app.workers.merging import MergedPage, families_of
from server.funding.provider_events import PATH
from server.observability.metrics import Gauge, MetricsPage
from server.services.http_front import HttpFront
from server.settings import Settings
from server.transport.http import HttpListener, PostRoute
from server.transport.tls import Certificates

_log = logging.getLogger("callgate")


async def listen_for_http(
    engine: Engine, stack: AsyncExitStack, shared: Shared | None
) -> HttpFront | None:
    """Listen where the settings say so; questions are answered once the front has its methods.

    Whichever worker is asked tells the figures of all. Returns None where no questions are
    answered. Raises `OSError` if the port is taken, or the certificates cannot be used.
    """
    settings = engine.settings
    address = settings.http_listen
    if address is None:
        return None
    posts, front, certificates = payment_posts(engine), _front(settings), _certificates(settings)
    page: Collector = _page(engine)
    if shared is not None:
        page = MergedPage(lambda: own_families(engine, shared), lambda: shared.others.figures)
    listener = HttpListener(
        address,
        page,
        posts,
        is_shared=shared is not None,
        certificates=certificates,
    )
    listener.front = front
    stack.push_async_callback(listener.stop)
    port, scheme = await listener.start(), "http" if certificates is None else "https"
    _log.info("Metrics on %s:%d/metrics.", address.host, port)
    if front is not None:
        _log.info("Questions over HTTP on %s://%s.", scheme, address.shown(port))
    return front


def _front(settings: Settings) -> HttpFront | None:
    if not answers_over_http(settings):
        return None
    return HttpFront(frozenset(settings.http_origins), settings.http_token_prefix)


def _certificates(settings: Settings) -> Certificates | None:
    files = tls_files(settings) if settings.http_tls else None
    return None if files is None else Certificates(files, "http/1.1")


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
