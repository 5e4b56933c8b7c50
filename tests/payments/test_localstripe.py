"""Stripe's SDK against localstripe, another's stand-in for Stripe, over HTTP on the loopback."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from server.payments import Charge, Charged, Declined
from server.payments.stripe_payments import StripePayments

KEY = "sk_test_12345"


@pytest.fixture
async def stripe_url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    # Its own program would listen for other machines as well, and keep a file.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import localstripe.resources
        import localstripe.server

    monkeypatch.setattr(localstripe.resources.store, "dump_to_disk", lambda: None, raising=False)
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
