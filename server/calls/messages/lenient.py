"""Bytes of AuthorizeCall: read so that an emergency number is found in any of them, written alike.

The generated code reads and writes too, but gives a question that holds one wrong byte, in a
Call-ID say, no chance to be an emergency; and it writes maps in any order.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError

from callgate.v1 import authorization_pb2 as pb

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10

# The texts of the question by their number; messages within it are left out when it is broken.
_TEXTS = {
    pb.AuthorizeCallRequest.DESCRIPTOR.fields_by_name[name].number: name
    for name in (
        "tenant_id",
        "gateway_id",
        "call_id",
        "called_number",
        "calling_number",
        "location",
    )
}


_LEG = pb.AuthorizeCallsRequest.LEGS_FIELD_NUMBER
_HELLO = pb.ControlCallsRequest.HELLO_FIELD_NUMBER
_QUESTION = pb.ControlCallsRequest.QUESTIONS_FIELD_NUMBER
_AUTHORIZE = pb.ControlQuestion.AUTHORIZE_CALL_FIELD_NUMBER
_AUTHORIZE_LEGS = pb.ControlQuestion.AUTHORIZE_CALLS_FIELD_NUMBER
_ITEM_ID_TAG = pb.ControlQuestion.ITEM_ID_FIELD_NUMBER << 3


def parse_question(data: bytes) -> pb.AuthorizeCallRequest:
    """Read a question. Of one that is broken, read the texts up to where it breaks.

    Bytes of a text that are no UTF-8 become U+FFFD, which no field allows: unless it is an
    emergency, what was broken is then refused by the name of a field.
    """
    try:
        return pb.AuthorizeCallRequest.FromString(data)
    except DecodeError:
        return _salvage(data)


def parse_legs(data: bytes) -> pb.AuthorizeCallsRequest:
    """Read several legs. Of a message that is broken, read each leg as far as it goes.

    Then nothing but emergencies is left of it: no mode is read.
    """
    try:
        return pb.AuthorizeCallsRequest.FromString(data)
    except DecodeError:
        legs = [parse_question(part) for number, part in _readable(data) if number == _LEG]
        return pb.AuthorizeCallsRequest(legs=legs)


def parse_control(data: bytes) -> pb.ControlCallsRequest:
    """Read what a bridge sends. Of a question that is broken, read what it asks as far as it goes.

    It then fails by the name of a field, unless it is an emergency; its neighbours are as sent.
    Raises `DecodeError` where nothing can be read, nor who the bridge is.
    """
    try:
        return pb.ControlCallsRequest.FromString(data)
    except DecodeError:
        request = pb.ControlCallsRequest()
        for number, part in _readable(data):
            if number == _HELLO:
                request.hello.ParseFromString(part)
            elif number == _QUESTION:
                request.questions.append(_control_question(part))
        if not request.questions and not request.HasField("hello"):
            raise
        return request


def serialize_answers(answers: pb.AuthorizeCallsResponse) -> bytes:
    """Write the answers about several legs: the same answers are the same bytes."""
    return answers.SerializeToString(deterministic=True)


def serialize_control(response: pb.ControlCallsResponse | bytes) -> bytes:
    """Write what a bridge gets, if it is not written yet: the same answers are the same bytes."""
    if isinstance(response, bytes):
        return response
    return response.SerializeToString(deterministic=True)


def serialize_answer(answer: pb.AuthorizeCallResponse) -> bytes:
    """Write an answer, its maps in one order: the same answer is the same bytes."""
    if answer.HasField("explanation"):
        return answer.SerializeToString(deterministic=True)
    return answer.SerializeToString()


def _salvage(data: bytes) -> pb.AuthorizeCallRequest:
    request = pb.AuthorizeCallRequest()
    try:
        for number, content in _fields(data):
            name = _TEXTS.get(number)
            if name is not None:
                setattr(request, name, content.decode(errors="replace"))
    except (IndexError, ValueError):
        # The rest cannot be read; what came before it stands.
        return request
    return request


def _control_question(data: bytes) -> pb.ControlQuestion:
    try:
        return pb.ControlQuestion.FromString(data)
    except DecodeError:
        question = pb.ControlQuestion(item_id=_item_id(data))
        for number, part in _readable(data):
            if number == _AUTHORIZE:
                question.authorize_call.CopyFrom(parse_question(part))
            elif number == _AUTHORIZE_LEGS:
                question.authorize_calls.CopyFrom(parse_legs(part))
        return question


def _item_id(data: bytes) -> int:
    """Read the number of a broken question, which writers put first; 0 where it is not there."""
    try:
        tag, at = _varint(data, 0)
        return _varint(data, at)[0] if tag == _ITEM_ID_TAG else 0
    except (IndexError, ValueError):
        return 0


def _readable(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield fields that hold bytes, up to where the message breaks."""
    fields = _fields(data)
    while True:
        try:
            field = next(fields, None)
        except (IndexError, ValueError):
            return
        if field is None:
            return
        yield field


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field that holds bytes; the others are stepped over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("the message ends inside a field")
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind in {_FIXED_64, _FIXED_32}:
            at += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {kind} is not in use")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that starts at `at`, and where it ends."""
    value = 0
    for place in range(_MAX_VARINT_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number of more than ten bytes")
