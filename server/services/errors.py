"""Failures on the wire: one table from what went wrong to a status that programs can read.

A refusal is no failure. What is not in the table is a bug: INTERNAL, nothing told, all logged.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from server.access.errors import (
    IdentitiesNotKept,
    IdentityEnded,
    IdentityUnknown,
    RoleBeyond,
    RoleMissing,
    TenantForbidden,
    TenantUnknown,
)
from server.access.identity_store import IdentityChanged, IdentityExists, IdentityMissing
from server.calls.load_shedding import Overloaded
from server.calls.messages.fields import InvalidRequest
from server.facts import errors as directory
from server.facts.errors import FactsBehind
from server.funding.errors import (
    ChargeUnknown,
    FundingBusy,
    FundingRefused,
    FundingReused,
    NotArchivedYet,
    UseUnknown,
)
from server.ledger import (
    CallAnswered,
    CallOver,
    CallUnknown,
    CurrencyChanged,
    LedgerDamaged,
    LedgerUnavailable,
    PartitionAhead,
    RequestReused,
)
from server.ledger.errors import AccountMissing
from server.notices.history import NobodyToTell, NoticeUnknown
from server.storage.redis import StoreUnavailable
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.contract import Context, Ending
from server.transport.seldom import Seldom
from server.usage.decisions.finding import DecisionUnknown
from server.usage.reports.saved import MOST_REPORTS, ReportExists, ReportUnknown, TooManyReports

DOMAIN = "callgate.v1"
DETAILS_KEY = "grpc-status-details-bin"
# By which gRPC's own retries wait as long as they are told.
PUSHBACK_KEY = "grpc-retry-pushback-ms"
BUG_REASON = "INTERNAL"

# What is echoed of a question, or told of an error: trailers have 8 KiB with most clients, the text
# stands in them twice, and a byte may take three there.
_MOST_TEXT_BYTES = 1_024

_seldom = Seldom(logging.getLogger(__name__))

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Method = Callable[[Question, Context], Awaitable[Answer]]


class StreamReplaced(Exception):
    """A newer stream of the same gateway took over."""


class BridgeTooSlow(Exception):
    """A bridge does not take what it is sent."""


class WatchEnded(Exception):
    """A stream of debits ends early; `metadata` is what its reader needs to go on."""

    def __init__(self, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.metadata = dict(metadata or {})


class StoreEpochEnded(WatchEnded):
    """The store was filled anew; the metadata is how the account stands now."""


class CursorExpired(WatchEnded):
    """A cursor is older than what is kept."""


class WatcherTooSlow(WatchEnded):
    """A reader fell too far behind."""

    def __init__(self, cursor: str) -> None:
        super().__init__({"cursor": cursor})


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
# Long enough for others to be served, short enough for a caller who listens to silence.
_OVERLOAD_RETRY_MS = 250

_NO_LEDGER = Failure(
    grpc.StatusCode.UNAVAILABLE,
    "LEDGER_UNAVAILABLE",
    "The ledger does not answer. Ask again with the same call_id and sequence.",
    _LEDGER_RETRY_MS,
)

TABLE: Mapping[type[Exception], Failure] = {
    InvalidRequest: Failure(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
    TenantForbidden: Failure(grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN"),
    IdentityUnknown: Failure(
        grpc.StatusCode.UNAUTHENTICATED,
        "IDENTITY_UNKNOWN",
        "This needs an identity: a client certificate or a token that is known and in force.",
    ),
    RoleMissing: Failure(
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_MISSING",
        "The roles of this identity do not include this method.",
    ),
    IdentityEnded: Failure(
        grpc.StatusCode.UNAUTHENTICATED,
        "IDENTITY_ENDED",
        "What this stream was opened with has expired, was revoked, or was changed. Open it again.",
    ),
    RoleBeyond: Failure(
        grpc.StatusCode.PERMISSION_DENIED,
        "ROLE_BEYOND",
        "Nobody gives, rotates or revokes what has a role beyond their own.",
    ),
    IdentitiesNotKept: Failure(
        grpc.StatusCode.FAILED_PRECONDITION,
        "IDENTITIES_NOT_KEPT",
        'This engine does not ask for identities of the archive: name "archive" in its setting '
        "identities.",
    ),
    NoticeUnknown: Failure(
        grpc.StatusCode.NOT_FOUND, "NOTICE_UNKNOWN", "The tenant has no such notice."
    ),
    DecisionUnknown: Failure(
        grpc.StatusCode.NOT_FOUND,
        "DECISION_UNKNOWN",
        "The archive has no record of such a decision of this tenant: it may be too old, or not "
        "have arrived yet.",
    ),
    ReportExists: Failure(
        grpc.StatusCode.ALREADY_EXISTS,
        "REPORT_EXISTS",
        "The tenant has a report of this name. Delete it first, or choose another name.",
    ),
    ReportUnknown: Failure(
        grpc.StatusCode.NOT_FOUND, "REPORT_UNKNOWN", "The tenant has no report of this name."
    ),
    TooManyReports: Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_REPORTS",
        f"The tenant has {MOST_REPORTS} reports, which is all that it may. Delete one.",
    ),
    NobodyToTell: Failure(
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOBODY_TO_TELL",
        "The tenant's facts name neither recipients nor a webhook.",
    ),
    IdentityMissing: Failure(
        grpc.StatusCode.NOT_FOUND,
        "IDENTITY_MISSING",
        "There is no such identity, or it is not yours, or it stands in the engine's file.",
    ),
    IdentityExists: Failure(
        grpc.StatusCode.ALREADY_EXISTS, "IDENTITY_EXISTS", "There is an identity of this name."
    ),
    IdentityChanged: Failure(
        grpc.StatusCode.ABORTED,
        "ETAG_CHANGED",
        "It was changed since it was read. Read it again, and ask by its new etag.",
    ),
    RequestReused: Failure(
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_REUSED",
        "This call_id and sequence were asked before with another content; "
        "a new question takes the next sequence.",
    ),
    CallUnknown: Failure(
        grpc.StatusCode.NOT_FOUND,
        "CALL_UNKNOWN",
        "No such call of this gateway is known. If it runs, announce it again: AuthorizeCall with "
        "running_call.",
    ),
    CallOver: Failure(
        grpc.StatusCode.NOT_FOUND, "CALL_ENDED", "This call is over; nothing was changed."
    ),
    CallAnswered: Failure(
        grpc.StatusCode.FAILED_PRECONDITION,
        "CALL_ANSWERED",
        "Use of this call was reported; settle it.",
    ),
    Overloaded: Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        "More is asked than can be answered in time. Ask again with the same call_id and sequence.",
        _OVERLOAD_RETRY_MS,
    ),
    StreamReplaced: Failure(
        grpc.StatusCode.ABORTED, "REPLACED", "A newer stream of this gateway took over."
    ),
    BridgeTooSlow: Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "READER_TOO_SLOW",
        "This stream does not take what it is sent. Open it again and announce the calls.",
    ),
    StoreEpochEnded: Failure(
        grpc.StatusCode.ABORTED,
        "EPOCH_ENDED",
        "The store was filled anew since. Take over the snapshot in the metadata, and go on from "
        "its cursor.",
    ),
    CursorExpired: Failure(
        grpc.StatusCode.OUT_OF_RANGE,
        "CURSOR_EXPIRED",
        "The cursor is older than what is kept. Begin anew, without a cursor.",
    ),
    WatcherTooSlow: Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "READER_TOO_SLOW",
        "The reader fell 1,000 entries behind. Resume from the last cursor received.",
    ),
    CurrencyChanged: Failure(grpc.StatusCode.FAILED_PRECONDITION, "CURRENCY_CHANGED"),
    PartitionAhead: Failure(
        grpc.StatusCode.UNAVAILABLE,
        "PARTITION_AHEAD",
        "A wrong clock carried this account's partition ahead, past the end of what was to come in;"
        " nothing came in. Once `python -m server doctor --repair` was run it does by itself.",
        _LEDGER_RETRY_MS,
    ),
    LedgerUnavailable: _NO_LEDGER,
    StoreUnavailable: _NO_LEDGER,
    LedgerDamaged: Failure(
        grpc.StatusCode.DATA_LOSS,
        "LEDGER_DAMAGED",
        "A record of the ledger is not what it must be; an operator has to look.",
    ),
    AccountMissing: Failure(
        grpc.StatusCode.UNAVAILABLE, "ACCOUNT_UNKNOWN", retry_ms=_LEDGER_RETRY_MS
    ),
    ArchiveUnavailable: Failure(
        grpc.StatusCode.UNAVAILABLE,
        "ARCHIVE_UNAVAILABLE",
        "The archive has to be asked and does not answer. Ask again with the same sequence.",
        _LEDGER_RETRY_MS,
    ),
    FactsBehind: Failure(grpc.StatusCode.UNAVAILABLE, "FACTS_BEHIND", retry_ms=_FACTS_RETRY_MS),
    # Its reason is the refusal's own; see `failure_of`.
    FundingRefused: Failure(grpc.StatusCode.FAILED_PRECONDITION, "FUNDING_REFUSED"),
    FundingReused: Failure(
        grpc.StatusCode.ALREADY_EXISTS,
        "FUNDING_REUSED",
        "This request_id was used with another content; a new request takes a new id.",
    ),
    FundingBusy: Failure(
        grpc.StatusCode.ABORTED,
        "FUNDING_BUSY",
        "This request is being worked on. Ask again with the same request_id.",
        _LEDGER_RETRY_MS,
    ),
    NotArchivedYet: Failure(
        grpc.StatusCode.UNAVAILABLE,
        "NOT_ARCHIVED_YET",
        "What is to be refunded is not archived yet. Ask again with the same request_id.",
        _LEDGER_RETRY_MS,
    ),
    ChargeUnknown: Failure(
        grpc.StatusCode.NOT_FOUND, "CHARGE_UNKNOWN", "The tenant has no such charge."
    ),
    UseUnknown: Failure(
        grpc.StatusCode.NOT_FOUND,
        "IMPLAUSIBLE_USE_UNKNOWN",
        "Nothing is held apart of such a decision of this tenant, or its call is not over yet. "
        "ListImplausibleUse tells what is.",
    ),
    directory.DirectoryInFiles: Failure(grpc.StatusCode.FAILED_PRECONDITION, "DIRECTORY_IN_FILES"),
    directory.DirectoryUnreadable: Failure(grpc.StatusCode.UNAVAILABLE, "DIRECTORY_UNREADABLE"),
    directory.ResourceUnknown: Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_UNKNOWN"),
    directory.ResourceExists: Failure(grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS"),
    directory.EtagChanged: Failure(grpc.StatusCode.ABORTED, "ETAG_CHANGED"),
    directory.ResourceInUse: Failure(grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE"),
    directory.TenantInUse: Failure(grpc.StatusCode.FAILED_PRECONDITION, "TENANT_IN_USE"),
    directory.FileInvalid: Failure(grpc.StatusCode.INVALID_ARGUMENT, "FILE_INVALID"),
    directory.CatalogueChanged: Failure(grpc.StatusCode.ABORTED, "CATALOGUE_CHANGED"),
    directory.CatalogueReadOnly: Failure(
        grpc.StatusCode.FAILED_PRECONDITION, "CATALOGUE_READ_ONLY"
    ),
    directory.DirectoryChanged: Failure(grpc.StatusCode.ABORTED, "DIRECTORY_CHANGED"),
    directory.ImportRunning: Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "IMPORT_RUNNING", retry_ms=_LEDGER_RETRY_MS
    ),
}
_BUG = Failure(
    grpc.StatusCode.INTERNAL, BUG_REASON, "An error of callgate's own; it has been logged."
)


def failure_of(error: Exception) -> Failure:
    """Look the error up in the table; what is not there is a bug."""
    if isinstance(error, FundingRefused):
        return replace(TABLE[FundingRefused], reason=error.why.value)
    for kind in type(error).__mro__:
        failure = TABLE.get(kind)
        if failure is not None:
            return failure
    return _BUG


def status_of(error: Exception) -> tuple[Failure, Status]:
    """Build the status of an error, with its ErrorInfo, and RetryInfo where asking again helps."""
    failure = failure_of(error)
    status = Status(code=failure.code.value[0], message=_cut(failure.text or str(error)))
    told = {name: _cut(value) for name, value in metadata_of(error).items()}
    _add(status, ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=told))
    if failure.retry_ms is not None:
        delay = Duration()
        delay.FromMilliseconds(failure.retry_ms)
        _add(status, RetryInfo(retry_delay=delay))
    return failure, status


def counted_status(error: Exception, count: Callable[[str], None]) -> tuple[Failure, Status]:
    """Build the status of an error, count its reason, and log it whole if it is a bug."""
    failure, status = status_of(error)
    count(failure.reason)
    if failure is _BUG:
        _seldom.tell(logging.ERROR, "A question met a bug.", error=error)
    return failure, status


class Unreadable:
    """Stands where a message should, whose bytes are none."""


UNREADABLE = Unreadable()


def reading(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Let an unreadable message be a mistake of its sender, whichever transport reads it."""

    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:  # noqa: BLE001 -- Whatever a parser raises, it could not read.
            return UNREADABLE

    return read


