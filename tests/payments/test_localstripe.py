"""Stripe's SDK against localstripe, another's stand-in for Stripe, over HTTP on the loopback."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from payment_servers import STRIPE_SECRET, stripe_event
from server.funding.providers import Charge, Charged, Declined, Reversal, ReversalKind
from server.funding.providers.stripe_payments import StripePayments

KEY = "sk_test_12345"
NOW_MS = 1_800_000_000_000


@pytest.fixture
async def stripe_url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    # Its own program would listen for other machines as well, and keep a file.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import localstripe.resources
        import localstripe.server

    monkeypatch.setattr(localstripe.resources.store, "dump_to_disk", lambda: None, raising=False)
    # One application for all its tests, each with a loop of its own.
    monkeypatch.setattr(localstripe.server.app, "_loop", None)
    runner = web.AppRunner(localstripe.server.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def a_customer(url: str, card: str) -> str:
    """Make a customer and a card there, as an operator's own page would."""
    import stripe

    client = stripe.StripeClient(KEY, base_addresses={"api": url})
    number: Any = {"number": card, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    method = client.v1.payment_methods.create(params={"type": "card", "card": number})
    customer = client.v1.customers.create(params={"name": "Contoso"})
    client.v1.payment_methods.attach(method.id, params={"customer": customer.id})
    return f"{customer.id}:{method.id}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_stripe_s_own_words_for_yes_and_no_are_understood(stripe_url: str) -> None:
    payments = StripePayments(KEY, "whsec_unused", stripe_url)
    good = await asyncio.to_thread(a_customer, stripe_url, "4242424242424242")
    bad = await asyncio.to_thread(a_customer, stripe_url, "4000000000000341")

    paid = await payments.charge(Charge("charge-1", "contoso", 20_000_000, "USD", good))
    declined = await payments.charge(Charge("charge-2", "contoso", 20_000_000, "USD", bad))

    assert isinstance(paid, Charged)
    assert (paid.micros, paid.currency) == (20_000_000, "USD")
    assert isinstance(declined, Declined)
    assert declined.code == "card_declined"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("micros", "currency", "amount"),
    [
        # What Stripe is asked for: ISK and UGX keep two decimals of 0, the ariary has none.
        (75_000_000_000, "UGX", 7_500_000),
        (2_500_000_000, "ISK", 250_000),
        (90_000_000_000, "MGA", 90_000),
        (3_000_000_000, "JPY", 3_000),
        (20_010_000, "KWD", 20_010),
    ],
)
async def test_stripe_is_asked_for_the_amount_that_its_table_names(
    stripe_url: str, micros: int, currency: str, amount: int
) -> None:
    from localstripe.resources import PaymentIntent

    payments = StripePayments(KEY, "whsec_unused", stripe_url)
    customer = await asyncio.to_thread(a_customer, stripe_url, "4242424242424242")

    paid = await payments.charge(
        Charge(f"charge-{currency}", "contoso", micros, currency, customer)
    )

    assert isinstance(paid, Charged)
    assert (paid.micros, paid.currency) == (micros, currency)
    assert PaymentIntent._api_retrieve(paid.reference).amount == amount


async def test_stripe_is_never_asked_for_what_it_could_not_take() -> None:
    payments = StripePayments(KEY, "whsec_unused", "http://127.0.0.1:9")

    half_a_shilling = await payments.charge(Charge("c", "contoso", 500_000, "UGX", "cus_1:pm_1"))

    assert isinstance(half_a_shilling, Declined)
    assert half_a_shilling.code == "amount_unpayable"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_refund_at_stripe_is_told_by_its_total_in_stripe_s_own_units(
    stripe_url: str,
) -> None:
    """75,000 shillings are charged as 7,500,000; 1,000,000 and 2,000,000 of them are refunded."""
    import stripe

    payments = StripePayments(KEY, STRIPE_SECRET, stripe_url)
    customer = await asyncio.to_thread(a_customer, stripe_url, "4242424242424242")
    paid = await payments.charge(Charge("charge-1", "contoso", 75_000_000_000, "UGX", customer))
    assert isinstance(paid, Charged)

    def refund_twice() -> dict[str, Any]:
        client = stripe.StripeClient(KEY, base_addresses={"api": stripe_url})
        for amount in (1_000_000, 2_000_000):
            client.v1.refunds.create(params={"payment_intent": paid.reference, "amount": amount})
        charges = client.v1.charges.list(params={"customer": customer.partition(":")[0]})
        return charges.data[0].to_dict()

    charge = await asyncio.to_thread(refund_twice)
    headers, body = stripe_event(
        "charge.refunded", charge, event_id="evt_1", now_ms=NOW_MS, created=NOW_MS // 1_000
    )
    event = payments.read_event(body, headers, NOW_MS)

    assert event.reference == paid.reference
    assert event.result == Reversal(
        ReversalKind.REFUNDED, charge["id"], 30_000_000_000, "UGX", NOW_MS
    )
