"""The outbox: what a tenant is to be told, written in the transaction in which it came true.

    outbox.add(connection, Notice(NoticeKind.RECHARGE_FAILED, tenant_id, charge_id, time_ms, facts))

Written with whatever made it true, a notice is there exactly if that is; the keeper sends it later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, case, delete, insert, select

from server.notices.tables import NOTICE_FILES, NOTICES, WEBHOOK_EVENTS
from server.storage.sql.rows import insert_once

_ID_DIGITS = 32

# What the text of a notice is made of: texts, and whole numbers (micros, milliseconds, seconds).
Facts = Mapping[str, Any]


class NoticeKind(StrEnum):
    """What a tenant is told of; docs/notices.md has each kind's facts."""

    RECHARGE_SUCCEEDED = "recharge_succeeded"
    RECHARGE_FAILED = "recharge_failed"
    BALANCE_LOW = "balance_low"
    BALANCE_ZERO = "balance_zero"
    POOL_80 = "pool_80"
    POOL_100 = "pool_100"
    CREDITS_EXPIRING = "credits_expiring"
    CREDITS_EXPIRED = "credits_expired"
    PAYMENT_REVERSED = "payment_reversed"
    PAYMENT_RESTORED = "payment_restored"
    IMPLAUSIBLE_USE = "implausible_use"
    USAGE_REPORT = "usage_report"


# Of one moment, in this order: causes first, and lines as a balance that falls crosses them.
_IN_ORDER = (
    NoticeKind.CREDITS_EXPIRING,
    NoticeKind.PAYMENT_REVERSED,
    NoticeKind.CREDITS_EXPIRED,
    NoticeKind.IMPLAUSIBLE_USE,
    NoticeKind.POOL_80,
    NoticeKind.POOL_100,
    NoticeKind.BALANCE_LOW,
    NoticeKind.BALANCE_ZERO,
    NoticeKind.RECHARGE_FAILED,
    NoticeKind.RECHARGE_SUCCEEDED,
    NoticeKind.PAYMENT_RESTORED,
    NoticeKind.USAGE_REPORT,
)


def place_in_moment(kind: ColumnElement[str]) -> ColumnElement[int]:
    """Say, in SQL, where a notice of this kind stands among those of the same time."""
    places = {each.value: place for place, each in enumerate(_IN_ORDER)}
    return case(places, value=kind, else_=len(places))


class NoticeState(StrEnum):
    """Whether it is known whom to tell."""

    NEW = "new"
    ADDRESSED = "addressed"
    UNADDRESSED = "unaddressed"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell a tenant, once for each (tenant, kind, crossing key)."""

    kind: NoticeKind
    tenant_id: str
    # What tells this crossing from the next one of its kind: the id of a charge, say.
    crossing_key: str
    time_ms: int
    facts: Facts = field(default_factory=dict)

    @property
    def notice_id(self) -> str:
        """Its name everywhere: also of the mails' Message-ID and of the webhook's event."""
        text = "\x1f".join((self.tenant_id, self.kind.value, self.crossing_key))
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def add(connection: Connection, notice: Notice) -> bool:
    """Write a notice down; False where this crossing was told already, and nothing changes."""
    values = {
        "notice_id": notice.notice_id,
        "tenant_id": notice.tenant_id,
        "kind": notice.kind.value,
        "crossing_key": notice.crossing_key,
        "time_ms": notice.time_ms,
        "facts": msgspec.json.encode(notice.facts, order="deterministic").decode(),
        "state": NoticeState.NEW.value,
    }
    return insert_once(connection, NOTICES, values)


@dataclass(frozen=True, slots=True)
class NoticeFile:
    """A text that goes with the mails of a notice; not with webhooks."""

    name: str
    body: bytes


def add_file(connection: Connection, notice: Notice, file: NoticeFile) -> None:
    """Add the file of a notice, in the transaction that wrote the notice."""
    values = {"notice_id": notice.notice_id, "time_ms": notice.time_ms}
    connection.execute(insert(NOTICE_FILES).values(**values, name=file.name, body=file.body))


def read_file(connection: Connection, notice_id: str) -> NoticeFile | None:
    """Read the file of a notice, if it has one that is kept."""
    columns = NOTICE_FILES.c
    query = select(columns.name, columns.body).where(columns.notice_id == notice_id)
    row = connection.execute(query).first()
    return None if row is None else NoticeFile(row.name, row.body)


def forget_files(connection: Connection, before_ms: int) -> None:
    """Forget the files of notices from before this time."""
    connection.execute(delete(NOTICE_FILES).where(NOTICE_FILES.c.time_ms < before_ms))


def note_event(connection: Connection, source: str, event_id: str, *, now_ms: int) -> bool:
    """Note an event that somebody posted; False where it was taken before.

    To be called in the transaction that does what the event says.
    """
    values = {"source": source, "event_id": event_id, "time_ms": now_ms}
    return insert_once(connection, WEBHOOK_EVENTS, values)


def forget_events(connection: Connection, before_ms: int) -> None:
    """Forget events that were taken before this time."""
    connection.execute(delete(WEBHOOK_EVENTS).where(WEBHOOK_EVENTS.c.time_ms < before_ms))
