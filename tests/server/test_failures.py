"""What goes wrong becomes a status that programs can read; a bug tells nothing and is logged."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from server.access.errors import (
    IdentitiesNotKept,
    IdentityEnded,
    IdentityUnknown,
    RoleBeyond,
    RoleMissing,
    TenantForbidden,
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
    Why,
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
from server.services.errors import (
    DETAILS_KEY,
    TABLE,
    BridgeTooSlow,
    CursorExpired,
    StoreEpochEnded,
    StreamReplaced,
    WatcherTooSlow,
    answering_failures,
    status_of,
)
from server.storage.redis import StoreUnavailable
from server.storage.sql.errors import ArchiveUnavailable
from server.transport.status import percent_encode
from server.usage.decisions.finding import DecisionUnknown
from server.usage.reports.saved import ReportExists, ReportUnknown, TooManyReports

CASES = [
    (InvalidRequest("call_id", "give one"), "INVALID_ARGUMENT", "FIELD_INVALID", False),
    (TenantForbidden(), "PERMISSION_DENIED", "TENANT_FORBIDDEN", False),
    (RequestReused(), "ALREADY_EXISTS", "REQUEST_REUSED", False),
    (CallUnknown(), "NOT_FOUND", "CALL_UNKNOWN", False),
    (CallOver("settled"), "NOT_FOUND", "CALL_ENDED", False),
    (CallAnswered(), "FAILED_PRECONDITION", "CALL_ANSWERED", False),
    (Overloaded(), "RESOURCE_EXHAUSTED", "OVERLOADED", True),
    (StreamReplaced(), "ABORTED", "REPLACED", False),
    (BridgeTooSlow(), "RESOURCE_EXHAUSTED", "READER_TOO_SLOW", False),
    (StoreEpochEnded({"cursor": "c"}), "ABORTED", "EPOCH_ENDED", False),
    (CursorExpired(), "OUT_OF_RANGE", "CURSOR_EXPIRED", False),
    (WatcherTooSlow("c"), "RESOURCE_EXHAUSTED", "READER_TOO_SLOW", False),
    (ArchiveUnavailable("gone"), "UNAVAILABLE", "ARCHIVE_UNAVAILABLE", True),
    (LedgerUnavailable("gone"), "UNAVAILABLE", "LEDGER_UNAVAILABLE", True),
    (StoreUnavailable("gone"), "UNAVAILABLE", "LEDGER_UNAVAILABLE", True),
    (CurrencyChanged("contoso", "USD", "EUR"), "FAILED_PRECONDITION", "CURRENCY_CHANGED", False),
    (PartitionAhead("1"), "UNAVAILABLE", "PARTITION_AHEAD", True),
    (LedgerDamaged("odd"), "DATA_LOSS", "LEDGER_DAMAGED", False),
    (AccountMissing("contoso", "The store in var"), "UNAVAILABLE", "ACCOUNT_UNKNOWN", True),
    (FactsBehind("contoso"), "UNAVAILABLE", "FACTS_BEHIND", True),
    (FundingRefused(Why.MAX_BALANCE, "too much"), "FAILED_PRECONDITION", "MAX_BALANCE", False),
    (FundingReused(), "ALREADY_EXISTS", "FUNDING_REUSED", False),
    (FundingBusy(), "ABORTED", "FUNDING_BUSY", True),
    (NotArchivedYet(), "UNAVAILABLE", "NOT_ARCHIVED_YET", True),
    (ChargeUnknown(), "NOT_FOUND", "CHARGE_UNKNOWN", False),
    (UseUnknown(), "NOT_FOUND", "IMPLAUSIBLE_USE_UNKNOWN", False),
    (IdentityUnknown(), "UNAUTHENTICATED", "IDENTITY_UNKNOWN", False),
    (IdentityEnded(), "UNAUTHENTICATED", "IDENTITY_ENDED", False),
    (RoleMissing(), "PERMISSION_DENIED", "ROLE_MISSING", False),
    (RoleBeyond(), "PERMISSION_DENIED", "ROLE_BEYOND", False),
    (IdentitiesNotKept(), "FAILED_PRECONDITION", "IDENTITIES_NOT_KEPT", False),
    (IdentityMissing(), "NOT_FOUND", "IDENTITY_MISSING", False),
    (IdentityExists(), "ALREADY_EXISTS", "IDENTITY_EXISTS", False),
    (IdentityChanged(), "ABORTED", "ETAG_CHANGED", False),
    (NoticeUnknown(), "NOT_FOUND", "NOTICE_UNKNOWN", False),
    (ReportExists("A report of that name is there."), "ALREADY_EXISTS", "REPORT_EXISTS", False),
    (ReportUnknown("No report has that name."), "NOT_FOUND", "REPORT_UNKNOWN", False),
    (TooManyReports("As many as may be."), "RESOURCE_EXHAUSTED", "TOO_MANY_REPORTS", False),
    (DecisionUnknown(), "NOT_FOUND", "DECISION_UNKNOWN", False),
    (NobodyToTell(), "FAILED_PRECONDITION", "NOBODY_TO_TELL", False),
    (directory.CatalogueChanged(), "ABORTED", "CATALOGUE_CHANGED", False),
    (directory.CatalogueReadOnly("x"), "FAILED_PRECONDITION", "CATALOGUE_READ_ONLY", False),
    (directory.DirectoryInFiles(), "FAILED_PRECONDITION", "DIRECTORY_IN_FILES", False),
    (directory.DirectoryUnreadable("odd"), "UNAVAILABLE", "DIRECTORY_UNREADABLE", False),
    (directory.ResourceUnknown("user"), "NOT_FOUND", "RESOURCE_UNKNOWN", False),
    (directory.ResourceExists("user"), "ALREADY_EXISTS", "RESOURCE_EXISTS", False),
    (directory.EtagChanged("user"), "ABORTED", "ETAG_CHANGED", False),
    (directory.ResourceInUse("a", "b"), "FAILED_PRECONDITION", "RESOURCE_IN_USE", False),
    (directory.TenantInUse("contoso"), "FAILED_PRECONDITION", "TENANT_IN_USE", False),
    (directory.FileInvalid("line 2", 1), "INVALID_ARGUMENT", "FILE_INVALID", False),
    (directory.DirectoryChanged(), "ABORTED", "DIRECTORY_CHANGED", False),
    (directory.ImportRunning(), "RESOURCE_EXHAUSTED", "IMPORT_RUNNING", True),
]


class Aborted(Exception):
    pass


class Context:
    """Remembers how its call was ended."""

    def __init__(self) -> None:
        self.ended: tuple[grpc.StatusCode, str, Any] | None = None

    async def abort(self, code: grpc.StatusCode, text: str, trailers: Any) -> NoReturn:
        self.ended = code, text, trailers
        raise Aborted


async def ended(error: Exception) -> tuple[grpc.StatusCode, str, Status, list[str]]:
    counted: list[str] = []
    context = Context()

    async def fail(_request: object, _context: object) -> None:
        raise error

    with pytest.raises(Aborted):
        await answering_failures(fail, counted.append)(None, context)  # type: ignore[arg-type] # A fake.
    assert context.ended is not None
    code, text, ((key, details), *_) = context.ended
    assert key == DETAILS_KEY
    return code, text, Status.FromString(details), counted


def test_every_known_error_has_a_case() -> None:
    assert {type(error) for error, *_ in CASES} == set(TABLE)


@pytest.mark.parametrize(("error", "code", "reason", "retries"), CASES)
async def test_a_known_error_is_told(
    error: Exception, code: str, reason: str, retries: bool
) -> None:
    ended_with, text, status, counted = await ended(error)

    info, retry = ErrorInfo(), RetryInfo()
    status.details[0].Unpack(info)
    assert ended_with.name == code
    assert (status.code, status.message) == (ended_with.value[0], text)
    assert (info.domain, info.reason) == ("callgate.v1", reason)
    assert counted == [reason]
    assert len(status.details) == (2 if retries else 1)
    if retries:
        status.details[1].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() > 0


async def test_a_bug_is_logged_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code, text, status, counted = await ended(KeyError("secret"))

    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in text + str(status)
    assert "secret" in caplog.text
    assert counted == ["INTERNAL"]


def test_a_wrong_field_and_a_tenant_behind_are_named() -> None:
    for error, metadata in (
        (InvalidRequest("call_id", "give one"), {"field": "call_id"}),
        (FactsBehind("contoso"), {"tenant_id": "contoso"}),
        (CallOver("released"), {"state": "released"}),
        (WatcherTooSlow("c"), {"cursor": "c"}),
    ):
        info = ErrorInfo()
        status_of(error)[1].details[0].Unpack(info)
        assert dict(info.metadata) == metadata


@pytest.mark.parametrize("echoed", ["x" * 100_000, "\U0001f4de" * 30_000])
def test_what_is_echoed_fits_into_trailers(echoed: str) -> None:
    _, status = status_of(InvalidRequest(echoed, echoed))

    assert len(percent_encode(status.message, 4_096)) < 3_500
    assert len(status.SerializeToString()) < 3_500
