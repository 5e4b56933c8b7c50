"""Decisions found again through an engine, by who may see them, and nothing of anybody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from callgate.command.commands import callgate
from callgate.v1 import authorization_pb2 as calls_pb
from callgate.v1 import decisions_pb2 as pb
from callgate.v1.decisions_pb2_grpc import DecisionServiceStub
from engines import Engine, a_question, failure_of, running_engine, wait_until
from identities import TOKENS, identity

# To Japan, where adele may not call.
REFUSED = "+81312345678"
_PROBES = 400


def bearer(name: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {TOKENS[name]}"),)


@dataclass(frozen=True, slots=True)
class House:
    engine: Engine
    stub: DecisionServiceStub

    def ask(self, number: str, **changes: Any) -> calls_pb.AuthorizeCallResponse:
        question = a_question(number, **changes)
        return self.engine.stub.AuthorizeCall(question, metadata=bearer("bridge"), timeout=5)

    def find(self, who: str = "reader", **sought: Any) -> list[pb.Decision]:
        question = pb.FindDecisionsRequest(**{"tenant_id": "contoso", **sought})
        answer = self.stub.FindDecisions(question, metadata=bearer(who), timeout=5)
        return list(answer.decisions)

    def why(self, decision_id: str, who: str = "reader", tenant: str = "contoso") -> Any:
        question = pb.GetDecisionRequest(tenant_id=tenant, decision_id=decision_id)
        return self.stub.GetDecision(question, metadata=bearer(who), timeout=5)

    def arrived(self, answer: calls_pb.AuthorizeCallResponse) -> str:
        """Wait until a decision is in the archive."""
        wait_until(lambda: self.find(decision_id=answer.decision_id))
        return answer.decision_id

    def command(self, *arguments: str) -> Result:
        typed = ["decisions", "--tenant", "contoso", "--address", self.engine.address, *arguments]
        return CliRunner().invoke(callgate, [*typed, "--token", TOKENS["reader"]])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("engine")
    path = folder / "identities.toml"
    stranger = identity("nobody", "reader", "tenant-administrator", tenants='["fabrikam"]')
    path.write_text(
        identity("bridge", "bridge", tenants='["contoso"]')
        + identity("reader", "reader", tenants='["contoso"]')
        + stranger
        + identity("operator", "operator", tenants='"all"')
    )
    with (
        running_engine(folder, identities=path, keep_explanations="refused") as engine,
        grpc.insecure_channel(engine.address) as channel,
    ):
        yield House(engine, DecisionServiceStub(channel))


def test_why_it_was_refused_is_told_with_each_check(house: House) -> None:
    answer = house.ask(REFUSED, user_id="ghost")
    assert answer.refusal.reason == calls_pb.REASON_USER_UNKNOWN

    told = house.why(house.arrived(answer))

    assert told.refusal.reason == calls_pb.REASON_USER_UNKNOWN
    assert told.refusal.sip_status == answer.refusal.sip_status
    assert told.refusal.help_text == answer.refusal.help_text
    assert told.refusal.remedy == "Add the account 'ghost' to the directory of contoso."
    assert [(check.rule, check.passed) for check in told.explanation.checks] == [("payer", False)]
    assert json.loads(told.record)["reason"] == "USER_UNKNOWN"


def test_the_checks_of_a_usual_refusal_are_those_that_an_explanation_tells(house: House) -> None:
    """It goes the fast way, where nothing is explained."""
    blocked = "+19005550123"
    wanted = house.ask(blocked, explain=True)
    assert wanted.HasField("refusal")

    told = house.why(house.arrived(house.ask(blocked)))

    names = [(check.rule, check.passed, check.finding) for check in told.explanation.checks]
    assert names == [
        (check.rule, check.passed, check.finding) for check in wanted.explanation.checks
    ]
    assert told.refusal.remedy == wanted.refusal.remedy
    assert "19005550123" not in told.record


@pytest.mark.parametrize(
    "spelling", ["+39 06 1234 5678", "0039 06 12345678", "01139-06-12345678", "+390612345678"]
)
def test_a_call_is_found_by_its_number_in_any_spelling(house: House, spelling: str) -> None:
    decision_id = house.arrived(house.ask("+390612345678"))

    found = house.find(number=spelling)

    assert decision_id in {each.decision_id for each in found}
    assert {each.far_number for each in found} == {"+39061234****"}
    assert not house.find(number="+390612345679")


def test_a_call_is_found_by_user_call_id_reason_and_time(house: House) -> None:
    question = a_question("+14255550177")
    answer = house.engine.stub.AuthorizeCall(question, metadata=bearer("bridge"), timeout=5)
    decision_id = house.arrived(answer)
    refused = house.arrived(house.ask("+14255550178", user_id="ghost"))

    def found(**sought: Any) -> set[str]:
        return {each.decision_id for each in house.find(page_size=1_000, **sought)}

    assert found(call_id=question.call_id) == {decision_id}
    assert decision_id in found(account_id="adele")
    assert refused in found(reason=calls_pb.REASON_USER_UNKNOWN)
    assert decision_id not in found(reason=calls_pb.REASON_USER_UNKNOWN)
    assert found(start_time=answer.decide_time) >= {decision_id, refused}
    assert decision_id not in found(end_time=answer.decide_time)


def test_the_report_that_ended_a_call_is_found_beside_its_decision(house: House) -> None:
    question = a_question("+14255550123")
    house.engine.stub.AuthorizeCall(question, metadata=bearer("bridge"), timeout=5)
    end = calls_pb.SettleCallRequest(
        tenant_id="contoso", gateway_id="sbc-1", call_id=question.call_id, sequence=2
    )
    end.used_duration.FromSeconds(42)
    house.engine.stub.SettleCall(end, metadata=bearer("bridge"), timeout=5)

    wait_until(lambda: len(house.find(call_id=question.call_id)) == 2)

    settled, granted = house.find(call_id=question.call_id)
    assert (settled.verb, settled.used_duration.seconds) == ("settle", 42)
    assert (granted.outcome, granted.kind) == (pb.DECISION_OUTCOME_GRANT, "user")


def test_pages_of_a_list_lead_through_all_of_it_and_into_no_other(house: House) -> None:
    for _ in range(3):
        house.arrived(house.ask("+14255550188"))
    question = pb.FindDecisionsRequest(tenant_id="contoso", number="+14255550188", page_size=2)

    first = house.stub.FindDecisions(question, metadata=bearer("reader"), timeout=5)
    question.page_token = first.next_page_token
    second = house.stub.FindDecisions(question, metadata=bearer("reader"), timeout=5)
    question.number = "+14255550189"
    other = failure_of(
        lambda: house.stub.FindDecisions(question, metadata=bearer("reader"), timeout=5)
    )

    ids = [each.decision_id for each in (*first.decisions, *second.decisions)]
    assert (len(ids), len(set(ids)), second.next_page_token) == (3, 3, "")
    assert other.code is grpc.StatusCode.INVALID_ARGUMENT


def test_nobody_finds_anything_of_a_tenant_that_is_not_theirs(house: House) -> None:
    decision_id = house.arrived(house.ask("+14255550123"))
    forms: list[dict[str, Any]] = [
        {},
        {"number": "+14255550123"},
        {"decision_id": decision_id},
        {"account_id": "adele"},
        {"outcome": pb.DECISION_OUTCOME_GRANT},
    ]

    for probe in range(_PROBES):
        sought = forms[probe % len(forms)]
        assert house.find("nobody", tenant_id="fabrikam", **sought) == []
        failed = failure_of(partial(house.find, "nobody", **sought))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "TENANT_FORBIDDEN",
        )
    theirs = failure_of(lambda: house.why(decision_id, "nobody"))
    unknown = failure_of(lambda: house.why(decision_id, "nobody", "fabrikam"))
    assert theirs.reason == "TENANT_FORBIDDEN"
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "DECISION_UNKNOWN")
    assert failure_of(lambda: house.find("bridge")).reason == "ROLE_MISSING"


@pytest.mark.parametrize(
    "sought",
    [
        {"reason": 9_999},
        {"outcome": 99},
        {"page_size": -1},
        {"page_token": "x"},
        {"number": "\n"},
        {"call_id": "ä"},
        {"account_id": "a b"},
        {"gateway_id": " "},
        {"decision_id": "x" * 999},
    ],
    ids=str,
)
def test_what_cannot_be_sought_names_its_field(house: House, sought: dict[str, Any]) -> None:
    failed = failure_of(lambda: house.find(**sought))

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.metadata["field"] == next(iter(sought))


def test_the_command_finds_and_tells_why(house: House) -> None:
    decision_id = house.arrived(house.ask(REFUSED, user_id="ghost"))

    found = house.command("--number", REFUSED, "--outcome", "refusal")
    told = house.command(decision_id)

    assert found.exit_code == told.exit_code == 0, found.output + told.output
    assert decision_id in found.output
    assert "user unknown" in found.output
    assert "Add the account 'ghost' to the directory of contoso." in told.output
    assert "FAILED  payer" in told.output
    nothing = house.command("--number", "+14255559999")
    assert nothing.output == "No such decision is kept.\n"
    unknown = house.command("0" * 20)
    assert (unknown.exit_code, "DECISION_UNKNOWN" in unknown.output) == (2, True), unknown.output
