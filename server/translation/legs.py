"""Several legs from the wire: each a question of its own, together one tenant's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from callgate.v1 import authorization_pb2 as pb
from server.errors import InvalidRequest
from server.translation.question import CallQuestion, call_question

MAX_LEGS = 50

_MODES = (pb.LEG_MODE_ALL_OR_NOTHING, pb.LEG_MODE_AS_MANY_AS_FIT)


def leg_questions(
    request: pb.AuthorizeCallsRequest, places: list[int]
) -> Mapping[int, CallQuestion]:
    """Translate the legs at these places. Raises `InvalidRequest`, which names leg and field."""
    check_legs(request)
    if request.mode not in _MODES:
        raise InvalidRequest("mode", "LEG_MODE_ALL_OR_NOTHING or LEG_MODE_AS_MANY_AS_FIT")
    questions: dict[int, CallQuestion] = {}
    call_ids: set[str] = set()
    for place in places:
        with naming_leg(place):
            question = call_question(request.legs[place])
        if question.dry_run:
            raise InvalidRequest(f"legs[{place}].dry_run", "false; a dry run is about one call")
        if question.call_id in call_ids:
            raise InvalidRequest(f"legs[{place}].call_id", "another one than that of other legs")
        call_ids.add(question.call_id)
        questions[place] = question
    return questions


@contextmanager
def naming_leg(place: int) -> Iterator[None]:
    """Say of a field that is wrong to which leg it belongs."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(f"legs[{place}].{error.field}", error.fix) from error


def check_legs(request: pb.AuthorizeCallsRequest) -> None:
    """Raise `InvalidRequest` where there are no legs, or too many."""
    if not 1 <= len(request.legs) <= MAX_LEGS:
        raise InvalidRequest("legs", f"1 to {MAX_LEGS} legs")
