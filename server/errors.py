"""Failures on the wire: one table from what went wrong to a status that programs can read.

A refusal is no failure. What is not in the table is a bug: INTERNAL, nothing told, all logged.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from server.ledger import AccountUnknown, LedgerUnavailable, RequestReused

DOMAIN = "callgate.v1"
DETAILS_KEY = "grpc-status-details-bin"
BUG_REASON = "INTERNAL"

_log = logging.getLogger(__name__)

Servicer_contra = TypeVar("Servicer_contra", bound="Counted", contravariant=True)
Question_contra = TypeVar("Question_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)
Context = grpc.aio.ServicerContext[Any, Any]


class InvalidRequest(Exception):
    """A field of the question cannot be used. Names the field and what would be right."""

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field = field


class TenantForbidden(Exception):
    """The tenant is unknown or not the caller's; which of the two is not told."""

    def __init__(self) -> None:
        super().__init__("There is no such tenant, or it is not yours to ask about.")


class FactsBehind(Exception):
    """The ledger decides by newer facts of this tenant than this process can read."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"The facts of tenant {tenant_id} here are behind those of the ledger.")
        self.tenant_id = tenant_id


@dataclass(frozen=True, slots=True)
class Failure:
    """How one kind of error travels. `retry_ms` is set where asking again may help."""

    code: grpc.StatusCode
    reason: str
    text: str = ""
    retry_ms: int | None = None


# The wait before the next try: long enough for a failover to move on, short enough for a call.
_LEDGER_RETRY_MS = 1_000
_FACTS_RETRY_MS = 200

TABLE: Mapping[type[Exception], Failure] = {
    InvalidRequest: Failure(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
    TenantForbidden: Failure(grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN"),
    RequestReused: Failure(
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_REUSED",
        "This call_id and sequence were asked before with another content; "
        "a new question takes the next sequence.",
    ),
    LedgerUnavailable: Failure(
        grpc.StatusCode.UNAVAILABLE,
        "LEDGER_UNAVAILABLE",
        "The ledger does not answer. Ask again with the same call_id and sequence.",
        _LEDGER_RETRY_MS,
    ),
    AccountUnknown: Failure(
        grpc.StatusCode.UNAVAILABLE,
        "ACCOUNT_UNKNOWN",
        "The ledger holds no account of this tenant: "
        "its store is new, or in another data folder than before.",
        _LEDGER_RETRY_MS,
    ),
    FactsBehind: Failure(grpc.StatusCode.UNAVAILABLE, "FACTS_BEHIND", retry_ms=_FACTS_RETRY_MS),
}
_BUG = Failure(
    grpc.StatusCode.INTERNAL, BUG_REASON, "An error of callgate's own; it has been logged."
)


class Counted(Protocol):
    """A servicer that is told the reason of each failure it answered with."""

    def count_failure(self, reason: str) -> None:
        """Count one."""


class Method(Protocol[Servicer_contra, Question_contra, Answer_co]):
    """A unary method of a servicer."""

    def __call__(
        self, servicer: Servicer_contra, /, request: Question_contra, context: Context
    ) -> Awaitable[Answer_co]:
        """Answer_co one question."""


def failure_of(error: Exception) -> Failure:
    """Look the error up in the table; what is not there is a bug."""
    for kind in type(error).__mro__:
        failure = TABLE.get(kind)
        if failure is not None:
            return failure
    return _BUG


def status_of(error: Exception) -> tuple[Failure, Status]:
    """Build the status of an error, with its ErrorInfo, and RetryInfo where asking again helps."""
    failure = failure_of(error)
    status = Status(code=failure.code.value[0], message=failure.text or str(error))
    _add(status, ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=_metadata(error)))
    if failure.retry_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(failure.retry_ms)
        _add(status, RetryInfo(retry_delay=delay))
    return failure, status


def answering_failures(
    method: Method[Servicer_contra, Question_contra, Answer_co],
) -> Method[Servicer_contra, Question_contra, Answer_co]:
    """Let a servicer's method raise what it likes: the caller gets the status of the table."""

    @functools.wraps(method)
    async def answered(
        self: Servicer_contra, request: Question_contra, context: Context
    ) -> Answer_co:
        try:
            return await method(self, request, context)
        except Exception as error:  # noqa: BLE001 -- this is where a bug becomes INTERNAL
            return await _abort(self, context, error)

    return answered


async def _abort(counted: Counted, context: Context, error: Exception) -> NoReturn:
    failure, status = status_of(error)
    counted.count_failure(failure.reason)
    if failure is _BUG:
        _log.error("A question met a bug.", exc_info=error)
    await context.abort(failure.code, status.message, ((DETAILS_KEY, status.SerializeToString()),))


def _metadata(error: Exception) -> dict[str, str]:
    match error:
        case InvalidRequest():
            return {"field": error.field}
        case FactsBehind():
            return {"tenant_id": error.tenant_id}
        case _:
            return {}


def _add(status: Status, detail: ErrorInfo | RetryInfo) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
