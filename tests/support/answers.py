"""Answers of the contract as tests want them: a grant of minutes, a grant on credits, a refusal."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.money_pb2 import Money

ITALY = pb.Destination(country="IT", label="Italy, Rome")
ADELE = pb.Payer(kind=pb.PAYER_KIND_USER, tenant_id="contoso", account_id="adele")
POOL = pb.Purse(
    kind=pb.PURSE_KIND_POOL,
    pool_id="US:MCOPSTN1",
    counter="domestic",
    period="2026-11",
    capability="MCOPSTN1",
)
CREDITS = pb.Purse(kind=pb.PURSE_KIND_CREDITS, capability="MCOPSTNPP")


def usd(micros: int) -> Money:
    return Money(micros=micros, currency_code="USD")


def minutes_then_credits() -> pb.AuthorizeCallResponse:
    """Ten minutes to Rome: two of the plan, the rest on credits; the last grant of the call."""
    return pb.AuthorizeCallResponse(
        grant=pb.Grant(
            granted_duration=Duration(seconds=600),
            purse=POOL,
            segments=[
                pb.Segment(purse=POOL, end_offset=Duration(seconds=120)),
                pb.Segment(
                    purse=CREDITS,
                    start_offset=Duration(seconds=120),
                    end_offset=Duration(seconds=600),
                    held=usd(96_000),
                ),
            ],
            report_by_time=Timestamp(seconds=1_795_369_203),
            final=True,
            final_action=pb.FINAL_ACTION_END,
            price=pb.Price(
                rate_id="IT-landline",
                per_minute=usd(12_000),
                connection_fee=usd(50_000),
                first_increment=Duration(seconds=60),
                next_increment=Duration(seconds=6),
            ),
            remaining=pb.Remaining(pool_duration=Duration(seconds=0), available=usd(49_904_000)),
        ),
        decision_id="d-1",
        payer=ADELE,
        called_number="+390612345678",
        destination=ITALY,
    )


def refusal(reason: pb.Reason.ValueType = pb.REASON_CREDITS_EXHAUSTED) -> pb.AuthorizeCallResponse:
    """A call to Rome that 62,000 micros more would have paid."""
    return pb.AuthorizeCallResponse(
        refusal=pb.Refusal(
            reason=reason,
            shortfall=usd(62_000),
            sip_status=402,
            q850_cause=21,
            help_text="The balance does not cover the first minute. Please top up.",
        ),
        decision_id="d-2",
        payer=ADELE,
        called_number="+390612345678",
        destination=ITALY,
    )


def emergency() -> pb.AuthorizeCallResponse:
    return pb.AuthorizeCallResponse(grant=pb.Grant(emergency=True, dial_as="911"))


def explained(answer: pb.AuthorizeCallResponse, remedy: str = "") -> pb.AuthorizeCallResponse:
    """The same answer with two checks, the second one failed where the answer is a no."""
    refused = answer.HasField("refusal")
    answer.explanation.checks.add(
        rule="licence", passed=True, inputs={"user": "adele"}, finding="a plan covers the call"
    )
    answer.explanation.checks.add(
        rule="credits",
        passed=not refused,
        inputs={"available": "0.00 USD", "needed": "0.062 USD"},
        finding="the balance was compared with the first increment",
    )
    if refused:
        answer.refusal.remedy = remedy
    return answer
