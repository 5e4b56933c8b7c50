"""Notices for the wire."""

from __future__ import annotations

import re

from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import notices_pb2 as pb
from server.calls.messages.fields import InvalidRequest, no_such_page
from server.notices.deliveries import Channel, DeliveryState
from server.notices.history import ListedDelivery, ListedNotice
from server.notices.outbox import NoticeKind

_TOKEN = re.compile(r"([0-9]{1,16})\.([0-9a-f]{1,64})")
_NOTICE_ID = re.compile(r"[0-9a-f]{1,64}")
_LANGUAGES = ("", "en", "it")

_KINDS = {
    NoticeKind.RECHARGE_SUCCEEDED: pb.NOTICE_KIND_RECHARGE_SUCCEEDED,
    NoticeKind.RECHARGE_FAILED: pb.NOTICE_KIND_RECHARGE_FAILED,
    NoticeKind.BALANCE_LOW: pb.NOTICE_KIND_BALANCE_LOW,
    NoticeKind.BALANCE_ZERO: pb.NOTICE_KIND_BALANCE_ZERO,
    NoticeKind.POOL_80: pb.NOTICE_KIND_POOL_80,
    NoticeKind.POOL_100: pb.NOTICE_KIND_POOL_100,
    NoticeKind.CREDITS_EXPIRING: pb.NOTICE_KIND_CREDITS_EXPIRING,
    NoticeKind.CREDITS_EXPIRED: pb.NOTICE_KIND_CREDITS_EXPIRED,
    NoticeKind.PAYMENT_REVERSED: pb.NOTICE_KIND_PAYMENT_REVERSED,
    NoticeKind.IMPLAUSIBLE_USE: pb.NOTICE_KIND_IMPLAUSIBLE_USE,
    NoticeKind.PAYMENT_RESTORED: pb.NOTICE_KIND_PAYMENT_RESTORED,
}
_KINDS_ASKED = {value: kind for kind, value in _KINDS.items()}
_CHANNELS = {
    Channel.MAIL: pb.NOTICE_CHANNEL_MAIL,
    Channel.WEBHOOK: pb.NOTICE_CHANNEL_WEBHOOK,
}
_STATES = {
    DeliveryState.WAITING: pb.DELIVERY_STATE_WAITING,
    DeliveryState.CLAIMED: pb.DELIVERY_STATE_SENDING,
    DeliveryState.SENDING: pb.DELIVERY_STATE_SENDING,
    DeliveryState.SENT: pb.DELIVERY_STATE_SENT,
    DeliveryState.FAILED: pb.DELIVERY_STATE_FAILED,
    DeliveryState.UNCERTAIN: pb.DELIVERY_STATE_UNCERTAIN,
}


def page_begin(token: str) -> tuple[int, str] | None:
    """Read after which notice a page begins. Raises `InvalidRequest`."""
    if not token:
        return None
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise no_such_page()
    return int(found[1]), found[2]


def page_token(last: ListedNotice) -> str:
    """Name the page that begins after a notice."""
    return f"{last.time_ms}.{last.notice_id}"


def notice_id(asked: str) -> str:
    """Check the id of a notice. Raises `InvalidRequest`."""
    if not _NOTICE_ID.fullmatch(asked):
        raise InvalidRequest("notice_id", "the notice_id of a notice that was listed")
    return asked


def kind(asked: pb.NoticeKind.ValueType) -> NoticeKind:
    """Read which kind is meant. Raises `InvalidRequest`."""
    found = _KINDS_ASKED.get(asked)
    if found is None:
        raise InvalidRequest("kind", "one of the kinds of notices")
    return found


def language(asked: str) -> str:
    """Check a language. Raises `InvalidRequest`."""
    if asked not in _LANGUAGES:
        raise InvalidRequest("language", 'one of "en" and "it", or empty')
    return asked


def notice(listed: ListedNotice) -> pb.Notice:
    """Write a notice with its deliveries."""
    written = pb.Notice(
        notice_id=listed.notice_id,
        tenant_id=listed.tenant_id,
        kind=_KINDS[listed.kind],
        time=_timestamp(listed.time_ms),
        deliveries=map(_delivery, listed.deliveries),
    )
    written.facts.update(dict(listed.facts))
    return written


def _delivery(listed: ListedDelivery) -> pb.NoticeDelivery:
    written = pb.NoticeDelivery(
        channel=_CHANNELS[listed.channel],
        target=listed.target,
        round=listed.round,
        state=_STATES[listed.state],
        attempts=listed.attempts,
        trouble=listed.trouble,
    )
    if listed.state is DeliveryState.WAITING:
        written.next_attempt_time.CopyFrom(_timestamp(listed.due_ms))
    if listed.finish_ms:
        written.finish_time.CopyFrom(_timestamp(listed.finish_ms))
    return written


def _timestamp(time_ms: int) -> Timestamp:
    written = Timestamp()
    written.FromMilliseconds(time_ms)
    return written
