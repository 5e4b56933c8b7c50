"""What must outlive Redis: journal, accounts, lots, calls and usage records, in SQL.

It knows neither Redis nor gRPC. See docs/archive.md.
"""

from __future__ import annotations

from server.archive import outbox
from server.archive.archive import Archive
from server.archive.audit import Audited, AuditTrail
from server.archive.book import LotRow
from server.archive.calls import ArchivedCall, ArchivedUse, SoughtCall
from server.archive.changes import (
    AccountDescribed,
    AccountFrozen,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    Change,
    CreditLimitSet,
    DirectDebit,
    Entry,
    LotAdded,
    LotsTaken,
    LotVoided,
    PartitionReopened,
    Position,
    PurseUse,
    Refund,
)
from server.archive.charges import ChargeRow
from server.archive.database import Database, archive_url
from server.archive.directory_rows import ItemRow, TenantRow
from server.archive.funding import FundingRow
from server.archive.images import AccountImage, PaidCall, Preview
from server.archive.replay import ArchivedEntry, JournalSpan
from server.archive.trouble import (
    ArchiveError,
    ArchiveUnavailable,
    ArchiveUnusable,
    EntryUnfit,
    PositionMoved,
)

__all__ = [
    "AccountDescribed",
    "AccountFrozen",
    "AccountImage",
    "Archive",
    "ArchiveError",
    "ArchiveUnavailable",
    "ArchiveUnusable",
    "ArchivedCall",
    "ArchivedEntry",
    "ArchivedPurse",
    "ArchivedUse",
    "AuditTrail",
    "Audited",
    "CallChange",
    "CallDescription",
    "CallState",
    "Change",
    "ChargeRow",
    "CreditLimitSet",
    "Database",
    "DirectDebit",
    "Entry",
    "EntryUnfit",
    "FundingRow",
    "ItemRow",
    "JournalSpan",
    "LotAdded",
    "LotRow",
    "LotVoided",
    "LotsTaken",
    "PaidCall",
    "PartitionReopened",
    "Position",
    "PositionMoved",
    "Preview",
    "PurseUse",
    "Refund",
    "SoughtCall",
    "TenantRow",
    "archive_url",
    "outbox",
]
