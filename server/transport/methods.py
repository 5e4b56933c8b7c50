"""The methods that are served: found by path, each knowing how it is called."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import grpc

from server.transport.contract import CheckHead, Early
from server.transport.request import Request
from server.transport.status import CallFailure

# Handlers are made by generated code: what they take and return is known to it alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Any], Any]


class Method(NamedTuple):
    """One method: its servicer, and how its messages become objects and bytes again."""

    request_streaming: bool
    response_streaming: bool
    behaviour: Behaviour
    deserialize: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes]
    # Whom each call is offered to before its servicer is asked.
    early: Early | None = None
    # Who says of each call, by its head, whether it may go on.
    check: CheckHead | None = None
    # Whether it takes one message and gives one.
    is_unary: bool = False


@dataclass(slots=True)
class CallDetails:
    """What a generic handler is asked with (`grpc.HandlerCallDetails`)."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...]


class MethodTable:
    """Finds the method of a call."""

    def __init__(self) -> None:
        self._registered: dict[bytes, Method] = {}
        self._generic: list[grpc.GenericRpcHandler] = []

    def add_registered(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Add methods whose names are known before any call."""
        for name, handler in handlers.items():
            self._registered[f"/{service}/{name}".encode()] = _method(handler)

    def offer(self, service: str, name: str, early: Early) -> None:
        """Offer each call of a registered unary method, before its servicer is asked."""
        path = f"/{service}/{name}".encode()
        self._registered[path] = self._registered[path]._replace(early=early)

    def check_head(self, service: str, name: str, check: CheckHead) -> None:
        """Ask *check* about each call of a registered method when its head has arrived."""
        path = f"/{service}/{name}".encode()
        self._registered[path] = self._registered[path]._replace(check=check)

    def add_generic(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Add handlers that are asked call by call; registered methods come first."""
        self._generic += handlers

    def registered(self, path: bytes) -> Method | None:
        """Return the method of a path, of those whose names are known."""
        return self._registered.get(path)

    def find(self, request: Request) -> Method:
        """Return the method that *request* names; raises CallFailure if there is none."""
        method = self._registered.get(request.path)
        if method is not None:
            return method
        details = CallDetails(request.path.decode("latin-1"), request.metadata())
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                return _method(handler)
        raise CallFailure(grpc.StatusCode.UNIMPLEMENTED, "the method is not served here")


def _method(handler: Handler) -> Method:
    return Method(
        request_streaming=handler.request_streaming,
        response_streaming=handler.response_streaming,
        behaviour=_behaviour(handler),
        deserialize=handler.request_deserializer or _as_it_is,
        serialize=handler.response_serializer or _as_it_is,
        is_unary=not (handler.request_streaming or handler.response_streaming),
    )


def _behaviour(handler: Handler) -> Behaviour:
    behaviour = {
        (False, False): handler.unary_unary,
        (False, True): handler.unary_stream,
        (True, False): handler.stream_unary,
        (True, True): handler.stream_stream,
    }[handler.request_streaming, handler.response_streaming]
    assert behaviour is not None
    return behaviour


def _as_it_is(message: Any) -> Any:
    return message
