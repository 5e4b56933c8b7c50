"""What a provider tells by itself, over HTTP: twice, out of order, before its own answer."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from payment_servers import KEY, PaymentServer, running_billing
from server.funding.charge_rows import ChargeState
from server.funding.provider_events import PATH, PaymentEvents
from server.funding.providers import Charged, Declined
from server.funding.providers.billing import Billing, event_body
from server.transport.http import HttpListener, OutgoingHttp
from server.transport.http.listener import Address
from tills import UNIT, Till


@dataclasses.dataclass(slots=True)
class Shop:
    """A till whose provider is an operator's billing over HTTP, which posts its events back."""

    till: Till
    billing: PaymentServer
    url: str

    async def post(self, headers: dict[str, str], body: bytes) -> int:
        async with (
            ClientSession() as session,
            session.post(self.url, data=body, headers=headers) as reply,
        ):
            return reply.status


@pytest.fixture
async def shop(till: Till) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        clock = till.house.clock
        billing = await stack.enter_async_context(running_billing(clock.now_ms()))
        http = OutgoingHttp(["127.0.0.1"])
        till = dataclasses.replace(till, payments=Billing(billing.url, KEY, http, clock.now_ms))
        events = PaymentEvents(
            till.house.archive.database,
            till.payments,
            till.charging,
            till.reversing,
            clock.now_ms,
        )
        listener = HttpListener(Address("127.0.0.1", 0), CollectorRegistry(), {PATH: events.take})
        port = await listener.start()
        stack.push_async_callback(listener.stop)
        billing.events_url = f"http://127.0.0.1:{port}{PATH}"
        yield Shop(till, billing, billing.events_url)


@pytest.mark.parametrize("customer", ["twice", "out-of-order"])
async def test_events_that_overtake_the_answer_credit_once(shop: Shop, customer: str) -> None:
    """F9: the events came, twice and out of order, before our own call returned."""
    await shop.till.set_up(payment_customer=customer)
    await shop.till.fund(9 * UNIT)

    for _ in range(3):
        await shop.till.work()

    assert len(shop.billing.events) == 3
    assert shop.billing.taken_micros == 20 * UNIT
    assert await shop.till.balance() == 29 * UNIT
    assert [kind for kind, _ in await shop.till.notices()] == ["recharge_succeeded"]


async def test_a_lost_answer_is_made_good_by_its_event(shop: Shop) -> None:
    """F9: the money was taken and the answer lost; the event brings it, asking again nothing."""
    await shop.till.set_up(payment_customer="loses-reply")
    await shop.till.fund(9 * UNIT)
    await shop.till.work()
    (charge,) = await shop.till.charges()
    body = event_body(charge.charge_id, Charged("ref", 20 * UNIT, "USD"))
    headers = KEY.sign("evt-1", body, now_ms=shop.till.house.clock.now_ms())

    statuses = [await shop.post(headers, body) for _ in range(2)]
    shop.till.house.clock.pass_seconds(60)
    await shop.till.work()

    assert statuses == [200, 200]
    assert shop.billing.taken[charge.charge_id].asked == 1
    assert await shop.till.balance() == 29 * UNIT


async def test_money_that_a_provider_took_after_declining_is_credited(shop: Shop) -> None:
    """F9: a decline, and later word that the money was taken after all."""
    await shop.till.set_up(payment_customer="declines")
    await shop.till.fund(9 * UNIT)
    await shop.till.work()
    (charge,) = await shop.till.charges()
    body = event_body(charge.charge_id, Charged("ref", 20 * UNIT, "USD"))

    status = await shop.post(KEY.sign("evt", body, now_ms=shop.till.house.clock.now_ms()), body)

    assert status == 200
    assert await shop.till.balance() == 29 * UNIT


async def test_a_decline_that_comes_after_success_changes_nothing(shop: Shop) -> None:
    await shop.till.set_up()
    await shop.till.fund(9 * UNIT)
    await shop.till.work()
    (charge,) = await shop.till.charges()
    body = event_body(charge.charge_id, Declined("card_declined"))

    await shop.post(KEY.sign("evt", body, now_ms=shop.till.house.clock.now_ms()), body)

    assert (await shop.till.charges())[0].state is ChargeState.CREDITED
    assert await shop.till.balance() == 29 * UNIT


async def test_another_amount_than_was_asked_for_is_left_to_an_operator(shop: Shop) -> None:
    await shop.till.set_up(payment_customer="loses-reply")
    await shop.till.fund(9 * UNIT)
    await shop.till.work()
    (charge,) = await shop.till.charges()
    body = event_body(charge.charge_id, Charged("ref", 19 * UNIT, "USD"))

    await shop.post(KEY.sign("evt", body, now_ms=shop.till.house.clock.now_ms()), body)
    shop.till.house.clock.pass_seconds(60)
    await shop.till.work()

    finishing = shop.till.finishing
    await finishing.work()
    assert (await shop.till.charges())[0].state is ChargeState.UNRESOLVED
    assert finishing.figures.charges["unresolved"] == 1
    assert await shop.till.balance() == 9 * UNIT


async def test_what_is_not_signed_by_the_provider_is_refused(shop: Shop) -> None:
    body = event_body("charge-1", Charged("ref", 20 * UNIT, "USD"))

    assert await shop.post({}, body) == 400
    assert await shop.post({}, b"x" * 70_000) == 413
