"""Every method of the contract is served, and by its own name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from unittest.mock import Mock

import grpc
import pytest

from callgate.v1 import authorization_pb2, credits_pb2, server_info_pb2
from server.observability.metrics import Metrics
from server.services.authorization import Authorization
from server.services.credits import Credits
from server.services.server_info import ServerInfo
from server.transport import Early, TransportServer


class Registrations:
    """A server that only remembers what was added to it."""

    def __init__(self) -> None:
        self.methods: dict[str, set[str]] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Leave it: the other way adds the same."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.methods[service] = set(handlers)

    def offer_first(self, service: str, name: str, early: Early) -> None:
        assert name in self.methods[service]


@pytest.mark.parametrize(
    ("servicer", "descriptor"),
    [
        (Authorization, authorization_pb2.DESCRIPTOR.services_by_name["AuthorizationService"]),
        (Credits, credits_pb2.DESCRIPTOR.services_by_name["CreditService"]),
        (ServerInfo, server_info_pb2.DESCRIPTOR.services_by_name["ServerInfoService"]),
    ],
)
def test_every_method_of_a_service_is_served(servicer: type[Any], descriptor: Any) -> None:
    registrations = Registrations()
    parts = dict.fromkeys(servicer.__slots__, Mock()) | {"metrics": Metrics()}

    servicer(**parts).register(cast("TransportServer", registrations))

    assert registrations.methods == {
        descriptor.full_name: {method.name for method in descriptor.methods}
    }
