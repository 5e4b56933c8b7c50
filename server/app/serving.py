"""Opening the port, and closing it so that questions under way are answered."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from server.app.guarding import bind, tell_who_may_ask
from server.app.options import transport_options
from server.app.parts import Engine
from server.app.services import register_services
from server.transport import make_server

_log = logging.getLogger("callgate")


async def serve_port(engine: Engine, stack: AsyncExitStack) -> int:
    """Bind, serve, and see to it that questions under way are answered before the end."""
    settings = engine.settings
    transport = make_server(settings.transport.value, transport_options(settings))
    register_services(engine, transport)
    port = bind(settings, transport)
    engine.told.tell("", serving=True)
    await transport.start()
    stack.push_async_callback(transport.stop, settings.drain_seconds)
    stack.callback(engine.told.drain)
    _log.info("Listening on %s:%d with %s.", settings.listen.host, port, transport.name)
    tell_who_may_ask(settings)
    return port
