"""What can go wrong, told apart by what the caller does next.

CallgateError
    CallRefused         the engine said no, where a `with` block would have begun the call
    Mistake             the question is wrong: mend it, asking again changes nothing
        ClientMisused   the client is not open here: before or after its `with`, in a forked child
        AddressWrong    that is no address of an engine
        Forbidden       not this caller's to ask
        CallUnknown     the engine does not know the call: announce it
        CallEnded       the call is over there; `state` says how
    NoAnswer            nobody decided: ask again with the same call id and sequence, then fall back
        Overloaded      too much at once; `retry_after_seconds` says when to come back
    StreamReplaced      a newer stream of the same gateway took over
    SpoolTrouble        what should be reported later cannot be kept

A refusal is no error; it is an answer like a grant. Only a `with` block has no other way to say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import grpc

from callgate.error_info import ErrorInfo, error_info_of, retry_delay_of

if TYPE_CHECKING:
    from callgate.v1.authorization_pb2 import AuthorizeCallResponse, ControlError, Refusal

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
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

# What to do, by reason; a FIELD_INVALID brings its own words.
_FIXES = {
    "TENANT_FORBIDDEN": "Check the tenant id, and that this caller may ask about it.",
    "REQUEST_REUSED": "Take the next sequence for a new question; repeat one only unchanged.",
    "CALL_UNKNOWN": "If the call runs, announce it: AuthorizeCall with running_call.",
    "CALL_ENDED": "Forget the call; to charge what it still used, settle it.",
    "CALL_ANSWERED": "Settle the call: use of it was reported.",
    "REPLACED": "Give each bridge a gateway_id of its own.",
    "CURSOR_EXPIRED": "Begin anew without a cursor; statements tell what was before.",
    "EPOCH_ENDED": "Take over the snapshot in the metadata and go on from its cursor.",
}


class CallgateError(Exception):
    """No decision came back.

    `code` is the name of the gRPC status ("UNAVAILABLE"). `reason` and `metadata` are those of the
    server's `google.rpc.ErrorInfo`, empty where the server sent none; its text is `str(error)`.
    `is_retryable` says whether the same question, asked again, may get an answer, and
    `retry_after_seconds` how long to wait before, where the engine said so.
    """

    _fix = "Report it; it is a bug."

    def __init__(
        self,
        text: str,
        *,
        code: str,
        info: ErrorInfo | None = None,
        retry_after_seconds: float | None = None,
        is_retryable: bool = False,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.reason = info.reason if info else ""
        self.metadata: Mapping[str, str] = MappingProxyType(info.metadata if info else {})
        self.retry_after_seconds = retry_after_seconds
        self.is_retryable = is_retryable

    @property
    def field(self) -> str:
        """The field that is wrong ("called_number"); empty where it is not about one."""
        return self.metadata.get("field", "")

    @property
    def fix(self) -> str:
        """What to do, in a sentence."""
        if self.field:
            return str(self).removeprefix(f"{self.field}: ")
        return _FIXES.get(self.reason, self._fix)


class CallRefused(CallgateError):
    """The call may not be placed. `answer` is the engine's, `refusal` its no."""

    _fix = "End the set-up with `sip_status` and `q850_cause`; ask again as a new call."

    def __init__(self, answer: AuthorizeCallResponse) -> None:
        super().__init__(answer.refusal.help_text or "The call is refused.", code="OK")
        self.answer = answer

    @property
    def refusal(self) -> Refusal:
        """The reason, what money is short, and how to end the set-up."""
        return self.answer.refusal


class Mistake(CallgateError):
    """The question is wrong, or not this caller's to ask. The text names the field."""

    _fix = "Mend the question; asking again changes nothing."


class ClientMisused(Mistake, RuntimeError):
    """The client was not open where it was used: before `with`, after it, or in a forked child."""

    _fix = "Open a client where it is used: `with Client(address) as client:`, after any fork."

    def __init__(self, text: str) -> None:
        super().__init__(text, code="FAILED_PRECONDITION")


