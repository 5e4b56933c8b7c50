"""What every payment provider has to keep: one suite, and each adapter in turn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from payment_servers import (
    KEY,
    STRIPE_SECRET,
    PaymentServer,
    intent_of,
    running_billing,
    running_stripe,
    stripe_event,
)
from server.funding.providers import (
    Charge,
    Charged,
    Declined,
    EventRefused,
    Payments,
    PaymentsUnavailable,
    Reversal,
    ReversalKind,
)
from server.funding.providers.billing import Billing, event_body, read_billing_event
from server.funding.providers.simulated import Rehearsal
from server.funding.providers.stripe_payments import StripePayments
from server.transport.http import OutgoingHttp

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
# 20.00.
MICROS = 20_000_000

Signed = tuple[dict[str, str], bytes]


@dataclass(slots=True)
class Provider:
    """An adapter, what its other side has taken, and how that signs an event of success."""

    payments: Payments
    taken_micros: Callable[[], int]
    paid_event: Callable[[str, int], Signed]
    customer: Callable[[str], str]


def _billing_event(charge_id: str, now_ms: int) -> Signed:
    body = event_body(charge_id, Charged("ref", MICROS, "USD"))
    return KEY.sign(f"evt-{charge_id}", body, now_ms=now_ms), body


def _stripe_event(charge_id: str, now_ms: int) -> Signed:
    intent = intent_of(charge_id, MICROS, "USD")
    return stripe_event("payment_intent.succeeded", intent, event_id="evt_1", now_ms=now_ms)


async def _rehearsal(_: AsyncExitStack) -> Provider:
    payments = Rehearsal(KEY, now_ms=NOW_MS)
    return Provider(
        payments,
        lambda: sum(charge.micros for charge in payments.taken.values()),
        _billing_event,
        lambda name: name,
    )


async def _billing(stack: AsyncExitStack) -> Provider:
    billing: PaymentServer = await stack.enter_async_context(running_billing(NOW_MS))
    payments = Billing(billing.url, KEY, OutgoingHttp(["127.0.0.1"]), lambda: NOW_MS)
    return Provider(payments, lambda: billing.taken_micros, _billing_event, lambda name: name)


async def _stripe(stack: AsyncExitStack) -> Provider:
    stripe: PaymentServer = await stack.enter_async_context(running_stripe(NOW_MS))
    payments = StripePayments("sk_test_1", STRIPE_SECRET, stripe.url)
    return Provider(
        payments, lambda: stripe.taken_micros, _stripe_event, lambda name: f"cus_1:{name}"
    )


@pytest.fixture(params=[_rehearsal, _billing, _stripe], ids=["rehearsal", "billing", "stripe"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack)


def a_charge(provider: Provider, behaviour: str, charge_id: str = "charge-1") -> Charge:
    return Charge(charge_id, "contoso", MICROS, "USD", provider.customer(behaviour))


@pytest.mark.parametrize("behaviour", ["pays", "slow", "twice", "out-of-order"])
async def test_a_charge_takes_the_whole_amount(provider: Provider, behaviour: str) -> None:
    result = await provider.payments.charge(a_charge(provider, behaviour))

    assert isinstance(result, Charged)
    assert (result.micros, result.currency) == (MICROS, "USD")
    assert provider.taken_micros() == MICROS


async def test_a_charge_asked_for_again_takes_nothing_twice(provider: Provider) -> None:
    charge = a_charge(provider, "pays")

    results = [await provider.payments.charge(charge) for _ in range(3)]

    assert results[0] == results[1] == results[2]
    assert provider.taken_micros() == MICROS


async def test_a_declined_charge_takes_nothing_and_says_why(provider: Provider) -> None:
    result = await provider.payments.charge(a_charge(provider, "declines"))

    assert result == Declined("card_declined", "the card has expired")
    assert provider.taken_micros() == 0


async def test_a_lost_answer_is_no_answer_or_is_asked_for_again(provider: Provider) -> None:
    charge = a_charge(provider, "loses-reply")

    try:
        result = await provider.payments.charge(charge)
    except PaymentsUnavailable:
        # What became of it is not known; the same id finds out.
        result = await provider.payments.charge(charge)

    assert isinstance(result, Charged)
    assert provider.taken_micros() == MICROS


async def test_an_event_is_believed_by_its_signature(provider: Provider) -> None:
    headers, body = provider.paid_event("charge-1", NOW_MS)

    event = provider.payments.read_event(body, headers, NOW_MS + 4 * MINUTE_MS)

    assert event.charge_id == "charge-1"
    assert isinstance(event.result, Charged)
    assert event.result.micros == MICROS


@pytest.mark.parametrize("late_ms", [-6 * MINUTE_MS, 6 * MINUTE_MS])
async def test_an_event_of_another_time_is_not_believed(provider: Provider, late_ms: int) -> None:
    headers, body = provider.paid_event("charge-1", NOW_MS)

    with pytest.raises(EventRefused):
        provider.payments.read_event(body, headers, NOW_MS + late_ms)


async def test_an_event_that_was_changed_is_not_believed(provider: Provider) -> None:
    headers, body = provider.paid_event("charge-1", NOW_MS)

    with pytest.raises(EventRefused):
        provider.payments.read_event(body.replace(b"charge-1", b"charge-2"), headers, NOW_MS)
    with pytest.raises(EventRefused):
        provider.payments.read_event(body, {}, NOW_MS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'"text"',
        b"[" * 5_000,
        b'{"status": []}',
        b'{"status": "charged", "charge_id": "\\ud800", "amount_minor": 1, "currency": "USD"}',
        b'{"status": "charged", "charge_id": "a", "amount_minor": Infinity, "currency": "USD"}',
        b'{"status": "charged", "charge_id": "a", "amount_minor": [], "currency": {}}',
    ],
)
async def test_a_signed_event_that_is_none_is_refused(body: bytes) -> None:
    headers = KEY.sign("event-1", body, now_ms=NOW_MS)

    with pytest.raises(EventRefused):
        read_billing_event(KEY, body, headers, now_ms=NOW_MS)


async def test_billing_that_is_not_there_is_unavailable() -> None:
    nobody = Billing("http://127.0.0.1:9/charge", KEY, OutgoingHttp(["127.0.0.1"]), lambda: NOW_MS)

    with pytest.raises(PaymentsUnavailable):
        await nobody.charge(Charge("c", "contoso", MICROS, "USD", "pays"))


async def test_billing_in_a_private_network_is_not_asked_unless_it_is_listed() -> None:
    async with running_billing(NOW_MS) as billing:
        unlisted = Billing(billing.url, KEY, OutgoingHttp(), lambda: NOW_MS)

        with pytest.raises(PaymentsUnavailable):
            await unlisted.charge(Charge("c", "contoso", MICROS, "USD", "pays"))

        assert billing.taken == {}


@pytest.mark.parametrize(
    ("status", "kind"), [("reversed", ReversalKind.TAKEN), ("restored", ReversalKind.GIVEN_BACK)]
)
@pytest.mark.parametrize("provider", [_rehearsal, _billing], indirect=True)
async def test_billing_tells_of_money_that_was_taken_back(
    provider: Provider, status: str, kind: ReversalKind
) -> None:
    told = Reversal(kind, "dispute-1", MICROS, "USD")
    body = event_body("charge-1", told)

    event = provider.payments.read_event(body, KEY.sign("evt", body, now_ms=NOW_MS), NOW_MS)

    assert json.loads(body) == {
        "charge_id": "charge-1",
        "status": status,
        "reversal_id": "dispute-1",
        "amount_minor": 2_000,
        "currency": "USD",
    }
    assert (event.charge_id, event.result) == ("charge-1", told)


@pytest.mark.parametrize("provider", [_rehearsal, _billing], indirect=True)
async def test_what_billing_tells_of_other_things_is_of_no_charge(provider: Provider) -> None:
    body = json.dumps({"status": "invoiced", "invoice": 7}).encode()

    event = provider.payments.read_event(body, KEY.sign("evt", body, now_ms=NOW_MS), NOW_MS)

    assert (event.charge_id, event.result) == ("", None)


async def test_a_rehearsed_payer_takes_the_money_back() -> None:
    payments = Rehearsal(KEY, now_ms=NOW_MS)

    await payments.charge(Charge("charge-1", "contoso", MICROS, "USD", "takes-back"))
    ((headers, body),) = payments.events

    told = payments.read_event(body, headers, NOW_MS).result
    assert told == Reversal(ReversalKind.TAKEN, "dispute", MICROS, "USD")
