"""What a question can fail with: two errors, told apart by what the caller does next.

CallgateError
    Mistake         the question is wrong: mend it, asking again changes nothing
    NoAnswer        nobody decided: ask again with the same call id and sequence, then fall back

A refusal is no error; it is an answer like a grant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import grpc

from callgate.error_info import ErrorInfo, error_info_of

_MISTAKES = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAUTHENTICATED,
})  # fmt: skip
_DETAILS_KEY = "grpc-status-details-bin"


class CallgateError(Exception):
    """No decision came back.

    `code` is the name of the gRPC status ("UNAVAILABLE"). `reason` and `metadata` are those of the
    server's `google.rpc.ErrorInfo`, empty where the server sent none; its text is `str(error)`.
    """

    def __init__(self, text: str, *, code: str, info: ErrorInfo | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.reason = info.reason if info else ""
        self.metadata: Mapping[str, str] = MappingProxyType(info.metadata if info else {})


class Mistake(CallgateError):
    """The question is wrong, or not this caller's to ask. The text names the field."""


class NoAnswer(CallgateError):
    """The engine is away, late, overloaded or broken; the call is neither granted nor refused."""


def error_of(error: grpc.RpcError) -> CallgateError:
    """Return what to raise for the error a call of grpc's ended with."""
    code = error.code()
    kind = Mistake if code in _MISTAKES else NoAnswer
    return kind(error.details() or "", code=code.name, info=_info_of(error))


def _info_of(error: grpc.RpcError) -> ErrorInfo | None:
    for entry in error.trailing_metadata() or ():
        if entry.key == _DETAILS_KEY and isinstance(entry.value, bytes):
            return error_info_of(entry.value)
    return None