class AddressWrong(Mistake, ValueError):
    """That is no address of an engine."""

    _fix = "Give host:port, such as 127.0.0.1:50051, or unix:/path."

    def __init__(self, text: str) -> None:
        super().__init__(text, code="INVALID_ARGUMENT")


class Forbidden(Mistake):
    """This caller may not ask that, or has not said who it is."""

    _fix = "Check the certificate or token of this client, and what it may do."


class CallUnknown(Mistake):
    """The engine does not know the call: it was never announced, or the store lost it."""


class CallEnded(Mistake):
    """The call is over for the engine, and nothing was changed."""

    @property
    def state(self) -> str:
        """How it ended: "settled", "released", "expired", "ended" or "refused"."""
        return self.metadata.get("state", "")


class NoAnswer(CallgateError):
    """The engine is away, late, overloaded or broken; the call is neither granted nor refused.

    A gateway that fails closed ends the set-up with `sip_status` and `q850_cause`, without a
    Retry-After.
    """

    _fix = "Ask again with the same call id and sequence, then fall back."
    sip_status = 503
    q850_cause = 41


class Overloaded(NoAnswer):
    """The engine has too much to do, or this caller asks too much."""


class StreamReplaced(CallgateError):
    """A newer stream of the same gateway took over; the newest one wins."""


class SpoolTrouble(CallgateError):
    """What should be reported later cannot be kept: the spool is full, damaged or in use."""

    _fix = "Free space in the state folder, or let one process alone use it."

    def __init__(self, text: str) -> None:
        super().__init__(text, code="INTERNAL")


_BY_REASON: Mapping[str, type[CallgateError]] = {
    "CALL_UNKNOWN": CallUnknown,
    "CALL_ENDED": CallEnded,
    "REPLACED": StreamReplaced,
}
_BY_CODE: Mapping[grpc.StatusCode, type[CallgateError]] = {
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNAUTHENTICATED: Forbidden,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
}


def error_of(error: grpc.RpcError) -> CallgateError:
    """Return what to raise for the error a call of grpc's ended with."""
    pairs = cast("tuple[tuple[str, str | bytes], ...]", error.trailing_metadata() or ())
    metadata = dict(pairs)
    status = metadata.get(_DETAILS_KEY, b"")
    assert isinstance(status, bytes)
    pushback = metadata.get(_PUSHBACK_KEY)
    delay = retry_delay_of(status)
    if pushback is not None:
        delay = _pushback_seconds(str(pushback))
    return _error(error.code(), error.details() or "", info=error_info_of(status), delay=delay)


def control_error_of(error: ControlError) -> CallgateError:
    """Return what to raise for a question of a bridge's stream that failed."""
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    told = error.HasField("retry_delay")
    delay = error.retry_delay.ToTimedelta().total_seconds() if told else None
    info = ErrorInfo(error.reason, "callgate.v1", dict(error.metadata))
    return _error(code, error.message, info=info, delay=delay)


def _error(
    code: grpc.StatusCode, text: str, *, info: ErrorInfo | None, delay: float | None
) -> CallgateError:
    kind = _BY_REASON.get(info.reason if info else "") or _BY_CODE.get(code)
    if kind is None:
        kind = Mistake if code in _MISTAKES else NoAnswer
    return kind(
        text,
        code=code.name,
        info=info,
        retry_after_seconds=None if delay is None or delay < 0 else delay,
        is_retryable=_is_retryable(code, delay),
    )


def _is_retryable(code: grpc.StatusCode, delay: float | None) -> bool:
    if delay is not None and delay < 0:
        return False
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return delay is not None
    return code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def _pushback_seconds(text: str) -> float:
    """Read a push-back; what is no number means, as in gRPC, that nobody shall ask again."""
    try:
        return int(text) / 1_000
    except ValueError:
        return -1.0
