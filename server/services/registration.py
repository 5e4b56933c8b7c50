"""Adding a service to a server by what protoc generated for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from typing_extensions import override

from server.transport import TransportServer
from server.transport.wrapping import Handler, WrappedServer, with_codec

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class Codec(NamedTuple):
    """How the messages of one method are read and written, in place of protobuf's own way.

    Without `serialize` the method writes bytes.
    """

    parse: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes] | None


def serve(
    add: Callable[[Any, Any], None],
    target: TransportServer,
    *servicers: object,
    codecs: Mapping[str, Codec] = MappingProxyType({}),
) -> None:
    """Add a service to a server that has not started, by its `add_...Servicer_to_server`.

    The RPC `GetBalance` is answered by the method `get_balance` of the first of *servicers* that
    has one. Raises `AttributeError` where none has.
    """
    add(_ByName(servicers), _WithCodecs(target, codecs))


class _ByName:
    """Servicers as generated code asks for them."""

    def __init__(self, servicers: tuple[object, ...]) -> None:
        self._servicers = servicers

    def __getattr__(self, rpc: str) -> Any:
        name = _WORD.sub("_", rpc).lower()
        for servicer in self._servicers:
            if (method := getattr(servicer, name, None)) is not None:
                return method
        raise AttributeError(f"no servicer has a method {name!r} for the RPC {rpc}")


class _WithCodecs(WrappedServer):
    """Adds methods with codecs of their own to another server."""

    def __init__(self, inner: TransportServer, codecs: Mapping[str, Codec]) -> None:
        super().__init__(inner)
        self._codecs = codecs

    @override
    def wrap(self, handler: Handler, service: str, method: str) -> Handler:
        codec = self._codecs.get(method)
        return with_codec(handler, *codec) if codec is not None else handler
