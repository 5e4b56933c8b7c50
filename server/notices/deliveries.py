"""Deliveries of notices: to whom each goes, who works on it, and what became of it.

States: `waiting` is due at `due_ms`. `claimed` is worked on, and nothing has gone out yet: when the
claim lapses somebody else takes it. `sending` was written just before the mail went out: when that
claim lapses nobody knows whether it did, so it becomes `uncertain` and stays. `sent` and `failed`
are ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, update

from server.notices.outbox import Facts, NoticeKind, NoticeState, place_in_moment
from server.notices.preferences import NoticeSettings, read_settings
from server.notices.tables import NOTICE_DELIVERIES, NOTICES

_TROUBLE_CHARACTERS = 255

_NOTICES, _DELIVERIES = NOTICES.c, NOTICE_DELIVERIES.c


class Channel(StrEnum):
    """How a tenant is told."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class DeliveryState(StrEnum):
    """Where a delivery stands; see the head of this file."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail or webhook to send, with all that it is made of."""

    notice_id: str
    channel: Channel
    target: str
    round: int
    attempts: int
    tenant_id: str
    kind: NoticeKind
    time_ms: int
    facts: Facts
    settings: NoticeSettings


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on deliveries, and for how long nobody else does; each round has its own token."""

    token: str
    now_ms: int
    until_ms: int
    limit: int


def has_due(connection: Connection, channel: Channel, now_ms: int) -> bool:
    """Say whether there is something to claim. Writes nothing."""
    query = select(_DELIVERIES.notice_id).where(_is_due(channel, now_ms)).limit(1)
    return connection.execute(query).first() is not None


def let_claims_go(connection: Connection, now_ms: int) -> None:
    """Let everybody's claims of what has not gone out be due at once.

    That is safe at any time: who still holds one finds it gone before anything goes out. A new
    courier does it for one that died.
    """
    connection.execute(
        update(NOTICE_DELIVERIES)
        .where(_DELIVERIES.state == DeliveryState.CLAIMED.value)
        .values(state=DeliveryState.WAITING.value, due_ms=now_ms, claim="")
    )


def claim_deliveries(connection: Connection, channel: Channel, claim: Claim) -> list[Delivery]:
    """Take deliveries that are due, and those whose claim lapsed before anything went out."""
    query = (
        select(NOTICE_DELIVERIES, _NOTICES.tenant_id, _NOTICES.kind)
        .add_columns(_NOTICES.time_ms, _NOTICES.facts)
        .join(NOTICES, _NOTICES.notice_id == _DELIVERIES.notice_id)
        .where(_is_due(channel, claim.now_ms))
        .order_by(
            *(_DELIVERIES.due_ms, _NOTICES.time_ms, place_in_moment(_NOTICES.kind)),
            _DELIVERIES.notice_id,
        )
        .limit(claim.limit)
        .with_for_update(of=NOTICE_DELIVERIES, skip_locked=True)
    )
    rows = list(connection.execute(query))
    settings = read_settings(connection, {row.tenant_id for row in rows})
    for row in rows:
        connection.execute(
            update(NOTICE_DELIVERIES)
            .where(*_is(row))
            .values(
                state=DeliveryState.CLAIMED.value,
                claim=claim.token,
                attempts=row.attempts + 1,
                due_ms=claim.until_ms,
            )
        )
    return [_delivery(row, settings.get(row.tenant_id, NoticeSettings())) for row in rows]


def mark_sending(connection: Connection, delivery: Delivery, token: str, *, until_ms: int) -> bool:
    """Note that a mail goes out now; False where the claim is no longer ours: then it must not."""
    values = {"state": DeliveryState.SENDING.value, "due_ms": until_ms}
    return _move(connection, delivery, token, given=(DeliveryState.CLAIMED,), values=values)


def mark_sent(connection: Connection, delivery: Delivery, token: str, *, now_ms: int) -> bool:
    """Note that the other side took it."""
    values = {"state": DeliveryState.SENT.value, "finish_ms": now_ms, "trouble": ""}
    # Ours also where it was given up for uncertain while we slept: now it is known.
    given = (DeliveryState.CLAIMED, DeliveryState.SENDING, DeliveryState.UNCERTAIN)
    return _move(connection, delivery, token, given=given, values=values)


def mark_waiting(
    connection: Connection, delivery: Delivery, token: str, *, due_ms: int, trouble: str
) -> bool:
    """Note that it is known not to have been taken, or may safely go out again, later."""
    values = {
        "state": DeliveryState.WAITING.value,
        "due_ms": due_ms,
        "trouble": trouble[:_TROUBLE_CHARACTERS],
    }
    given = (DeliveryState.CLAIMED, DeliveryState.SENDING)
    return _move(connection, delivery, token, given=given, values=values)


def mark_failed(
    connection: Connection, delivery: Delivery, token: str, *, now_ms: int, trouble: str
) -> bool:
    """Give it up."""
    values = {
        "state": DeliveryState.FAILED.value,
        "finish_ms": now_ms,
        "trouble": trouble[:_TROUBLE_CHARACTERS],
    }
    given = (DeliveryState.CLAIMED, DeliveryState.SENDING)
    return _move(connection, delivery, token, given=given, values=values)


def has_lapsed(connection: Connection, now_ms: int) -> bool:
    """Say whether there is something for `give_up_uncertain`. Writes nothing."""
    query = select(_DELIVERIES.notice_id).where(_is_lapsed(now_ms)).limit(1)
    return connection.execute(query).first() is not None


def give_up_uncertain(connection: Connection, now_ms: int) -> int:
    """Leave alone what may have gone out when its sender died; count it."""
    done = connection.execute(
        update(NOTICE_DELIVERIES)
        .where(_is_lapsed(now_ms))
        .values(
            state=DeliveryState.UNCERTAIN.value,
            finish_ms=now_ms,
            trouble="the sender ended while it went out; it is not sent again by itself",
        )
    )
    return done.rowcount


def hurry_waiting(connection: Connection, channel: Channel, now_ms: int) -> None:
    """Let all that waits be due: the other side answers again."""
    connection.execute(
        update(NOTICE_DELIVERIES)
        .where(
            _DELIVERIES.channel == channel.value,
            _DELIVERIES.state == DeliveryState.WAITING.value,
            _DELIVERIES.due_ms > now_ms,
        )
        .values(due_ms=now_ms)
    )


def count_deliveries(connection: Connection) -> Counter[tuple[str, str]]:
    """Count deliveries by channel and state, and new notices by the state "new"."""
    query = select(_DELIVERIES.channel, _DELIVERIES.state, func.count()).group_by(
        _DELIVERIES.channel, _DELIVERIES.state
    )
    counts = Counter({(row[0], row[1]): row[2] for row in connection.execute(query)})
    new = select(func.count()).where(_NOTICES.state == NoticeState.NEW.value)
    counts["", NoticeState.NEW.value] = connection.scalar(new) or 0
    return counts


def _move(
    connection: Connection,
    delivery: Delivery,
    token: str,
    *,
    given: Sequence[DeliveryState],
    values: dict[str, Any],
) -> bool:
    done = connection.execute(
        update(NOTICE_DELIVERIES)
        .where(
            *_is(delivery),
            _DELIVERIES.claim == token,
            _DELIVERIES.state.in_([state.value for state in given]),
        )
        .values(**values)
    )
    return done.rowcount == 1


def _is_due(channel: Channel, now_ms: int) -> ColumnElement[bool]:
    return and_(
        _DELIVERIES.channel == channel.value,
        _DELIVERIES.state.in_((DeliveryState.WAITING.value, DeliveryState.CLAIMED.value)),
        _DELIVERIES.due_ms <= now_ms,
    )


def _is_lapsed(now_ms: int) -> ColumnElement[bool]:
    return and_(_DELIVERIES.state == DeliveryState.SENDING.value, _DELIVERIES.due_ms <= now_ms)


def _is(row: Row[Any] | Delivery) -> tuple[Any, ...]:
    channel = row.channel.value if isinstance(row.channel, Channel) else row.channel
    return (
        _DELIVERIES.notice_id == row.notice_id,
        _DELIVERIES.channel == channel,
        _DELIVERIES.target == row.target,
        _DELIVERIES.round == row.round,
    )


def _delivery(row: Row[Any], settings: NoticeSettings) -> Delivery:
    return Delivery(
        notice_id=row.notice_id,
        channel=Channel(row.channel),
        target=row.target,
        round=row.round,
        attempts=row.attempts + 1,
        tenant_id=row.tenant_id,
        kind=NoticeKind(row.kind),
        time_ms=row.time_ms,
        facts=msgspec.json.decode(row.facts),
        settings=settings,
    )
