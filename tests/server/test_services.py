"""Every method of the contract is served, by its own name and its own way of reading messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import grpc
import pytest

from callgate.v1.debits_pb2 import WatchDebitsRequest
from callgate.v1.debits_pb2_grpc import add_DebitServiceServicer_to_server
from callgate.v1.server_info_pb2 import GetServerInfoResponse
from callgate.v1.server_info_pb2_grpc import add_ServerInfoServiceServicer_to_server
from server.services.debits.service import CODECS
from server.services.registration import serve
from server.services.server_info import ServerInfo
from server.storage.redis import Store
from server.transport import TransportServer


class Registrations:
    """A server that only remembers what was added to it."""

    name = "memory"

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Leave it: the other way adds the same."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.methods |= {f"{service}/{name}": handler for name, handler in handlers.items()}


def a_server_info() -> ServerInfo:
    return ServerInfo(GetServerInfoResponse(), lambda: 0, Store("unix:///nowhere"))


class Watching:
    async def watch_debits(self, request: WatchDebitsRequest, context: Any) -> None:
        """Watch nothing."""


def test_an_rpc_is_answered_by_the_method_of_its_name() -> None:
    registrations, servicer = Registrations(), a_server_info()

    target = cast("TransportServer", registrations)
    serve(add_ServerInfoServiceServicer_to_server, target, object(), servicer)

    service = "callgate.v1.ServerInfoService"
    assert set(registrations.methods) == {f"{service}/GetServerInfo", f"{service}/ReloadFacts"}
    handler = registrations.methods[f"{service}/GetServerInfo"]
    assert handler.unary_unary == servicer.get_server_info
    assert handler.response_serializer(GetServerInfoResponse(workers=2)) == b"\x18\x02"


def test_an_rpc_that_nobody_answers_is_named_before_anything_is_served() -> None:
    target = cast("TransportServer", Registrations())

    with pytest.raises(AttributeError, match=r"get_server_info.*GetServerInfo"):
        serve(add_ServerInfoServiceServicer_to_server, target, Watching())


def test_a_method_may_write_bytes() -> None:
    registrations = Registrations()

    target = cast("TransportServer", registrations)
    serve(add_DebitServiceServicer_to_server, target, Watching(), codecs=CODECS)

    handler = registrations.methods["callgate.v1.DebitService/WatchDebits"]
    assert handler.response_serializer is None
    assert handler.request_deserializer(b"") == WatchDebitsRequest()
