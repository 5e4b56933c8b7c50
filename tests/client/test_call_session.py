"""A call that looks after itself: asked on in time, ended in time, and paid whatever happens."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from callgate.client.endings import EMERGENCY_SECONDS, Why
from callgate.client.fallback import FailOpen
from callgate.client.session import CallSession
from callgate.errors import CallEnded, CallRefused, CallUnknown, Forbidden, NoAnswer
from callgate.v1 import authorization_pb2 as pb
from gateway_desk import ITALY, HandClock, TellingLine, a_call, a_desk, settled

Release, Settle, Extend = pb.ReleaseCallRequest, pb.SettleCallRequest, pb.ExtendCallRequest
Authorize = pb.AuthorizeCallRequest


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def line() -> TellingLine:
    return TellingLine(slice_seconds=60)


async def test_more_time_is_asked_for_when_two_thirds_are_used(
    line: TellingLine, clock: HandClock
) -> None:
    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(39)
        before = list(line.of(Extend))
        await clock.advance(1)
        granted = call.granted_seconds

    assert before == []
    assert [one.used_duration.seconds for one in line.of(Extend)] == [40]
    assert granted == 100


async def test_leaving_the_block_settles_what_was_talked_a_second_begun_counted_whole(
    line: TellingLine, clock: HandClock
) -> None:
    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(10.2)

    (settled_call,) = line.of(Settle)
    assert settled_call.used_duration.seconds == 11
    assert settled_call.sequence == 2
    assert call.settlement is not None
    assert not call.is_spooled


async def test_a_call_nobody_answers_is_kept_alive_while_it_rings_and_released(
    line: TellingLine, clock: HandClock
) -> None:
    async with CallSession(a_desk(line, clock), a_call()):
        await clock.advance(170)

    assert [one.used_duration.seconds for one in line.of(Extend)] == [0]
    assert len(line.of(Release)) == 1
    assert line.of(Settle) == []


async def test_an_exception_in_the_block_is_settled_and_goes_on(
    line: TellingLine, clock: HandClock
) -> None:
    async def talk() -> None:
        async with CallSession(a_desk(line, clock), a_call()) as call:
            call.answered()
            await clock.advance(5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await talk()

    assert [one.used_duration.seconds for one in line.of(Settle)] == [5]


async def test_a_cancelled_call_is_settled(line: TellingLine, clock: HandClock) -> None:
    async def talk() -> None:
        async with CallSession(a_desk(line, clock), a_call()) as call:
            call.answered()
            await call.over()

    talking = asyncio.create_task(talk())
    await clock.advance(7)
    talking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talking

    assert [one.used_duration.seconds for one in line.of(Settle)] == [7]


async def test_a_refusal_keeps_the_block_from_being_entered(
    line: TellingLine, clock: HandClock
) -> None:
    refusal = pb.Refusal(reason=pb.REASON_CREDITS_EXHAUSTED, sip_status=402)
    line.tell(Authorize, pb.AuthorizeCallResponse(refusal=refusal))

    with pytest.raises(CallRefused) as refused:
        async with CallSession(a_desk(line, clock), a_call()):
            pytest.fail("a refused call was placed")

    assert refused.value.refusal.sip_status == 402
    assert len(line.asked) == 1


async def test_a_last_grant_ends_the_call_where_it_says(
    line: TellingLine, clock: HandClock
) -> None:
    grant = line.granted(0, final=True)
    grant.final_action = pb.FINAL_ACTION_REDIRECT
    grant.redirect_to = "sip:no-credit@announcements"
    line.tell(Authorize, pb.AuthorizeCallResponse(grant=grant, payer=pb.Payer(tenant_id="contoso")))
    line.tell(Extend, pb.ExtendCallResponse(grant=grant))

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(59)
        early = call.ending
        await clock.advance(1)
        ending = await call.over()

    assert early is None
    assert ending.why is Why.FINAL
    assert ending.redirect_to == "sip:no-credit@announcements"
    # Once it was asked whether money had come in.
    assert [one.used_duration.seconds for one in line.of(Extend)] == [40]


async def test_a_last_grant_is_none_if_money_came_in_meanwhile(
    line: TellingLine, clock: HandClock
) -> None:
    final = pb.AuthorizeCallResponse(grant=line.granted(0, final=True))
    final.payer.tenant_id = "contoso"
    line.tell(Authorize, final)

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(61)
        ending = call.ending

    assert ending is None
    assert not call.is_final


async def test_a_refused_extension_ends_the_call_at_once(
    line: TellingLine, clock: HandClock
) -> None:
    refusal = pb.Refusal(reason=pb.REASON_ACCOUNT_FROZEN)
    line.tell(Extend, pb.ExtendCallResponse(refusal=refusal))

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(40)
        ending = call.ending

    assert ending is not None
    assert (ending.why, ending.reason) == (Why.REFUSED, pb.REASON_ACCOUNT_FROZEN)


@pytest.mark.parametrize(
    ("action", "end_second"),
    [(pb.FAILURE_ACTION_END, 60), (pb.FAILURE_ACTION_CONTINUE, 180)],
)
async def test_without_answers_a_call_lasts_as_long_as_its_last_answer_allows(
    line: TellingLine,
    clock: HandClock,
    action: pb.FailureAction.ValueType,
    end_second: int,
) -> None:
    line.failure_handling = pb.FailureHandling(action=action)
    line.failure_handling.max_duration.seconds = 120

    async with CallSession(a_desk(line, clock), a_call()) as call:
        line.is_away = True
        call.answered()
        await clock.advance(end_second - 1)
        early = call.ending
        await clock.advance(1)
        ending = call.ending
        line.is_away = False

    assert early is None
    assert ending is not None
    assert ending.why is Why.UNANSWERED


async def test_an_unanswered_report_is_repeated_unchanged_until_the_engine_is_back(
    line: TellingLine, clock: HandClock
) -> None:
    line.failure_handling = pb.FailureHandling(action=pb.FAILURE_ACTION_CONTINUE)
    line.failure_handling.max_duration.seconds = 600

    async with CallSession(a_desk(line, clock), a_call()) as call:
        line.is_away = True
        call.answered()
        await clock.advance(90)
        line.is_away = False
        await clock.advance(10)
        granted = call.granted_seconds
        ending = call.ending

    repeated = [one for one in line.of(Extend) if one.sequence == 2]
    assert len(repeated) > 5
    assert all(one == repeated[0] for one in repeated)
    # The one after it tells what was talked meanwhile.
    assert line.of(Extend)[-1].used_duration.seconds > 60
    assert granted is not None
    assert granted > 120
    assert ending is None


async def test_a_gateway_that_fails_closed_places_no_call_without_an_answer(
    line: TellingLine, clock: HandClock
) -> None:
    line.is_away = True

    with pytest.raises(NoAnswer) as silence:
        async with CallSession(a_desk(line, clock), a_call()):
            pytest.fail("an unanswered call was placed")

    assert (silence.value.sip_status, silence.value.q850_cause) == (503, 41)


async def test_a_gateway_that_fails_open_places_it_for_its_own_time_and_reports_it_whole(
    line: TellingLine, clock: HandClock, tmp_path: Path
) -> None:
    line.is_away = True
    desk = a_desk(line, clock, first_question=FailOpen(max_seconds=100), folder=tmp_path)

    async with CallSession(desk, a_call()) as call:
        call.answered()
        own = call.is_by_own_rules
        await clock.advance(99)
        early = call.ending
        await clock.advance(1)
        ending = call.ending

    assert own
    assert early is None
    assert ending is not None
    assert ending.why is Why.UNANSWERED
    assert call.is_spooled
    assert desk.reports.waiting == 1
    assert line.of(Settle)[-1].unknown_call.called_number == ITALY
    desk.reports.close()


async def test_a_call_placed_without_an_answer_is_asked_for_again_when_the_engine_is_back(
    line: TellingLine, clock: HandClock
) -> None:
    line.is_away = True

    async with CallSession(a_desk(line, clock, first_question=FailOpen(300)), a_call()) as call:
        call.answered()
        await clock.advance(80)
        line.is_away = False
        await clock.advance(6)
        known = not call.is_by_own_rules
        granted = call.granted_seconds
        ending = call.ending

    first = line.of(Authorize)[0]
    assert known
    assert all(one == first for one in line.of(Authorize))
    assert line.of(Extend)[0].used_duration.seconds > 80
    assert granted is not None
    assert granted > 140
    assert ending is None
    assert not line.of(Settle)[-1].HasField("unknown_call")


@pytest.mark.parametrize(("dialled", "dial_as"), [("112", "112"), ("9", "112"), ("1-1-2", "112")])
async def test_an_emergency_passes_without_an_engine_and_is_never_reported(
    line: TellingLine, clock: HandClock, dialled: str, dial_as: str
) -> None:
    line.is_away = True

    async with CallSession(a_desk(line, clock), a_call(called_number=dialled)) as call:
        call.answered()
        await clock.advance(100_000)
        ending = call.ending

    assert call.is_emergency
    assert call.dial_as == dial_as
    assert ending is None
    assert len(line.asked) == 1


async def test_an_emergency_passes_even_if_the_engine_will_not_hear_of_it(
    line: TellingLine, clock: HandClock
) -> None:
    line.tell(Authorize, Forbidden("an old token", code="UNAUTHENTICATED"))

    async with CallSession(a_desk(line, clock), a_call(called_number="112")) as call:
        passed = call.is_emergency

    assert passed


async def test_nobody_waits_long_for_an_engine_that_hangs_with_an_emergency(
    line: TellingLine, clock: HandClock
) -> None:
    given: list[float | None] = []
    ask = line.authorize_call

    async def noting(
        question: pb.AuthorizeCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.AuthorizeCallResponse:
        given.append(deadline_seconds)
        return await ask(question, deadline_seconds=deadline_seconds)

    line.authorize_call = noting  # type: ignore[method-assign] # It notes how long it may take.
    line.is_away = True
    async with CallSession(a_desk(line, clock), a_call(called_number="112")):
        pass

    assert given == [EMERGENCY_SECONDS]


@pytest.mark.parametrize("dialled", ["1122", "11", "+39112345678", "abc", ""])
async def test_what_only_begins_like_an_emergency_is_none(
    line: TellingLine, clock: HandClock, dialled: str
) -> None:
    line.is_away = True

    with pytest.raises(NoAnswer):
        async with CallSession(a_desk(line, clock), a_call(called_number=dialled)):
            pytest.fail("it was placed")


async def test_a_call_the_engine_lost_is_announced_with_what_it_used(
    line: TellingLine, clock: HandClock
) -> None:
    line.tell(Extend, CallUnknown("lost", code="NOT_FOUND"))

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(41)
        granted = call.granted_seconds
        ending = call.ending

    announced = line.of(Authorize)[1]
    assert announced.sequence == 3
    assert announced.running_call.used_duration.seconds == 40
    assert announced.running_call.decision_id == "decision-1"
    assert granted == 100
    assert ending is None


async def test_a_call_that_is_over_for_the_engine_ends(line: TellingLine, clock: HandClock) -> None:
    line.tell(Extend, CallEnded("over", code="NOT_FOUND"))
    line.tell(Settle, CallEnded("over", code="NOT_FOUND"))

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(40)
        ending = call.ending

    assert ending is not None
    assert ending.why is Why.ENDED


async def test_a_running_call_is_asked_about_again_with_what_is_known_by_now(
    line: TellingLine, clock: HandClock
) -> None:
    arriving = a_call(service_number_call=pb.ServiceNumberCall())
    known = pb.AuthorizeCallRequest()
    known.CopyFrom(arriving)
    known.service_number_call.organizer_id = "dan"

    async with CallSession(a_desk(line, clock), arriving) as call:
        call.answered()
        await clock.advance(12)
        await call.ask_again(known)
        await clock.advance(45)

    asked = line.of(Authorize)[1]
    assert asked.service_number_call.organizer_id == "dan"
    assert asked.running_call.used_duration.seconds == 12
    assert [one.sequence for one in line.asked] == [1, 2, 3, 4]


async def test_a_running_call_that_is_refused_when_asked_again_ends_and_is_settled(
    line: TellingLine, clock: HandClock
) -> None:
    refusal = pb.Refusal(reason=pb.REASON_TOLL_FREE_NOT_ALLOWED)

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(12)
        line.tell(Authorize, pb.AuthorizeCallResponse(refusal=refusal))
        with pytest.raises(CallRefused):
            await call.ask_again(a_call())
        ending = call.ending

    assert ending is not None
    assert ending.why is Why.REFUSED
    assert [one.used_duration.seconds for one in line.of(Settle)] == [12]


async def test_a_running_call_that_nobody_answers_for_goes_on_as_it_was_granted(
    line: TellingLine, clock: HandClock
) -> None:
    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        line.is_away = True
        with pytest.raises(NoAnswer):
            await call.ask_again(a_call())
        line.is_away = False
        await clock.advance(41)
        granted = call.granted_seconds

    assert granted == 100


async def test_whoever_keeps_a_timer_is_told_of_every_limit(
    line: TellingLine, clock: HandClock
) -> None:
    async with CallSession(a_desk(line, clock), a_call()) as call:
        limits = call.limits()
        ringing = await anext(limits)
        answered = asyncio.ensure_future(anext(limits))
        await settled()
        call.answered()
        at_first = await answered
        extended = asyncio.ensure_future(anext(limits))
        await clock.advance(40)

    assert (ringing, at_first) == (math.inf, 60)
    # 40 s were talked, and 100 s are granted by now.
    assert await extended == 60


async def test_a_call_that_is_left_goes_on_and_is_not_reported(
    line: TellingLine, clock: HandClock
) -> None:
    call = CallSession(a_desk(line, clock), a_call())
    await call.__aenter__()
    call.answered()

    await call.leave()
    await clock.advance(1_000)

    assert len(line.asked) == 1


async def test_an_order_to_end_is_obeyed(line: TellingLine, clock: HandClock) -> None:
    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        order = pb.EndOrder(tenant_id="contoso", call_id="call-1", reason=pb.REASON_ACCOUNT_FROZEN)
        call.take_push(pb.ControlItem(end=order))
        ending = await call.over()
        pushed = await anext(call.pushes())

    assert (ending.why, ending.reason) == (Why.ORDERED, pb.REASON_ACCOUNT_FROZEN)
    assert pushed.end == order


async def test_a_deadline_that_moved_makes_a_last_grant_one_to_ask_on(
    line: TellingLine, clock: HandClock
) -> None:
    grant = line.granted(0, final=True)
    final = pb.AuthorizeCallResponse(grant=grant, payer=pb.Payer(tenant_id="contoso"))
    line.tell(Authorize, final)
    line.tell(Extend, pb.ExtendCallResponse(grant=grant))

    async with CallSession(a_desk(line, clock), a_call()) as call:
        call.answered()
        await clock.advance(50)
        moved = pb.CallDeadline(tenant_id="contoso", call_id="call-1", sequence=5)
        moved.granted_duration.seconds = 60
        call.take_push(pb.ControlItem(deadline=moved))
        await clock.advance(20)
        ending = call.ending
        granted = call.granted_seconds

    assert ending is None
    assert granted == 110
    assert [one.sequence for one in line.of(Extend)] == [2, 6]


async def test_a_leg_that_was_granted_with_others_is_run_without_being_asked_for_again(
    line: TellingLine, clock: HandClock
) -> None:
    legs = pb.AuthorizeCallsRequest(legs=[a_call()], mode=pb.LEG_MODE_ALL_OR_NOTHING)
    (granted,) = (await line.authorize_calls(legs)).answers

    async with CallSession(a_desk(line, clock), legs.legs[0], granted) as call:
        call.answered()
        await clock.advance(3)

    assert len(line.of(Authorize)) == 1
    assert [one.sequence for one in line.of(Settle)] == [2]


async def test_a_set_up_that_is_cancelled_gives_back_what_the_engine_may_hold(
    line: TellingLine, clock: HandClock
) -> None:
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> pb.AuthorizeCallResponse:
        await never.wait()
        raise AssertionError

    line.authorize_call = hang  # type: ignore[method-assign] # This one engine hangs.

    async def set_up() -> None:
        async with CallSession(a_desk(line, clock), a_call()):
            pytest.fail("nobody granted it")

    setting_up = asyncio.create_task(set_up())
    await settled()
    setting_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting_up

    assert [one.sequence for one in line.of(Release)] == [2]