def check_readable(message: object) -> None:
    """Raise `InvalidRequest` where a message could not be read."""
    if message is UNREADABLE:
        raise InvalidRequest("request", "a message of the method's kind; these bytes are none")


def answering_failures(
    method: Method[Question, Answer], count: Callable[[str], None]
) -> Method[Question, Answer]:
    """Let a servicer's method raise what it likes: the caller gets the status of the table.

    `count` is told the reason of each failure.
    """

    async def answered(request: Question, context: Context) -> Answer:
        try:
            if request is UNREADABLE:
                check_readable(request)
            try:
                return await method(request, context)
            except TenantUnknown as unknown:
                await unknown.look()
                return await method(request, context)
        except Exception as error:  # noqa: BLE001 -- this is where a bug becomes INTERNAL
            await abort(error, context, count)

    return answered


async def abort(error: Exception, context: Context, count: Callable[[str], None]) -> NoReturn:
    """End an RPC with the status of an error."""
    await context.abort(*ending_of(error, count))


def ending_of(error: Exception, count: Callable[[str], None]) -> Ending:
    """Build what ends an RPC that failed, and count it as `counted_status` does."""
    if type(error) is Overloaded:
        # To say no has to cost less than what it spares.
        count(TABLE[Overloaded].reason)
        return _ending_when_overloaded()
    failure, status = counted_status(error, count)
    return failure.code, status.message, ((DETAILS_KEY, status.SerializeToString()),)


@cache
def _ending_when_overloaded() -> Ending:
    failure, status = status_of(Overloaded())
    pushback = (PUSHBACK_KEY, str(failure.retry_ms))
    details = (DETAILS_KEY, status.SerializeToString())
    return failure.code, status.message, (details, pushback)


def metadata_of(error: Exception) -> dict[str, str]:
    """Tell what else a program may want to know of an error."""
    match error:
        case InvalidRequest():
            return {"field": error.field}
        case WatchEnded() | FundingRefused():
            return error.metadata
        case FactsBehind() | AccountMissing():
            return {"tenant_id": error.tenant_id}
        case CallOver():
            return {"state": error.state}
        case _:
            return {}


def _cut(text: str) -> str:
    """Cut what is longer than trailers may be, between characters."""
    raw = text.encode(errors="replace")
    if len(raw) <= _MOST_TEXT_BYTES:
        return text
    return raw[:_MOST_TEXT_BYTES].decode(errors="ignore") + " ..."


def _add(status: Status, detail: ErrorInfo | RetryInfo) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
