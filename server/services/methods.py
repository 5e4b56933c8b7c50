"""Serving the methods of one service: one question and one answer, or a stream of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc

from server.services.errors import Method, answering_failures
from server.transport import TransportServer


@dataclass(frozen=True, slots=True)
class Unary:
    """A method, and how its question is read and its answer written.

    One that streams reads and writes by its context, and returns nothing.
    """

    method: Method[Any, Any]
    parse: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes]


def serve_unary(
    target: TransportServer,
    service: str,
    methods: Mapping[str, Unary],
    *,
    count_failure: Callable[[str], None],
    streams: Mapping[str, Unary] = MappingProxyType({}),
) -> None:
    """Add the methods to a server that has not started; what they raise becomes a status."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        name: grpc.unary_unary_rpc_method_handler(
            answering_failures(unary.method, count_failure),
            request_deserializer=unary.parse,
            response_serializer=unary.serialize,
        )
        for name, unary in methods.items()
    } | {
        name: grpc.stream_stream_rpc_method_handler(
            answering_failures(stream.method, count_failure),
            request_deserializer=stream.parse,
            response_serializer=stream.serialize,
        )
        for name, stream in streams.items()
    }
    # Either transport takes one of the two and leaves the other alone.
    target.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    target.add_registered_method_handlers(service, handlers)
