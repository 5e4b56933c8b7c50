"""The same question gets the same answer; another question does not."""

from __future__ import annotations

import pytest

from ledgers import (
    UnderTest,
    a_question,
    an_account,
    ask,
    by_the_second,
    credits_,
    dry,
    extend,
    pool,
)
from policy.reasons import Reason
from server.archive.keeper.drain import BURIED_AFTER_MS
from server.ledger import (
    AccountUnknown,
    CallOver,
    CallUnknown,
    FactsStale,
    Ledger,
    RequestReused,
    ReserveRequest,
    fingerprint,
)
from server.ledger.keys import call_key, other_gateway_key, partition_of
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import Store
from server.storage.redis.references import call_reference


async def test_a_repeated_question_gets_the_first_answer_whole(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    request = ask("call-1", 1, pool(100), credits_())._replace(explanation=b'{"checks": []}')

    first = await ledger.reserve(request)
    other = request.question._replace(decision_id="another0000000000")
    again = await ledger.reserve(
        request._replace(question=other, context="other", explanation=b"", want_seconds=5)
    )

    assert first.granted_seconds == 60
    assert first.decision_id == request.question.decision_id
    assert again == first


async def test_a_repeated_answer_stays_the_same_after_money_moved_and_time_passed(
    under_test: UnderTest,
) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000_000))
    first = await ledger.reserve(ask("call-1"))
    await ledger.reserve(ask("call-2", want=600))
    under_test.clock.pass_seconds(30)

    again = await ledger.reserve(ask("call-1"))

    assert again == first


async def test_a_stored_answer_outlives_the_reservation(under_test: UnderTest) -> None:
    ledger = under_test.ledger
    await ledger.open_account(an_account(1_000_000))
    first = await ledger.reserve(ask("call-1"))
    under_test.clock.pass_seconds(3_600)
    await ledger.expire(partition_of("contoso"), 10)

    again = await ledger.reserve(ask("call-1"))

    assert again == first


async def test_a_stored_refusal_is_repeated_even_if_money_came_since(ledger: Ledger) -> None:
    """B3: a stored failure stays a failure."""
    await ledger.open_account(an_account(0))
    first = await ledger.reserve(ask("call-1"))
    await ledger.open_account(an_account(None, digest="facts-2"))

    again = await ledger.reserve(ask("call-1", digest="facts-2"))

    assert first.reason is Reason.CREDITS_EXHAUSTED
    assert again == first
    assert not again.segments


@pytest.mark.parametrize(
    "refused",
    [
        ask("call-2", refusal=Reason.LICENCE_MISSING),
        ask("call-2", 1, pool(0)),
        ask("call-1", 1, gateway="sbc-2"),
    ],
    ids=["by the rules", "for lack of minutes", "as another gateway has the id"],
)
async def test_a_refusal_is_repeated_as_long_as_the_answers_of_a_call_that_is_over(
    store: Store, redis_ledger: RedisLedger, refused: ReserveRequest
) -> None:
    await redis_ledger.open_account(an_account(1_000_000))
    await redis_ledger.reserve(ask("call-1"))

    assert (await redis_ledger.reserve(refused)).reason is not None

    call = refused.question.call
    own = call_key(call.tenant_id, call_reference(call.tenant_id, call.call_id))
    key = own if call.gateway_id == "sbc-1" else other_gateway_key(call)
    left_ms = await store.command("PTTL", key)
    assert BURIED_AFTER_MS - 60_000 < left_ms <= BURIED_AFTER_MS


async def test_a_refusal_of_the_rules_is_stored_too(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    refused = ask("call-1", refusal=Reason.LICENCE_MISSING)

    first = await ledger.reserve(refused)
    again = await ledger.reserve(
        refused._replace(question=refused.question._replace(facts_digest="facts-2"))
    )

    assert first.reason is Reason.LICENCE_MISSING
    assert first.context == refused.context
    assert again == first


async def test_the_same_sequence_with_other_content_is_a_conflict(ledger: Ledger) -> None:
    """B4: nothing changes, and the first answer still stands."""
    await ledger.open_account(an_account(1_000_000))
    first = await ledger.reserve(ask("call-1"))
    before = await ledger.read_balance("contoso")

    with pytest.raises(RequestReused):
        await ledger.reserve(ask("call-1", content="another number", want=600))

    assert await ledger.read_balance("contoso") == before
    assert await ledger.reserve(ask("call-1")) == first


async def test_a_lower_sequence_is_told_the_state_now(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1))
    last = await ledger.reserve(ask("call-1", 5, want=120))

    late = await ledger.reserve(ask("call-1", 3))

    assert late == last._replace(superseded=True)


async def test_a_higher_sequence_replaces_the_reservation(ledger: Ledger) -> None:
    await ledger.open_account(an_account(200_000))
    await ledger.reserve(ask("call-1", 1, want=120))

    replaced = await ledger.reserve(ask("call-1", 2, want=120))
    balance = await ledger.read_balance("contoso")

    assert replaced.granted_seconds == 120
    assert (balance.available_micros, balance.reserved_micros) == (0, 200_000)


async def test_a_replacement_that_is_refused_ends_the_call(ledger: Ledger) -> None:
    await ledger.open_account(an_account(200_000))
    await ledger.reserve(ask("call-1", 1))

    refused = await ledger.reserve(ask("call-1", 2, refusal=Reason.LICENCE_MISSING))
    balance = await ledger.read_balance("contoso")

    assert refused.reason is Reason.LICENCE_MISSING
    assert (balance.available_micros, balance.reserved_micros) == (200_000, 0)
    with pytest.raises(CallOver):
        await ledger.release(a_question("call-1", 3))


