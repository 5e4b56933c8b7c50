"""Running an engine: started in order, stopped in the opposite one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from server.app.access import bind, tell_who_may_ask
from server.app.background import start_duties
from server.app.directory import wait_for_directory
from server.app.engine import (
    PLAIN,
    Engine,
    Making,
    build_engine,
    compare_before_use,
    make_watching,
    open_store,
)
from server.app.http_page import listen_for_http
from server.app.keeper import open_archive
from server.app.services import register_services, transport_options
from server.app.workers.channel import Shared
from server.observability.ledger_health import LedgerHealth
from server.services.health import ACCOUNTS_SERVICE, LEDGER_SERVICE
from server.services.http_front import HttpFront
from server.services.json_messages import JsonMessages
from server.settings import Settings
from server.storage.redis import StoreRefused
from server.transport import make_server
from server.transport.connect import ConnectServer

_log = logging.getLogger("callgate")


async def serve_port(
    engine: Engine,
    stack: AsyncExitStack,
    shared: Shared | None,
    *,
    making: Making,
    front: HttpFront | None,
) -> int:
    """Bind, serve, and see to it that questions under way are answered before the end.

    What is served over gRPC is served over HTTP too where there is a front for it.
    """
    settings = engine.settings
    options = transport_options(settings)
    transport = make_server(
        settings.transport.value, options, engine.metrics.count_refused_connection
    )
    around = making.around(engine, transport)
    over_http = None if front is None else ConnectServer(around, JsonMessages(), options)
    services = register_services(engine, over_http or around, making.more_services)
    port = bind(settings, transport, shared.listener if shared else None)
    for service in ("", *services):
        engine.told.tell(service, serving=True)
    await transport.start()
    stack.push_async_callback((over_http or transport).stop, settings.drain_seconds)
    if front is not None:
        front.methods = over_http
    stack.callback(engine.told.drain)
    stack.push_async_callback(_give_notice, engine)
    if shared is None or shared.number == 1:
        # Before anybody is told where to ask.
        tell_who_may_ask(settings)
    if shared is None:
        _log.info("Listening on %s with %s.", settings.listen.shown(port), transport.name)
    else:
        # Where, its parent says once all of them serve.
        _log.info("Serving with %s.", transport.name)
    return port


async def _give_notice(engine: Engine) -> None:
    """Say that nothing is served any more, and go on serving until load balancers have looked."""
    engine.told.warn()
    await asyncio.sleep(engine.settings.drain_notice_seconds)


# How long a start waits for a Redis that is not there, before it serves emergencies without.
_LEDGER_START_SECONDS = 5.0

# How long it then waits for the accounts, before the rest of them is opened beside the questions.
_ACCOUNTS_START_SECONDS = 5.0

NOBODY_KNOWN = (
    "identities: nobody is known, so that all but emergencies are refused. Make the first token "
    "with `python -m server first-token` (where the archive is named), or name one in the file."
)

_log = logging.getLogger("callgate")


@asynccontextmanager
async def running_engine(
    settings: Settings, shared: Shared | None = None, making: Making = PLAIN
) -> AsyncIterator[tuple[Engine, int]]:
    """Run an engine, on the port that is yielded with it, while the block lasts; then drain it.

    As a worker it shares its address with others.

    Raises `InvalidFacts`, `EmbeddedServerError`, `StoreRefused`, `ArchiveUnusable`,
    `AddressUnusable` and `OSError`. A
    Redis that is away is no reason not to start: emergency numbers are granted without it.
    """
    async with AsyncExitStack() as stack:
        opened = await open_store(settings, stack, making)
        archive = open_archive(settings)
        stack.push_async_callback(archive.close)
        watching = make_watching(settings, opened.url, archive=archive, stack=stack)
        comparison = compare_before_use(settings, opened, archive=archive, stack=stack)
        engine = build_engine(
            settings, opened, archive=archive, watching=watching, comparison=comparison
        )
        engine.facts.load()
        await engine.identities.load()
        if settings.identities and not engine.identities.current.by_id:
            _log.warning(NOBODY_KNOWN)
        engine.records.start()
        stack.callback(engine.records.close)
        engine.told.tell(LEDGER_SERVICE, serving=False)
        engine.told.tell(ACCOUNTS_SERVICE, serving=True)
        engine.opening.want(engine.facts.current.directory.tenants)
        await _wait_for_ledger(engine.watch)
        stack.push_async_callback(engine.facts.stop)
        start_duties(engine, stack)
        await _wait_for_accounts(engine)
        stack.push_async_callback(engine.directory.close)
        await wait_for_directory(engine.facts)
        front = await listen_for_http(engine, stack, shared)
        yield engine, await serve_port(engine, stack, shared, making=making, front=front)


async def _wait_for_ledger(watch: LedgerHealth) -> None:
    """Wait a while for the ledger. Raises `StoreRefused` where an operator has to mend it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LEDGER_START_SECONDS):
            await watch.look()
    if isinstance(watch.trouble, StoreRefused):
        raise watch.trouble
    if not watch.up:
        _log.warning("Serving emergency numbers only, until the ledger answers.")


async def _wait_for_accounts(engine: Engine) -> None:
    """Wait a while until the account of each tenant was tried once."""
    if engine.watch.up:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(engine.opening.tried.wait(), _ACCOUNTS_START_SECONDS)
    if engine.opening.waiting:
        _log.warning("%d accounts are opened beside the questions.", engine.opening.waiting)
