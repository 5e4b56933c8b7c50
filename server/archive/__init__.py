"""What must outlive Redis: journal, accounts, lots, calls and usage records, in SQL.

It knows neither Redis nor gRPC. See docs/archive.md.
"""

from __future__ import annotations

from server.archive.archive import Archive
from server.archive.book import CallId, CallRow, LotRow, UseRow
from server.archive.calls import ArchivedCall, ArchivedUse, SoughtCall
from server.archive.changes import (
    AccountCarried,
    AccountDescribed,
    AccountFrozen,
    ArchivedPurse,
    CallChange,
    CallDescription,
    CallState,
    CarriedLot,
    Change,
    CreditLimitSet,
    DirectDebit,
    Entry,
    IdRuledOut,
    LotAdded,
    LotsTaken,
    LotTakenBack,
    LotVoided,
    PartitionReopened,
    Position,
    Refund,
)
from server.archive.errors import EntryUnfit, PositionMoved
from server.archive.images import AccountImage, PaidCall, Preview
from server.archive.known import ArchivedAccount

__all__ = [
    "AccountCarried",
    "AccountDescribed",
    "AccountFrozen",
    "AccountImage",
    "Archive",
    "ArchivedAccount",
    "ArchivedCall",
    "ArchivedPurse",
    "ArchivedUse",
    "CallChange",
    "CallDescription",
    "CallId",
    "CallRow",
    "CallState",
    "CarriedLot",
    "Change",
    "CreditLimitSet",
    "DirectDebit",
    "Entry",
    "EntryUnfit",
    "IdRuledOut",
    "LotAdded",
    "LotRow",
    "LotTakenBack",
    "LotVoided",
    "LotsTaken",
    "PaidCall",
    "PartitionReopened",
    "Position",
    "PositionMoved",
    "Preview",
    "Refund",
    "SoughtCall",
    "UseRow",
]
