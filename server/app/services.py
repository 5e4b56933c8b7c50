"""What an engine answers: each service is built and registered by a module of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import grpc.aio
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.app.guarding import guard
from server.app.parts import Engine
from server.app.services.access import register_access
from server.app.services.authorizing import register_authorization
from server.app.services.credits import register_credits
from server.app.services.debits import register_debits
from server.app.services.directory import register_directory
from server.app.services.notices import register_notices
from server.app.services.server_info import register_server_info
from server.transport import TransportServer

# Each registers one service and returns its full name.
_SERVICES: tuple[Callable[[Engine, TransportServer], str], ...] = (
    register_authorization,
    register_credits,
    register_debits,
    register_directory,
    register_server_info,
    register_access,
    register_notices,
)


def register_services(
    engine: Engine,
    transport: TransportServer,
    register_more: Callable[[Engine, TransportServer], list[str]],
) -> None:
    """Register every service behind the door, health and reflection included.

    Raises `KeyError` where a method has no row in the table of roles.
    """
    guarded = guard(engine, transport)
    names = [register(engine, guarded) for register in _SERVICES]
    names += register_more(engine, guarded)
    # Both transports offer what generated code asks of grpcio's own server.
    grpcio_like = cast("grpc.aio.Server", guarded)
    health_pb2_grpc.add_HealthServicer_to_server(engine.told, grpcio_like)
    names += [grpc_health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, grpcio_like)
