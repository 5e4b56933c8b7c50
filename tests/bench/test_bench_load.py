"""The load of the benchmark is honest, and its answers are judged."""

from __future__ import annotations

import itertools

import pytest

from bench.facts import Shape, country_of
from bench.learned import Learned, Template
from bench.plot import bars
from bench.questions import Asked, WrongAnswer, check_answers, one_of_each_kind, questions
from bench.results import RATIOS, TITLES, gather, table
from bench.servers import NGHTTP2, Measured
from bench.straight import StoreFigures
from callgate.v1 import authorization_pb2 as pb
from policy.numbering import read_number

SHAPE = Shape()
# The keys that whoever reads the figures relies on.
KEYS = {
    "echo_grpcio_cpu_us",
    "authorize_grpcio_cpu_us",
    "authorize_nghttp2_cpu_us",
    "authorize_nghttp2_tls_cpu_us",
    "authorize_go_cpu_us",
    "control_cpu_us",
    "control_decisions_per_s",
    "redis_limit_per_s",
    "redis_cpu_per_reserve_us",
    "redis_cpu_per_small_fcall_us",
    "p50_us",
    "p99_us",
    "growth_users",
    "growth_prefixes",
    "growth_running_calls",
    "growth_workers",
}


def asked(count: int, *, national: bool = False) -> list[Asked]:
    return list(itertools.islice(questions(SHAPE, "test", national=national), count))


def granted(question: Asked, decision_id: str = "decision-1") -> pb.AuthorizeCallResponse:
    answer = pb.AuthorizeCallResponse(
        decision_id=decision_id,
        called_number=question.called_number,
        payer=pb.Payer(tenant_id=question.tenant_id, account_id=question.user_id),
    )
    answer.grant.purse.kind = pb.PURSE_KIND_POOL
    answer.grant.granted_duration.seconds = 300
    return answer


def a_question_that_minutes_pay() -> Asked:
    return next(one for one in asked(100) if one.profile == "pool")


def test_no_call_id_comes_twice_and_hardly_a_callee() -> None:
    load = asked(5_000)

    assert len({one.call_id for one in load}) == 5_000
    assert len({one.called_number for one in load}) > 4_950


def test_two_loads_never_ask_about_the_same_call() -> None:
    other = itertools.islice(questions(SHAPE, "other"), 100)

    assert not {one.call_id for one in asked(100)} & {one.call_id for one in other}


def test_a_fifth_is_refused() -> None:
    load = asked(5_000)

    assert sum(one.is_refused for one in load) / len(load) == pytest.approx(0.2, abs=0.02)


def test_a_fifth_is_spelled_nationally_and_means_the_same_number() -> None:
    load = asked(5_000, national=True)

    spelled = [one for one in load if one.dialled != one.called_number]

    assert len(spelled) / len(load) == pytest.approx(0.2, abs=0.02)
    for one in spelled:
        country = country_of(int(one.tenant_id[-3:]))
        assert read_number(one.dialled, country) == one.called_number


def test_each_kind_of_question_is_asked_once_when_learning() -> None:
    kinds = [one.kind for one in one_of_each_kind(SHAPE, "test")]

    assert len(kinds) == len(set(kinds)) == 16


def test_a_right_answer_passes() -> None:
    question = a_question_that_minutes_pay()

    check_answers([question], [granted(question)])


@pytest.mark.parametrize("wrong", ["called_number", "account_id", "purse", "nothing_granted"])
def test_a_wrong_answer_is_no_figure(wrong: str) -> None:
    question = a_question_that_minutes_pay()
    answer = granted(question)
    if wrong == "called_number":
        answer.called_number += "0"
    elif wrong == "account_id":
        answer.payer.account_id = "somebody-else"
    elif wrong == "purse":
        answer.grant.purse.kind = pb.PURSE_KIND_CREDITS
    else:
        answer.grant.granted_duration.seconds = 0

    with pytest.raises(WrongAnswer):
        check_answers([question], [answer])


def test_one_decision_told_twice_is_a_wrong_answer() -> None:
    question = a_question_that_minutes_pay()

    with pytest.raises(WrongAnswer, match="share the decision"):
        check_answers([question] * 2, [granted(question)] * 2)


def test_what_was_learned_of_one_call_is_filled_in_for_another() -> None:
    question = a_question_that_minutes_pay()
    context = "{user}|{number}\x1f\x1f|rate"
    template = Template(
        ("{now_ms}", "{tenant}\x1d{digest}\x1dF", "{call}", context), granted(question)
    )

    learned = Learned({question.kind: template}, {question.tenant_id: "digest-1"})
    words = learned.command(question, 1_795_000_000_000)

    assert words[:3] == ("FCALL", "callgate_v1_reserve_first", "4")
    assert words[7:9] == ("1795000000000", f"{question.tenant_id}\x1ddigest-1\x1dF")
    assert words[9] == question.call_id
    assert words[10] == f"{question.user_id}|{question.called_number}\x1f\x1f|rate"


def test_results_have_every_key_and_say_why_one_is_null() -> None:
    store = {"reserve": StoreFigures(40_000.0, 25.0), "small": StoreFigures(90_000.0, 10.0)}

    results = gather({NGHTTP2: Measured()}, {"authorize_go_pooled": "no Go"}, store=store, grown={})

    assert results.keys() >= KEYS
    assert results["authorize_go_cpu_us"] is None
    assert results["not_measured"]["authorize_go"] == "no Go"
    assert results["ratios"]["CPU of the store, reserve / three commands"] == 2.5
    assert all(name in table(results) for name, *_ in RATIOS)


def test_the_plot_has_a_bar_for_what_was_measured_and_none_for_the_rest() -> None:
    results = {f"{name}_cpu_us": None for name in TITLES} | {
        f"{NGHTTP2}_cpu_us": 50.0,
        "machine": {"cpu": "a & b"},
        "date": "2026-11-22T00:00:00+00:00",
    }

    drawn = bars(results)

    assert drawn.count("<rect") == 1
    assert "a &amp; b" in drawn