async def test_a_call_refused_once_may_be_granted_with_the_next_sequence(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))
    await ledger.reserve(ask("call-1", 1, refusal=Reason.LICENCE_MISSING))

    granted = await ledger.reserve(ask("call-1", 2))

    assert granted.granted_seconds == 60
    assert await ledger.reserve(ask("call-1", 2)) == granted


async def test_a_released_call_repeats_its_release(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))
    await ledger.reserve(ask("call-1", 1))

    first = await ledger.release(a_question("call-1", 2))
    again = await ledger.release(a_question("call-1", 2))

    assert again == first
    assert first.state == "released"
    assert first.context == "adele|IT"


async def test_a_dry_run_changes_and_stores_nothing(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))
    before = await ledger.read_balance("contoso")

    tried = await ledger.reserve(dry(ask("call-1")))
    asked = await ledger.reserve(ask("call-1", content="quite another"))

    assert tried.granted_seconds == 60
    assert asked.granted_seconds == 60
    assert asked.decision_id != tried.decision_id
    assert before.available_micros == 100_000


async def test_other_facts_than_the_accounts_decide_nothing(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000, digest="facts-2"))

    with pytest.raises(FactsStale) as stale:
        await ledger.reserve(ask("call-1", digest="facts-1"))

    assert stale.value.wanted_digest == "facts-2"
    assert (await ledger.reserve(ask("call-1", digest="facts-2"))).granted_seconds == 60


async def test_a_stored_answer_is_given_before_the_facts_are_looked_at(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))
    first = await ledger.reserve(ask("call-1"))
    await ledger.open_account(an_account(100_000, digest="facts-2"))

    assert await ledger.reserve(ask("call-1")) == first


async def test_an_unknown_account_is_not_an_empty_one(ledger: Ledger) -> None:
    with pytest.raises(AccountUnknown):
        await ledger.reserve(ask("call-1"))
    with pytest.raises(AccountUnknown):
        await ledger.read_balance("contoso")


async def test_a_live_call_id_of_another_gateway_is_refused(ledger: Ledger) -> None:
    """D10: its own reason, no shared reservation, the same answer when repeated."""
    await ledger.open_account(an_account(1_000_000))
    first = await ledger.reserve(ask("call-1", 1, gateway="sbc-1"))

    other = await ledger.reserve(ask("call-1", 1, gateway="sbc-2", content="theirs"))
    again = await ledger.reserve(ask("call-1", 1, gateway="sbc-2", content="theirs"))
    balance = await ledger.read_balance("contoso")

    assert other.reason is Reason.CALL_ID_IN_USE
    assert again == other
    assert balance.reserved_micros == 100_000
    assert await ledger.reserve(ask("call-1", 1, gateway="sbc-1")) == first
    with pytest.raises(CallUnknown):
        await ledger.release(a_question("call-1", 2, gateway="sbc-2"))


async def test_a_call_id_is_free_again_when_its_call_is_over(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000_000))
    await ledger.reserve(ask("call-1", 1, gateway="sbc-1"))
    refused = await ledger.reserve(ask("call-1", 1, gateway="sbc-2"))
    await ledger.release(a_question("call-1", 2, gateway="sbc-1"))

    again = await ledger.reserve(ask("call-1", 1, gateway="sbc-2"))
    granted = await ledger.reserve(ask("call-1", 2, gateway="sbc-2"))

    assert again == refused
    assert granted.granted_seconds == 60


async def test_calls_whose_ids_join_to_one_text_stay_apart(ledger: Ledger) -> None:
    """J3: `a:b` and `c` are not `a` and `b:c`; braces and colons in a call id mean nothing."""
    for tenant in ("a:b", "a", "a}"):
        await ledger.open_account(an_account(100_000, tenant=tenant))

    answers = [
        await ledger.reserve(ask(call_id, 1, tenant=tenant))
        for tenant, call_id in (("a:b", "c"), ("a", "b:c"), ("a}", "x@[2001:db8::1]{p1}"))
    ]

    assert [answer.granted_seconds for answer in answers] == [60, 60, 60]
    for tenant in ("a:b", "a", "a}"):
        assert (await ledger.read_balance(tenant)).reserved_micros == 100_000


async def test_reports_of_an_unknown_call_are_told_so(ledger: Ledger) -> None:
    await ledger.open_account(an_account(100_000))

    with pytest.raises(CallUnknown):
        await ledger.release(a_question("call-1"))
    with pytest.raises(CallUnknown):
        await ledger.extend(extend("call-1", 1, 10))
    with pytest.raises(CallUnknown):
        await ledger.settle(a_question("call-1"), 10)


async def test_a_superseded_question_sees_what_was_settled(ledger: Ledger) -> None:
    await ledger.open_account(an_account(1_000))
    await ledger.reserve(ask("call-1", 1, by_the_second()))
    settled = await ledger.settle(a_question("call-1", 7), 20)

    late = await ledger.reserve(ask("call-1", 2, by_the_second()))

    assert late == settled._replace(superseded=True)


def test_fingerprints_differ_where_fields_join_to_the_same_text() -> None:
    fields = [("called", "+39"), ("user", "adele")]

    assert fingerprint(fields) == fingerprint(list(fields))
    assert len(fingerprint(fields)) == 43
    others = (
        [("called", "+3"), ("user", "9adele")],
        [("user", "adele"), ("called", "+39")],
        [("called", "+39"), ("use", "radele")],
        [("called", "+39")],
    )
    assert fingerprint(fields) not in {fingerprint(other) for other in others}
