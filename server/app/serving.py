"""Opening the port, and closing it so that questions under way are answered."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from server.app.access import bind, tell_who_may_ask
from server.app.engine import Engine, Making
from server.app.services import register_services, transport_options
from server.app.workers.channel import Shared
from server.transport import make_server

_log = logging.getLogger("callgate")


async def serve_port(
    engine: Engine, stack: AsyncExitStack, shared: Shared | None, *, making: Making
) -> int:
    """Bind, serve, and see to it that questions under way are answered before the end."""
    settings = engine.settings
    transport = make_server(
        settings.transport.value,
        transport_options(settings),
        engine.metrics.count_refused_connection,
    )
    services = register_services(engine, making.around(engine, transport), making.more_services)
    port = bind(settings, transport, shared.listener if shared else None)
    for service in ("", *services):
        engine.told.tell(service, serving=True)
    await transport.start()
    stack.push_async_callback(transport.stop, settings.drain_seconds)
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
