"""Reading a tenant's notices with their deliveries, and asking for one to be sent once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, or_, select

from server.notices.deliveries import Channel, DeliveryState
from server.notices.outbox import Facts, NoticeKind, place_in_moment
from server.notices.preferences import NoticeSettings, read_settings
from server.notices.recipients import add_deliveries, next_round, targets_of
from server.notices.tables import NOTICE_DELIVERIES, NOTICES


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """One mail or event, and where it stands."""

    channel: Channel
    target: str
    round: int
    state: DeliveryState
    attempts: int
    due_ms: int
    finish_ms: int
    trouble: str


@dataclass(frozen=True, slots=True)
class ListedNotice:
    """One notice with all its deliveries."""

    notice_id: str
    tenant_id: str
    kind: NoticeKind
    time_ms: int
    facts: Facts
    deliveries: tuple[ListedDelivery, ...]


class NoticeUnknown(Exception):
    """A tenant has no notice of this id."""


class NobodyToTell(Exception):
    """A tenant's facts name nobody who wants notices."""


_NOTICES = NOTICES.c


def list_notices(
    connection: Connection, tenant_id: str, *, before: tuple[int, str] | None, limit: int
) -> list[ListedNotice]:
    """List a tenant's notices, the newest first, those after `before` (time and id)."""
    query = select(NOTICES).where(_NOTICES.tenant_id == tenant_id)
    place = place_in_moment(_NOTICES.kind)
    if before is not None:
        time_ms, notice_id = before
        kind = select(_NOTICES.kind).where(_NOTICES.notice_id == notice_id).scalar_subquery()
        its_place = place_in_moment(kind)
        same_place = (place == its_place) & (_NOTICES.notice_id > notice_id)
        same_time = (_NOTICES.time_ms == time_ms) & or_(place < its_place, same_place)
        query = query.where(or_(_NOTICES.time_ms < time_ms, same_time))
    order = (_NOTICES.time_ms.desc(), place.desc(), _NOTICES.notice_id)
    query = query.order_by(*order).limit(limit)
    return _with_deliveries(connection, list(connection.execute(query)))


def resend(connection: Connection, tenant_id: str, notice_id: str, *, now_ms: int) -> ListedNotice:
    """Make another round of a notice. Raises `NoticeUnknown` and `NobodyToTell`."""
    query = select(NOTICES).where(_NOTICES.tenant_id == tenant_id, _NOTICES.notice_id == notice_id)
    found = list(connection.execute(query.with_for_update()))
    if not found:
        raise NoticeUnknown
    settings = read_settings(connection, [tenant_id]).get(tenant_id, NoticeSettings())
    targets = targets_of(settings)
    if not targets:
        raise NobodyToTell
    number = next_round(connection, notice_id)
    add_deliveries(connection, notice_id, targets, due_ms=now_ms, number=number)
    return _with_deliveries(connection, found)[0]


def _with_deliveries(connection: Connection, rows: Sequence[Row[Any]]) -> list[ListedNotice]:
    deliveries: defaultdict[str, list[ListedDelivery]] = defaultdict(list)
    columns = NOTICE_DELIVERIES.c
    query = (
        select(NOTICE_DELIVERIES)
        .where(columns.notice_id.in_([row.notice_id for row in rows]))
        .order_by(columns.round, columns.channel, columns.target)
    )
    for row in connection.execute(query):
        deliveries[row.notice_id].append(
            ListedDelivery(
                Channel(row.channel),
                row.target,
                row.round,
                DeliveryState(row.state),
                row.attempts,
                row.due_ms,
                row.finish_ms,
                row.trouble,
            )
        )
    return [
        ListedNotice(
            row.notice_id,
            row.tenant_id,
            NoticeKind(row.kind),
            row.time_ms,
            msgspec.json.decode(row.facts),
            tuple(deliveries[row.notice_id]),
        )
        for row in rows
    ]
