"""The ServerInfoService."""

from __future__ import annotations

from server.app.options import transport_options
from server.app.parts import Engine
from server.server_info import SERVICE, ServerInfo, server_info
from server.transport import TransportServer, available_transports


def register_server_info(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    told = server_info(
        engine.settings,
        transport_options(engine.settings),
        transport=transport.name,
        available=available_transports(),
    )
    ServerInfo(told, engine.metrics).register(transport)
    return SERVICE
