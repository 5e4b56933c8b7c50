"""Notices for the wire."""

from __future__ import annotations

import re

from callgate.v1 import notices_pb2 as pb
from server.calls.messages.fields import InvalidRequest, no_such_page
from server.calls.messages.parts import set_time
from server.notices.deliveries import Channel, DeliveryState
from server.notices.history import ListedDelivery, ListedNotice
from server.notices.outbox import NoticeKind

_TOKEN = re.compile(r"([0-9]{1,16})\.([0-9a-f]{1,64})")
_NOTICE_ID = re.compile(r"[0-9a-f]{1,64}")
_LANGUAGES = ("", "en", "it")

_KINDS = {kind: pb.NoticeKind.Value(f"NOTICE_KIND_{kind.name}") for kind in NoticeKind}
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
        deliveries=map(_delivery, listed.deliveries),
    )
    set_time(written.time, listed.time_ms)
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
        set_time(written.next_attempt_time, listed.due_ms)
    if listed.finish_ms:
        set_time(written.finish_time, listed.finish_ms)
    return written
