"""What a bridge sends and gets on its stream, within every limit."""

from __future__ import annotations

from typing import NamedTuple

from callgate.v1 import authorization_pb2 as pb
from policy.reasons import Reason
from server.calls.messages import fields as limits
from server.calls.messages.advice import Advice
from server.calls.messages.cached_answer import varint
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.parts import add_usage, set_money, set_time
from server.ledger import Use
from server.ledger.decision_context import unpack
from server.services.errors import Failure, metadata_of

MAX_QUESTIONS = 256
MAX_TENANTS = 1_000
# Tags: of an item in a message, and in it of its number and of such an answer.
_ITEM = varint(pb.ControlCallsResponse.ITEMS_FIELD_NUMBER << 3 | 2)
_ITEM_ID = varint(pb.ControlItem.ITEM_ID_FIELD_NUMBER << 3)
_AUTHORIZE_CALL = varint(pb.ControlItem.AUTHORIZE_CALL_FIELD_NUMBER << 3 | 2)


class Hello(NamedTuple):
    """Who a bridge is, and whose calls it carries."""

    gateway_id: str
    tenant_ids: tuple[str, ...]


class Deadline(NamedTuple):
    """Until when a running call may last, and the last sequence known of it."""

    granted_seconds: int
    report_by_ms: int
    final: bool
    sequence: int


def answer_item(item_id: int, response: bytes) -> bytes:
    """Write an answer to AuthorizeCall, which is written itself, as an item of a message."""
    item = _ITEM_ID + varint(item_id) + _AUTHORIZE_CALL + varint(len(response)) + response
    return _ITEM + varint(len(item)) + item


def written_item(item: pb.ControlItem) -> bytes:
    """Write an item as it stands in a message; the same item is the same bytes."""
    written = item.SerializeToString(deterministic=True)
    return _ITEM + varint(len(written)) + written


def read_hello(request: pb.ControlCallsRequest) -> Hello:
    """Read how a stream begins. Raises `InvalidRequest`."""
    if not request.HasField("hello"):
        raise InvalidRequest("hello", "who the bridge is, in the first message of the stream")
    hello = request.hello
    if len(hello.tenant_ids) > MAX_TENANTS:
        raise InvalidRequest("hello.tenant_ids", f"at most {MAX_TENANTS} tenants")
    for place, tenant_id in enumerate(hello.tenant_ids):
        limits.tenant_id(tenant_id, f"hello.tenant_ids[{place}]")
    tenant_ids = tuple(dict.fromkeys(hello.tenant_ids))
    return Hello(limits.an_id("hello.gateway_id", hello.gateway_id), tenant_ids)


def check_questions(request: pb.ControlCallsRequest, unanswered: set[int]) -> None:
    """Raise `InvalidRequest` where questions cannot be answered by their numbers."""
    if len(request.questions) > MAX_QUESTIONS:
        raise InvalidRequest("questions", f"at most {MAX_QUESTIONS} in a message")
    seen: set[int] = set()
    for place, question in enumerate(request.questions):
        item_id = question.item_id
        if item_id < 1 or item_id in seen or item_id in unanswered:
            raise InvalidRequest(
                f"questions[{place}].item_id", "from 1, not that of an unanswered question"
            )
        seen.add(item_id)


def error_item(item_id: int, failure: Failure, error: Exception) -> pb.ControlItem:
    """Tell how a question failed."""
    item = pb.ControlItem(item_id=item_id)
    told = item.error
    told.code = failure.code.value[0]
    told.message = failure.text or str(error)
    told.reason = failure.reason
    told.metadata.update(metadata_of(error))
    if failure.retry_ms is not None:
        told.retry_delay.FromMilliseconds(failure.retry_ms)
    return item


def deadline_item(
    tenant_id: str, call_id: str, deadline: Deadline, *, item_id: int = 0
) -> pb.ControlItem:
    """Tell until when a call may last: in answer to an announcement, or by itself, as number 0."""
    item = pb.ControlItem(item_id=item_id)
    told = item.deadline
    told.tenant_id, told.call_id = tenant_id, call_id
    told.granted_duration.SetInParent()
    told.granted_duration.seconds = deadline.granted_seconds
    set_time(told.report_by_time, deadline.report_by_ms)
    told.final = deadline.final
    told.sequence = deadline.sequence
    return item


class Debit(NamedTuple):
    """What a call was debited so far, and what is left to others."""

    tenant_id: str
    call_id: str
    uses: tuple[Use, ...]
    context: str
    available_micros: int | None
    cursor: str


def debit_item(debit: Debit) -> pb.ControlItem:
    """Tell that money or minutes of a call moved."""
    item, context = pb.ControlItem(), unpack(debit.context)
    told = item.debit
    told.tenant_id, told.call_id, told.cursor = debit.tenant_id, debit.call_id, debit.cursor
    for use in debit.uses:
        add_usage(told.usages.add(), use, context)
    if debit.available_micros is not None:
        set_money(told.available, debit.available_micros, context.currency)
    return item


def estimate_item(tenant_id: str, call_id: str, seconds: int) -> pb.ControlItem:
    """Tell what would remain beyond the grant."""
    item = pb.ControlItem()
    item.estimate.tenant_id, item.estimate.call_id = tenant_id, call_id
    item.estimate.remaining_duration.SetInParent()
    item.estimate.remaining_duration.seconds = seconds
    return item


def warning_item(tenant_id: str, call_id: str, end_second: int) -> pb.ControlItem:
    """Tell that the grant a call has is its last, as things are."""
    item = pb.ControlItem()
    item.warning.tenant_id, item.warning.call_id = tenant_id, call_id
    item.warning.end_offset.SetInParent()
    item.warning.end_offset.seconds = end_second
    return item


def end_item(tenant_id: str, call_id: str, reason: Reason, *, advice: Advice) -> pb.ControlItem:
    """Order the end of a call."""
    item = pb.ControlItem()
    item.end.tenant_id, item.end.call_id = tenant_id, call_id
    item.end.reason = pb.Reason.ValueType(reason)
    item.end.action = advice.final_action
    item.end.redirect_to = advice.redirect_to
    return item
