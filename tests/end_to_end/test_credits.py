"""The CreditService of a real engine with its keeper: money in, out, back, and told of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import credits_pb2 as pb
from callgate.v1.authorization_pb2 import SettleCallRequest
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.money_pb2 import Money
from engines import Engine, a_question, failure_of, running_engine, wait_until
from watching import CREDITS_CALL

UNIT = 1_000_000
# Prepaid, in USD; the sample gives it a balance of its own.
TENANT = "contoso"
# Another one like it.
OTHER = "fourthcoffee"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = {"payments": "rehearsal", "minimum_funding_units": 20, "max_balance_units": 5_000}
    with running_engine(tmp_path_factory.mktemp("engine"), **settings) as engine:
        yield engine


@pytest.fixture(scope="module")
def teller(engine: Engine) -> Iterator[CreditServiceStub]:
    with grpc.insecure_channel(engine.address) as channel:
        yield CreditServiceStub(channel)


def usd(units: float) -> Money:
    return Money(micros=round(units * UNIT), currency_code="USD")


def top_up(request_id: str, units: float, **changes: object) -> pb.TopUpRequest:
    fields: dict[str, object] = {
        "tenant_id": TENANT,
        "request_id": request_id,
        "amount": usd(units),
    }
    return pb.TopUpRequest(**(fields | changes))  # type: ignore[arg-type] # What a test says.


def balance(teller: CreditServiceStub, tenant: str = TENANT) -> int:
    return teller.GetBalance(pb.GetBalanceRequest(tenant_id=tenant)).balance.micros


def archived(teller: CreditServiceStub, **what: str) -> None:
    """Wait until the archive knows a movement."""

    def known() -> bool:
        request = pb.GetStatementRequest(tenant_id=TENANT, page_size=1_000)
        lines = teller.GetStatement(request).lines
        return any(all(getattr(line, k) == v for k, v in what.items()) for line in lines)

    wait_until(known, seconds=10)


def test_a_top_up_is_made_once_for_its_request_and_answered_alike(
    teller: CreditServiceStub,
) -> None:
    before = balance(teller)

    answers = [teller.TopUp(top_up("t-1", 25)) for _ in range(3)]

    assert balance(teller) == before + 25 * UNIT
    assert len({answer.SerializeToString() for answer in answers}) == 1


def test_a_request_id_with_another_content_is_a_conflict(teller: CreditServiceStub) -> None:
    teller.TopUp(top_up("t-2", 25))
    before = balance(teller)

    failed = failure_of(lambda: teller.TopUp(top_up("t-2", 26)))

    assert (failed.code, failed.reason) == (grpc.StatusCode.ALREADY_EXISTS, "FUNDING_REUSED")
    assert balance(teller) == before


@pytest.mark.parametrize("how", ["top up", "transfer"])
def test_an_amount_that_no_balance_can_hold_is_an_invalid_argument_and_keeps_its_id(
    teller: CreditServiceStub, how: str
) -> None:
    before = balance(teller), balance(teller, OTHER)
    most = Money(micros=2**53 - 1, currency_code="USD")
    request: pb.TopUpRequest | pb.TransferRequest = top_up("t-large", 0, amount=most)
    ask: Callable[[Any], object] = teller.TopUp
    if how == "transfer":
        request = pb.TransferRequest(
            tenant_id=TENANT, to_tenant_id=OTHER, request_id="x-large", amount=most
        )
        ask = teller.Transfer

    failed = failure_of(lambda: ask(request))
    held = balance(teller), balance(teller, OTHER)
    request.amount.CopyFrom(usd(25))
    ask(request)

    assert (failed.code, failed.metadata) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"field": "amount.micros"},
    )
    assert held == before
    assert balance(teller, OTHER if how == "transfer" else TENANT) > before[how == "transfer"]


def test_a_transfer_keeps_to_the_receivers_limit_and_region(teller: CreditServiceStub) -> None:
    before = balance(teller), balance(teller, OTHER)
    limited = pb.UpdateFundingRequest(tenant_id=OTHER, max_balance=usd(1))
    teller.UpdateFunding(limited)
    too_much = failure_of(lambda: teller.Transfer(a_transfer("x-limit")))
    teller.UpdateFunding(
        pb.UpdateFundingRequest(tenant_id=OTHER, max_balance=usd(0), billing_country="FR")
    )
    abroad = failure_of(lambda: teller.Transfer(a_transfer("x-region")))
    teller.UpdateFunding(pb.UpdateFundingRequest(tenant_id=OTHER, billing_country="US"))

    assert too_much.reason == "MAX_BALANCE"
    assert abroad.reason == "REGION_MISMATCH"
    assert (balance(teller), balance(teller, OTHER)) == before


def a_transfer(request_id: str) -> pb.TransferRequest:
    return pb.TransferRequest(
        tenant_id=TENANT, to_tenant_id=OTHER, request_id=request_id, amount=usd(1)
    )


@pytest.mark.parametrize("units", [0, -5, 19.99])
def test_a_top_up_of_nothing_or_too_little_moves_nothing(
    teller: CreditServiceStub, units: float
) -> None:
    """D4: nothing comes in, so nothing is unblocked."""
    before = balance(teller)

    failed = failure_of(lambda: teller.TopUp(top_up(f"t-small{units}", units)))

    assert failed.code in {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
    assert balance(teller) == before


def test_a_declined_top_up_unblocks_nothing(engine: Engine, teller: CreditServiceStub) -> None:
    """D4: the provider declines; asked again by the same id it is declined still."""
    tenant = "fabrikam"
    teller.UpdateFunding(pb.UpdateFundingRequest(tenant_id=tenant, payment_customer="declines"))
    before = balance(teller, tenant)
    request = top_up("t-card", 20, tenant_id=tenant, charge=True, amount=_in(tenant, teller, 20))

    first = failure_of(lambda: teller.TopUp(request))
    again = failure_of(lambda: teller.TopUp(request))

    assert first.reason == again.reason == "PAYMENT_DECLINED"
    assert balance(teller, tenant) == before


def test_a_charged_top_up_comes_in_once(teller: CreditServiceStub) -> None:
    before = balance(teller)

    answers = [teller.TopUp(top_up("t-pays", 30, charge=True)) for _ in range(2)]

    assert answers[0].charge.state == pb.CHARGE_STATE_CREDITED
    assert answers[0].lot == answers[1].lot
    assert balance(teller) == before + 30 * UNIT


def test_a_balance_never_grows_beyond_its_limit(teller: CreditServiceStub) -> None:
    """F7: refused with its reason, and the same again for the same request."""
    first = failure_of(lambda: teller.TopUp(top_up("t-much", 5_000)))
    again = failure_of(lambda: teller.TopUp(top_up("t-much", 5_000)))

    assert first == again
    assert (first.code, first.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MAX_BALANCE")


def test_a_foreign_billing_address_buys_nothing_without_an_override(
    teller: CreditServiceStub,
) -> None:
    """F11: refused with that reason; a recorded override lets the next request through."""
    change = pb.UpdateFundingRequest(tenant_id=TENANT, billing_country="DE")
    teller.UpdateFunding(change)
    failed = failure_of(lambda: teller.TopUp(top_up("t-abroad", 20)))

    teller.UpdateFunding(pb.UpdateFundingRequest(tenant_id=TENANT, region_override="ticket 4711"))
    answer = teller.TopUp(top_up("t-override", 20))

    assert failed.reason == "REGION_MISMATCH"
    assert answer.lot.amount == usd(20)
    teller.UpdateFunding(
        pb.UpdateFundingRequest(tenant_id=TENANT, billing_country="", region_override="")
    )


def test_a_new_lot_leaves_the_expiry_of_the_others_as_it_was(teller: CreditServiceStub) -> None:
    """E11: no top-up extends money bought before; the list of lots shows it."""
    soon = Timestamp(seconds=int(time.time()) + 3_600)
    teller.TopUp(top_up("t-soon", 20, expire_time=soon))
    archived(teller, lot_id="top_up:t-soon")

    teller.TopUp(top_up("t-later", 20))
    archived(teller, lot_id="top_up:t-later")

    lots = teller.ListLots(pb.ListLotsRequest(tenant_id=TENANT)).lots
    assert lots[0].lot_id == "top_up:t-soon"
    assert lots[0].expire_time == soon
    assert [lot.expire_time.seconds for lot in lots] == sorted(
        lot.expire_time.seconds for lot in lots
    )


def test_a_refund_goes_back_to_the_lot_that_paid(teller: CreditServiceStub) -> None:
    archived(teller, lot_id=f"opening:{TENANT}")
    first = teller.ListLots(pb.ListLotsRequest(tenant_id=TENANT)).lots[0]
    debit = pb.DebitRequest(tenant_id=TENANT, request_id="d-1", amount=usd(3), note="a fax")
    teller.Debit(debit)
    archived(teller, reference_id="debit:d-1")
    before = balance(teller)

    request = pb.RefundRequest(
        tenant_id=TENANT, request_id="r-1", debit_request_id="d-1", amount=usd(1)
    )
    answer = teller.Refund(request)
    too_much = failure_of(
        lambda: teller.Refund(
            pb.RefundRequest(
                tenant_id=TENANT, request_id="r-2", debit_request_id="d-1", amount=usd(2.01)
            )
        )
    )

    assert [(part.lot_id, part.amount) for part in answer.parts] == [(first.lot_id, usd(1))]
    assert too_much.reason == "REFUND_TOO_LARGE"
    assert balance(teller) == before + UNIT


def test_what_a_call_holds_cannot_be_debited(engine: Engine, teller: CreditServiceStub) -> None:
    assert engine.ask(a_question(CREDITS_CALL)).HasField("grant")
    now = teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT))

    request = pb.DebitRequest(tenant_id=TENANT, request_id="d-all", amount=now.balance)
    failed = failure_of(lambda: teller.Debit(request))

    assert failed.reason == "FUNDS_MISSING"
    assert failed.metadata["shortfall_micros"] == str(now.reserved.micros) != "0"


def test_a_statement_adds_up_line_by_line_and_page_by_page(teller: CreditServiceStub) -> None:
    for number in range(4):
        teller.TopUp(top_up(f"t-line{number}", 20))
    archived(teller, lot_id="top_up:t-line3")
    lines: list[pb.StatementLine] = []
    token, openings = "", []
    while True:
        page = teller.GetStatement(
            pb.GetStatementRequest(tenant_id=TENANT, page_size=3, page_token=token)
        )
        openings.append(page.opening_balance.micros)
        lines += page.lines
        token = page.next_page_token
        if not token:
            break

    running = 0
    for line in lines:
        running += line.amount.micros
        assert line.balance.micros == running
    assert openings[0] == 0
    assert running == balance(teller)


def test_the_balance_at_a_past_time_is_what_the_statement_says(teller: CreditServiceStub) -> None:
    teller.TopUp(top_up("t-past", 20))
    archived(teller, lot_id="top_up:t-past")
    page = teller.GetStatement(pb.GetStatementRequest(tenant_id=TENANT, page_size=1_000))
    line = page.lines[-2]

    then = teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT, at_time=line.time))
    never = teller.GetBalance(
        pb.GetBalanceRequest(tenant_id=TENANT, at_time=Timestamp(seconds=1_000))
    )

    assert then.balance == line.balance
    assert not never.HasField("balance")


def _in(tenant: str, teller: CreditServiceStub, units: int) -> Money:
    currency = teller.GetBalance(pb.GetBalanceRequest(tenant_id=tenant)).balance.currency_code
    return Money(micros=units * UNIT, currency_code=currency)


def test_a_call_is_on_the_statement_and_can_be_refunded(
    engine: Engine, teller: CreditServiceStub
) -> None:
    question = a_question(CREDITS_CALL)
    granted = engine.ask(question)
    settled = engine.stub.SettleCall(
        SettleCallRequest(
            tenant_id=TENANT,
            gateway_id=question.gateway_id,
            call_id=question.call_id,
            sequence=2,
            used_duration=Duration(seconds=30),
        )
    )
    archived(teller, call_id=question.call_id)
    lines = teller.GetStatement(pb.GetStatementRequest(tenant_id=TENANT, page_size=1_000)).lines
    (line,) = [line for line in lines if line.call_id == question.call_id]
    before = balance(teller)

    def refund(request_id: str) -> pb.RefundResponse:
        return teller.Refund(
            pb.RefundRequest(tenant_id=TENANT, request_id=request_id, decision_id=line.decision_id)
        )

    answer = refund("r-call")
    again = failure_of(lambda: refund("r-again"))

    charged = settled.usages[0].debited.micros
    assert line.kind == pb.STATEMENT_KIND_CALL
    assert line.amount.micros == -charged < 0
    assert (line.decision_id, line.account_id) == (granted.decision_id, "adele")
    assert answer.amount.micros == charged
    assert balance(teller) == before + charged
    assert again.reason == "REFUND_TOO_LARGE"


def test_a_transfer_moves_only_what_no_call_holds(
    engine: Engine, teller: CreditServiceStub
) -> None:
    """A9: a call holds something; the rest moves as a debit and a top-up joined by one record."""
    teller.TopUp(top_up("t-a9", 20))
    answer = engine.ask(a_question(CREDITS_CALL))
    before = teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT))
    there = balance(teller, OTHER)
    assert answer.HasField("grant")
    assert before.reserved.micros > 0

    def transfer(request_id: str, micros: int) -> pb.TransferResponse:
        amount = Money(micros=micros, currency_code="USD")
        return teller.Transfer(
            pb.TransferRequest(
                tenant_id=TENANT, request_id=request_id, to_tenant_id=OTHER, amount=amount
            )
        )

    failed = failure_of(lambda: transfer("a9-all", before.balance.micros))
    answers = [transfer("a9-rest", before.available.micros) for _ in range(2)]

    after = teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT))
    assert failed.reason == "FUNDS_MISSING"
    assert answers[0] == answers[1]
    assert after.available.micros == 0
    assert after.reserved == before.reserved
    assert balance(teller, OTHER) == there + before.available.micros


def test_a_credit_limit_lets_calls_go_on_below_zero(
    engine: Engine, teller: CreditServiceStub
) -> None:
    left = teller.GetBalance(pb.GetBalanceRequest(tenant_id=TENANT)).available
    if left.micros > 0:
        teller.Debit(pb.DebitRequest(tenant_id=TENANT, request_id="d-left", amount=left))
    refused = engine.ask(a_question(CREDITS_CALL))
    request = pb.SetCreditLimitRequest(tenant_id=TENANT, request_id="l-1", credit_limit=usd(5))
    teller.SetCreditLimit(request)

    granted = engine.ask(a_question(CREDITS_CALL))

    assert refused.HasField("refusal")
    assert granted.HasField("grant")


def test_a_frozen_account_grants_nothing_and_a_closed_one_takes_nothing(
    engine: Engine, teller: CreditServiceStub
) -> None:
    """D5: new calls are refused at once; closing is for good."""
    teller.FreezeAccount(pb.FreezeAccountRequest(tenant_id=OTHER, request_id="f-1"))
    teller.UnfreezeAccount(pb.UnfreezeAccountRequest(tenant_id=OTHER, request_id="f-2"))
    teller.CloseAccount(pb.CloseAccountRequest(tenant_id=OTHER, request_id="f-3", note="moved"))

    request = top_up("t-closed", 20, tenant_id=OTHER)
    refused = failure_of(lambda: teller.TopUp(request))
    unfreeze = pb.UnfreezeAccountRequest(tenant_id=OTHER, request_id="f-4")
    stuck = failure_of(lambda: teller.UnfreezeAccount(unfreeze))

    assert refused.reason == stuck.reason == "ACCOUNT_CLOSED"
    assert teller.GetFunding(pb.GetFundingRequest(tenant_id=OTHER)).funding.closed


def test_auto_recharge_fills_a_balance_up_by_itself(teller: CreditServiceStub) -> None:
    """The keeper of a real engine charges and credits; the charge is listed."""
    trigger = Money(micros=balance(teller) + UNIT, currency_code="USD")
    recharge = pb.AutoRecharge(enabled=True, trigger=trigger, amount=usd(20))
    change = pb.UpdateFundingRequest(
        tenant_id=TENANT, auto_recharge=recharge, payment_customer="pays"
    )
    etag = teller.UpdateFunding(change).funding.etag

    def recharges() -> list[pb.ChargeState.ValueType]:
        listed = teller.ListCharges(pb.ListChargesRequest(tenant_id=TENANT)).charges
        return [charge.state for charge in listed if charge.crossing]

    wait_until(lambda: recharges() == [pb.CHARGE_STATE_CREDITED], seconds=15)
    late = failure_of(
        lambda: teller.UpdateFunding(
            pb.UpdateFundingRequest(tenant_id=TENANT, payment_customer="x", etag="0" * 8)
        )
    )

    assert balance(teller) >= trigger.micros
    assert late.reason == "FUNDING_CHANGED"
    assert teller.GetFunding(pb.GetFundingRequest(tenant_id=TENANT)).funding.etag == etag


@pytest.mark.parametrize(
    ("micros", "told"),
    [
        (20_005_000, "a multiple of 0.01 USD"),
        (19_990_000, "at least the minimum funding, 20.00 USD"),
        (5_001 * UNIT, "at most the largest balance, 5000.00 USD"),
    ],
)
def test_a_recharge_that_could_never_be_charged_is_refused_when_it_is_set(
    teller: CreditServiceStub, micros: int, told: str
) -> None:
    amount = Money(micros=micros, currency_code="USD")
    recharge = pb.AutoRecharge(enabled=True, trigger=usd(10), amount=amount)
    before = teller.GetFunding(pb.GetFundingRequest(tenant_id=TENANT))

    failed = failure_of(
        lambda: teller.UpdateFunding(
            pb.UpdateFundingRequest(tenant_id=TENANT, auto_recharge=recharge)
        )
    )

    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert told in failed.text
    assert teller.GetFunding(pb.GetFundingRequest(tenant_id=TENANT)) == before
