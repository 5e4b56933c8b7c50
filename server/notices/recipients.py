"""Finding whom notices are for, and making a delivery of each."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from server.notices.deliveries import Channel, DeliveryState
from server.notices.outbox import NoticeState
from server.notices.preferences import NoticeSettings, read_settings
from server.notices.tables import NOTICE_DELIVERIES, NOTICE_SETTINGS, NOTICES
from server.storage.sql.rows import insert_once

# Notices that are addressed in one transaction.
_MOST_ADDRESSED = 200
# A notice of a tenant whose facts nobody wrote down waits this long for them.
UNKNOWN_TENANT_MS = 24 * 60 * 60 * 1_000

_NOTICES, _DELIVERIES = NOTICES.c, NOTICE_DELIVERIES.c


def has_new(connection: Connection, now_ms: int) -> bool:
    """Say whether there is a notice to address. Writes nothing."""
    query = select(_NOTICES.notice_id).where(_is_new(now_ms)).limit(1)
    return connection.execute(query).first() is not None


def address_notices(connection: Connection, now_ms: int) -> int:
    """Make the deliveries of new notices, by what their tenants want now; count the notices."""
    query = (
        select(_NOTICES.notice_id, _NOTICES.tenant_id)
        .where(_is_new(now_ms))
        .order_by(_NOTICES.time_ms, _NOTICES.notice_id)
        .limit(_MOST_ADDRESSED)
        .with_for_update(skip_locked=True)
    )
    rows = list(connection.execute(query))
    settings = read_settings(connection, {row.tenant_id for row in rows})
    for row in rows:
        targets = targets_of(settings.get(row.tenant_id, NoticeSettings()))
        state = NoticeState.ADDRESSED if targets else NoticeState.UNADDRESSED
        add_deliveries(connection, row.notice_id, targets, due_ms=now_ms)
        connection.execute(
            update(NOTICES).where(_NOTICES.notice_id == row.notice_id).values(state=state.value)
        )
    return len(rows)


def targets_of(settings: NoticeSettings) -> list[tuple[Channel, str]]:
    """List where a tenant wants its notices."""
    mails = [(Channel.MAIL, address) for address in dict.fromkeys(settings.recipients)]
    return [*mails, (Channel.WEBHOOK, "")] if settings.webhook_url else mails


def add_deliveries(
    connection: Connection,
    notice_id: str,
    targets: Sequence[tuple[Channel, str]],
    *,
    due_ms: int,
    number: int = 0,
) -> None:
    """Make deliveries, of the round of this number; those that are there stay as they are."""
    for channel, target in targets:
        values = {
            "notice_id": notice_id,
            "channel": channel.value,
            "target": target,
            "round": number,
            "state": DeliveryState.WAITING.value,
            "attempts": 0,
            "due_ms": due_ms,
            "claim": "",
            "finish_ms": 0,
            "trouble": "",
        }
        insert_once(connection, NOTICE_DELIVERIES, values)


def next_round(connection: Connection, notice_id: str) -> int:
    """Say which number the next round of a notice has."""
    query = select(func.max(_DELIVERIES.round)).where(_DELIVERIES.notice_id == notice_id)
    last = connection.scalar(query)
    return 0 if last is None else last + 1


def _is_new(now_ms: int) -> ColumnElement[bool]:
    known = exists().where(NOTICE_SETTINGS.c.tenant_id == _NOTICES.tenant_id)
    return and_(
        _NOTICES.state == NoticeState.NEW.value,
        or_(known, _NOTICES.time_ms <= now_ms - UNKNOWN_TENANT_MS),
    )
