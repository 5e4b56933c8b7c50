"""What must outlive Redis: journal, accounts, lots, calls and usage records, in SQL.

It knows neither Redis nor gRPC. See docs/archive.md.
"""

from __future__ import annotations

from server.archive.archive import Archive
from server.archive.changes import (
    AccountDescribed,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    Change,
    Entry,
    LotAdded,
    LotsTaken,
    PartitionReopened,
    Position,
    PurseUse,
)
from server.archive.database import Database, archive_url
from server.archive.images import AccountImage, ArchivedCall, ArchivedUse, ClosedPartition
from server.archive.replay import ArchivedEntry, JournalSpan
from server.archive.trouble import (
    ArchiveError,
    ArchiveUnavailable,
    ArchiveUnusable,
    PositionMoved,
)

__all__ = [
    "AccountDescribed",
    "AccountImage",
    "Archive",
    "ArchiveError",
    "ArchiveUnavailable",
    "ArchiveUnusable",
    "ArchivedCall",
    "ArchivedEntry",
    "ArchivedPurse",
    "ArchivedUse",
    "CallChange",
    "CallDescription",
    "CallState",
    "Change",
    "ClosedPartition",
    "Database",
    "Entry",
    "JournalSpan",
    "LotAdded",
    "LotsTaken",
    "PartitionReopened",
    "Position",
    "PositionMoved",
    "PurseUse",
    "archive_url",
]
