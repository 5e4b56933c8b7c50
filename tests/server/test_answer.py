"""An answer is rendered from what was stored with it, whole, and the same each time."""

from __future__ import annotations

import pytest

from callgate.v1 import authorization_pb2 as pb
from facts import NOW_MS, a_call, a_user, some_facts
from policy.admission import admit
from policy.decision import Admission, Payer, PayerKind, Refusal
from policy.destination import Destination, NumberClass
from policy.facts import CallKind
from policy.reasons import Reason
from server.app.calls import advice_of
from server.calls.messages.advice import Advice
from server.calls.messages.answer import authorize_response, explanation_bytes
from server.ledger import PAYING, Answer, Segment
from server.ledger.codec import UNIT
from server.ledger.decision_context import call_context, pack, purses_part, unpack
from server.ledger.requests import paid_as_it_began, paying_part
from server.settings import FailureAction, FinalAction, Settings
from server.settings.kinds import SuggestedEnding

FACTS = some_facts(a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP"))
ADVICE = advice_of(Settings())


def an_answer(
    verdict: Admission | Refusal, *segments: Segment, reason: Reason | None = None
) -> Answer:
    return Answer(
        decision_id="d" * 16,
        decide_time_ms=NOW_MS,
        segments=segments,
        final=False,
        reason=reason,
        shortfall_micros=0,
        available_micros=None,
        pool_left_seconds=None,
        report_by_ms=NOW_MS + 240_000,
        expire_time_ms=NOW_MS + 480_000,
        context=pack(call_context(a_call(), verdict, FACTS)),
    )


def rendered(answer: Answer, advice: Advice) -> pb.AuthorizeCallResponse:
    return authorize_response(answer, unpack(answer.context), "contoso", advice=advice)


def admitted(number: str = "+14255550123") -> Admission:
    verdict = admit(a_call(number), FACTS, NOW_MS)
    assert isinstance(verdict, Admission)
    return verdict


def test_a_context_survives_its_packing() -> None:
    verdict = admitted()

    context = unpack(pack(call_context(a_call(), verdict, FACTS)))

    assert context == call_context(a_call(), verdict, FACTS)
    assert context.payer_kind is PayerKind.USER
    assert context.account_id == "anna"
    assert context.called_number == "+14255550123"
    assert context.call_type == "user_out"
    assert (context.country, context.label) == (
        verdict.destination.country,
        verdict.destination.label,
    )
    assert context.catalogue_version == FACTS.catalogue.version
    assert context.directory_version == "facts-1"
    assert context.rate == verdict.rate
    assert [purse.kind for purse in context.purses] == ["pool", "credits"]


def test_a_context_of_a_call_that_began_under_the_former_layout_is_read() -> None:
    context = call_context(a_call(), admit(a_call(), FACTS, NOW_MS), FACTS)
    fields = pack(context).replace(PAYING, "").split("|")
    former = ["1", *fields[1:11], *fields[18:23], *fields[11:18], *fields[23:]]

    assert context.rate is not None
    assert unpack("|".join(former)) == context


def test_a_context_that_was_kept_in_pieces_is_read() -> None:
    context = call_context(a_call(), admit(a_call(), FACTS, NOW_MS), FACTS)
    head, paying = pack(context).split(PAYING)
    former = UNIT.join([*_pieces(head), "", *_pieces(paying)])

    assert unpack(former) == context
    assert purses_part(paying_part(former)) == purses_part(paying_part(pack(context)))
    assert paid_as_it_began(former, pack(context)).replace(UNIT, "") == head + paying


def _pieces(text: str) -> list[str]:
    return [text[at : at + 64] for at in range(0, len(text), 64)]


def test_a_context_is_kept_whatever_its_letters() -> None:
    long = Destination("225", "CI", NumberClass.ORDINARY, "C\u00f4te d\u2019Ivoire \U0001f4de" * 9)
    verdict = Refusal(Reason.DESTINATION_RESTRICTED, None, "+2251234", "user_out", long)

    packed = pack(call_context(a_call(), verdict, FACTS))

    assert unpack(packed).label == long.label
    assert unpack(packed).payer_kind is None


def test_a_context_keeps_apart_what_it_was_packed_from() -> None:
    payer = Payer(PayerKind.USER, "contoso", "a|b%S|%E%")
    verdict = Refusal(Reason.LICENCE_MISSING, payer, "+39061234", "user|out")

    context = unpack(pack(call_context(a_call(), verdict, FACTS)))

    assert context.account_id == "a|b%S|%E%"
    assert context.call_type == "user|out"


def test_a_grant_says_which_purse_pays_which_stretch() -> None:
    answer = an_answer(admitted(), Segment(0, 0, 40, 0), Segment(1, 40, 100, 100_000))

    grant = rendered(answer, ADVICE).grant

    assert grant.granted_duration.seconds == 100
    assert grant.purse == grant.segments[0].purse
    assert grant.purse.kind == pb.PURSE_KIND_POOL
    assert grant.purse.period == "2026-11"
    assert not grant.segments[0].HasField("held")
    second = grant.segments[1]
    assert (second.start_offset.seconds, second.end_offset.seconds) == (40, 100)
    assert (second.held.micros, second.held.currency_code) == (100_000, "USD")
    assert grant.price.per_minute.micros == 100_000
    assert grant.report_by_time.ToMilliseconds() == NOW_MS + 240_000


def test_the_bytes_of_an_answer_are_the_same_each_time() -> None:
    checks = admit(a_call("+390612345678"), FACTS, NOW_MS, explain=True).checks
    answer = an_answer(admitted(), Segment(0, 0, 60, 0))
    told = answer._replace(explanation=explanation_bytes(checks, ""))

    # Maps have no order of their own on the wire.
    every = {rendered(told, ADVICE).SerializeToString(deterministic=True) for _ in range(20)}

    assert len(every) == 1


def test_a_refusal_suggests_how_to_end_the_call() -> None:
    answer = an_answer(admitted(), reason=Reason.CREDITS_EXHAUSTED)

    response = rendered(answer, ADVICE)

    assert response.refusal.reason == pb.REASON_CREDITS_EXHAUSTED
    assert (response.refusal.sip_status, response.refusal.q850_cause) == (402, 21)
    assert response.refusal.help_text
    assert not response.HasField("failure_handling")
    assert not response.HasField("grant")


def test_an_operator_may_change_what_a_refusal_suggests() -> None:
    settings = Settings(suggestions={Reason.CREDITS_EXHAUSTED: SuggestedEnding(480, 31)})
    answer = an_answer(admitted(), reason=Reason.CREDITS_EXHAUSTED)

    refusal = rendered(answer, advice_of(settings)).refusal

    assert (refusal.sip_status, refusal.q850_cause) == (480, 31)


def test_what_ends_a_final_grant_is_a_setting() -> None:
    settings = Settings(final_action=FinalAction.REDIRECT, redirect_to="sip:no-credit@pbx")
    answer = an_answer(admitted(), Segment(0, 0, 60, 0))
    final = answer._replace(final=True)

    grant = rendered(final, advice_of(settings)).grant

    assert grant.final_action == pb.FINAL_ACTION_REDIRECT
    assert grant.redirect_to == "sip:no-credit@pbx"
    unfinished = rendered(answer, advice_of(settings)).grant
    assert unfinished.final_action == pb.FINAL_ACTION_UNSPECIFIED


def test_what_to_do_without_us_is_bounded() -> None:
    settings = Settings(failure_action=FailureAction.CONTINUE, failure_seconds=90)
    answer = an_answer(admitted(), Segment(0, 0, 60, 0))

    told = rendered(answer, advice_of(settings)).failure_handling

    assert told.action == pb.FAILURE_ACTION_CONTINUE
    assert told.max_duration.seconds == 90


def test_an_explained_refusal_names_its_remedy() -> None:
    asked = a_call("+14255550123", "nobody", kind=CallKind.USER)
    refusal = admit(asked, FACTS, NOW_MS, explain=True)
    assert isinstance(refusal, Refusal)
    answer = an_answer(refusal, reason=refusal.reason)
    explanation = explanation_bytes(refusal.checks, refusal.remedy)
    explained = answer._replace(explanation=explanation)

    response = rendered(explained, ADVICE)

    assert response.refusal.remedy == refusal.remedy
    assert [check.rule for check in response.explanation.checks] == [
        check.rule for check in refusal.checks
    ]
    assert response.refusal.reason == pb.REASON_USER_UNKNOWN


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_the_same_number_on_the_wire(reason: Reason) -> None:
    assert int(pb.Reason.Value(f"REASON_{reason.name}")) == int(reason)


def test_the_remedy_of_missing_credits_is_a_purchase_that_is_allowed() -> None:
    admission = admit(a_call(), FACTS, NOW_MS)
    answer = an_answer(admission, reason=Reason.CREDITS_EXHAUSTED)
    short = answer._replace(shortfall_micros=82_800, explanation=explanation_bytes((), ""))

    refusal = rendered(short, ADVICE).refusal

    assert refusal.remedy == "Top up at least 20.00 USD."
