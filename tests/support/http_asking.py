"""Asking an engine over HTTP, and over gRPC to compare."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, NamedTuple

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.rpc.error_details_pb2 import ErrorInfo

import server.app.services as _all_of_them
from engines import Engine
from server.access.roles import RULES

JSON, PROTO = "application/json", "application/proto"
SECONDS = 20.0
_LISTENING = re.compile(r"Questions over HTTP on https?://[\w.]+:(\d+)")


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        told = json.loads(self.body)
        assert isinstance(told, dict)
        return told

    @property
    def reason(self) -> str:
        """The reason that an error gives to programs, if it gives one."""
        details = self.told.get("details", ())
        value = details[0]["value"] if details else ""
        reason: str = ErrorInfo.FromString(base64.b64decode(value + "==")).reason
        return reason


class Caller:
    """Asks one engine over HTTP, with TLS where it is given, and over gRPC to compare."""

    def __init__(self, engine: Engine, tls: ssl.SSLContext | None = None, *, port: int = 0) -> None:
        self.engine, self.tls = engine, tls
        self.port = port or _port_of(engine)
        self.channel = grpc.insecure_channel(engine.address)

    def open(self) -> HTTPConnection:
        if self.tls is not None:
            return HTTPSConnection("localhost", self.port, timeout=SECONDS, context=self.tls)
        return HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def ask(
        self,
        path: str,
        body: bytes | str | None = None,
        kind: str = JSON,
        *,
        method: str = "",
        **headers: str,
    ) -> Answer:
        """Ask once; names of headers have underscores here."""
        method = method or ("GET" if body is None else "POST")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["content-type"] = kind
        with closing(self.open()) as connection:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())

    def ask_grpc(self, path: str, request: bytes) -> bytes | tuple[str, str, bytes]:
        """Return the answer; of a failure its code, its text and its details."""
        method: Any = self.channel.unary_unary(path)
        try:
            answer, _ = method.with_call(request, timeout=SECONDS)
        except grpc.RpcError as error:
            failed: Any = error
            details = dict(failed.trailing_metadata()).get("grpc-status-details-bin", b"")
            return failed.code().name.lower(), failed.details(), details
        assert isinstance(answer, bytes)
        return answer


def _port_of(engine: Engine) -> int:
    found = _LISTENING.search(engine.log)
    assert found is not None, engine.log
    return int(found[1])


def unary_methods() -> dict[str, MethodDescriptor]:
    """List every unary RPC of the contract by its path."""
    assert _all_of_them.register_services is not None, "it knows every proto"
    pool = descriptor_pool.Default()
    found = {}
    for service in RULES:
        if service.startswith("callgate.") and "Harness" not in service:
            for name, method in pool.FindServiceByName(service).methods_by_name.items():
                if not (method.client_streaming or method.server_streaming):
                    found[f"/{service}/{name}"] = method
    return found
