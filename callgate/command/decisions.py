"""`callgate decisions`: what was answered, found again, and why."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import click

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.funding import timestamp_of
from callgate.command.money import tenant_option
from callgate.command.terminal import style
from callgate.connection import Connection
from callgate.v1 import authorization_pb2 as calls_pb
from callgate.v1 import decisions_pb2 as pb

_PAGE_SIZE = 1_000
_REASONS = sorted(
    name.removeprefix("REASON_").lower().replace("_", "-") for name in calls_pb.Reason.keys()[1:]
)
_OUTCOMES = [
    name.removeprefix("DECISION_OUTCOME_").lower() for name in pb.DecisionOutcome.keys()[1:]
]
_TEXTS = ("number", "account_id", "call_id", "gateway_id")


@click.command(epilog=EPILOG)
@click.argument("decision_id", required=False)
@tenant_option
@click.option("--number", metavar="N", help="Called, dialled or calling, in any spelling.")
@click.option("--user", "account_id", metavar="U", help="The account that calls or pays.")
@click.option("--call-id", metavar="ID", help="The SIP Call-ID.")
@click.option("--gateway", "gateway_id", metavar="ID", help="Who asked.")
@click.option("--reason", type=click.Choice(_REASONS), help="Why it was refused.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="What was answered.")
@click.option("--from", "since", metavar="DATE", type=click.DateTime(), help="From then on, UTC.")
@click.option("--to", "until", metavar="DATE", type=click.DateTime(), help="Before then, UTC.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="How many."
)
@json_option
@address_option
def decisions(
    *, decision_id: str | None, tenant: str, as_json: bool, address: str, limit: int, **given: Any
) -> None:
    """Find decisions again, the newest first; with a decision's id, tell why.

    \u0008
    callgate decisions --tenant contoso --number "06 1234 5678" --outcome refusal
    callgate decisions --tenant contoso --user adele --from 2026-12-01T10:40:00
    callgate decisions --tenant contoso 8c1f0a5f9f3e00000001
    """
    if decision_id:
        _tell(tenant, decision_id, address, as_json=as_json)
        return
    question = _question(tenant, limit, given)
    with connected(address) as engine:
        found = pb.FindDecisionsResponse(
            decisions=itertools.islice(_pages(engine, question), limit)
        )
    print_answer(found, as_json, lambda: _table(found))


def _tell(tenant: str, decision_id: str, address: str, *, as_json: bool) -> None:
    question = pb.GetDecisionRequest(tenant_id=tenant, decision_id=decision_id)
    with connected(address) as engine:
        answer: pb.GetDecisionResponse = engine.ask_decisions("GetDecision", question)
    print_answer(answer, as_json, lambda: "\n".join(_why(answer)))


def _question(tenant: str, limit: int, given: dict[str, Any]) -> pb.FindDecisionsRequest:
    question = pb.FindDecisionsRequest(tenant_id=tenant, page_size=min(limit, _PAGE_SIZE))
    for name in _TEXTS:
        setattr(question, name, given[name] or "")
    if given["reason"]:
        name = given["reason"].upper().replace("-", "_")
        question.reason = calls_pb.Reason.Value(f"REASON_{name}")
    if given["outcome"]:
        name = given["outcome"].upper()
        question.outcome = pb.DecisionOutcome.Value(f"DECISION_OUTCOME_{name}")
    if given["since"] is not None:
        question.start_time.CopyFrom(timestamp_of(given["since"]))
    if given["until"] is not None:
        question.end_time.CopyFrom(timestamp_of(given["until"]))
    return question


def _pages(engine: Connection, question: pb.FindDecisionsRequest) -> Iterator[pb.Decision]:
    while True:
        page: pb.FindDecisionsResponse = engine.ask_decisions("FindDecisions", question)
        yield from page.decisions
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _table(found: pb.FindDecisionsResponse) -> str:
    if not found.decisions:
        return "No such decision is kept."
    rows = [("time", "what", "of", "number", "call", "decision")]
    rows += [
        (
            words.clock(each.decide_time),
            _what(each),
            " ".join(each.account_ids) or each.payer,
            each.far_number or each.dialled_number or each.calling_number,
            each.call_id,
            each.decision_id,
        )
        for each in found.decisions
    ]
    return words.table(rows)


def _what(decision: pb.Decision) -> str:
    if decision.outcome == pb.DECISION_OUTCOME_REFUSAL:
        return words.reason(decision.reason)
    outcome = pb.DecisionOutcome.Name(decision.outcome).removeprefix("DECISION_OUTCOME_").lower()
    if decision.HasField("used_duration"):
        return f"{outcome}, {words.minutes(decision.used_duration)} used"
    if decision.HasField("granted_duration"):
        return f"{outcome}, {words.minutes(decision.granted_duration)}"
    return outcome


def _why(answer: pb.GetDecisionResponse) -> Iterator[str]:
    decision, refusal = answer.decision, answer.refusal
    yield style(f"{decision.decision_id}: {_what(decision)}", bold=True)
    for label, text in (
        ("time", words.clock(decision.decide_time)),
        ("call", f"{decision.call_id} of {decision.gateway_id}, question {decision.sequence}"),
        ("kind", " ".join(filter(None, (decision.verb, decision.kind)))),
        ("accounts", " ".join(decision.account_ids)),
        ("payer", decision.payer),
        ("dialled", decision.dialled_number),
        ("caller", decision.calling_number),
        ("far end", " ".join(filter(None, (decision.far_number, decision.country)))),
        ("purses", " ".join(decision.purses)),
        ("held", words.money(decision.held) if decision.held.micros else ""),
        ("debited", words.money(decision.debited) if decision.debited.micros else ""),
        ("shortfall", words.money(decision.shortfall) if decision.shortfall.micros else ""),
        ("because", refusal.help_text),
        (
            "ending",
            f"SIP {refusal.sip_status}, cause {refusal.q850_cause}" if refusal.reason else "",
        ),
        ("remedy", refusal.remedy),
    ):
        if text:
            yield f"  {label:<11}{text}"
    for check in answer.explanation.checks:
        said = " ".join(f"{name}={check.inputs[name]}" for name in sorted(check.inputs))
        verdict = "passed" if check.passed else "FAILED"
        yield f"  {verdict}  {check.rule}: {check.finding} {said}"
