"""Payment providers on the loopback, over HTTP: an operator's own billing, and one like Stripe.

They take no money, remember every charge by its idempotency key, and do what the customer is named
after: "pays", "declines", "slow", "loses-reply", "twice" or "out-of-order".
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from server.funding.providers import Charged, Declined, Pending, Result
from server.funding.providers.billing import event_body
from server.funding.providers.minor_units import ISO_4217, STRIPE
from server.transport.http import WebhookKey

KEY = WebhookKey(b"a secret of twenty-four bytes")
STRIPE_SECRET = "whsec_of_stripe"
SLOW_SECONDS = 0.1
_MS = 1_000


@dataclass(slots=True)
class Taken:
    """One charge that was taken, and how often it was asked for."""

    charge_id: str
    micros: int
    currency: str
    asked: int = 1


@dataclass(slots=True)
class PaymentServer:
    """What a provider remembers. `events` are those it told, as headers and body."""

    now_ms: int
    url: str = ""
    # Where it posts events to; nowhere if empty.
    events_url: str = ""
    taken: dict[str, Taken] = field(default_factory=dict)
    events: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    # By customer, where another name is needed than what it does.
    behaviours: dict[str, str] = field(default_factory=dict)

    @property
    def taken_micros(self) -> int:
        return sum(taken.micros for taken in self.taken.values())

    def take(self, charge_id: str, micros: int, currency: str) -> bool:
        """Take money, unless it was taken by this id; say whether it is the first time."""
        known = self.taken.get(charge_id)
        if known is not None:
            known.asked += 1
            assert (known.micros, known.currency) == (micros, currency)
            return False
        self.taken[charge_id] = Taken(charge_id, micros, currency)
        return True

    async def answer(
        self, customer: str, charge_id: str, *, micros: int, currency: str
    ) -> Result | None:
        """Do what the customer is named after; None where the answer is lost."""
        behaviour = self.behaviours.get(customer, customer)
        if behaviour == "declines":
            return Declined("card_declined", "the card has expired")
        first = self.take(charge_id, micros, currency)
        charged = Charged(f"ref-{charge_id}", micros, currency)
        if behaviour in {"twice", "out-of-order"} and first:
            await self.tell(charge_id, charged, event_id=f"evt-{charge_id}-1")
            await self.tell(charge_id, charged, event_id=f"evt-{charge_id}-1")
            await self.tell(charge_id, Pending(charged.reference), event_id=f"evt-{charge_id}-0")
        if behaviour == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        return None if behaviour == "loses-reply" and first else charged

    async def tell(self, charge_id: str, result: Result, *, event_id: str) -> None:
        """Tell by an event, as billing does."""
        body = event_body(charge_id, result)
        await self.post(KEY.sign(event_id, body, now_ms=self.now_ms), body)

    async def post(self, headers: dict[str, str], body: bytes) -> None:
        """Post an event, or keep it where nobody listens."""
        self.events.append((headers, body))
        if self.events_url:
            async with (
                ClientSession() as session,
                session.post(self.events_url, data=body, headers=headers) as reply,
            ):
                await reply.read()


@asynccontextmanager
async def running_billing(now_ms: int) -> AsyncIterator[PaymentServer]:
    """Run an operator's own billing while the block lasts."""
    provider = PaymentServer(now_ms)

    async def charge(request: web.Request) -> web.Response:
        body = await request.read()
        asked = json.loads(body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert KEY.verify(headers, body, now_ms=provider.now_ms) == asked["charge_id"]
        assert headers["idempotency-key"] == asked["charge_id"]
        micros = ISO_4217.micros(asked["amount_minor"], asked["currency"])
        result = await provider.answer(
            asked["customer"], asked["charge_id"], micros=micros, currency=asked["currency"]
        )
        if result is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(body=event_body(asked["charge_id"], result))

    async with _serving({"/charge": charge}) as base:
        provider.url = f"{base}/charge"
        yield provider


@asynccontextmanager
async def running_stripe(now_ms: int) -> AsyncIterator[PaymentServer]:
    """Run something like Stripe's payment intents while the block lasts."""
    provider = PaymentServer(now_ms)

    async def create(request: web.Request) -> web.Response:
        form = dict(await request.post())
        assert (form["off_session"], form["confirm"]) == ("true", "true")
        charge_id, currency = request.headers["idempotency-key"], str(form["currency"]).upper()
        assert form["metadata[callgate_charge_id]"] == charge_id
        micros = STRIPE.micros(int(str(form["amount"])), currency)
        result = await provider.answer(
            str(form["payment_method"]), charge_id, micros=micros, currency=currency
        )
        if result is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(result, Declined):
            error = {"type": "card_error", "code": result.code, "message": result.text}
            return web.json_response({"error": error}, status=402)
        return web.json_response(intent_of(charge_id, micros, currency))

    async with _serving({"/v1/payment_intents": create}) as base:
        provider.url = base
        yield provider


def intent_of(charge_id: str, micros: int, currency: str, **changes: Any) -> dict[str, Any]:
    """Build a payment intent as Stripe shows it."""
    fields = {
        "id": f"pi_{charge_id}",
        "object": "payment_intent",
        "amount": STRIPE.units(micros, currency),
        "currency": currency.lower(),
        "status": "succeeded",
        "metadata": {"callgate_charge_id": charge_id},
        "last_payment_error": None,
    }
    return fields | changes


def stripe_event(
    kind: str, about: Mapping[str, Any], *, event_id: str, now_ms: int, created: int = 0
) -> tuple[dict[str, str], bytes]:
    """Build an event and its signature as Stripe makes them."""
    told = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": created,
        "data": {"object": about},
    }
    body = json.dumps(told).encode()
    timestamp = now_ms // _MS
    signed = f"{timestamp}.".encode() + body
    digest = hmac.new(STRIPE_SECRET.encode(), signed, "sha256").hexdigest()
    return {"stripe-signature": f"t={timestamp},v1={digest}"}, body


@asynccontextmanager
async def _serving(routes: Mapping[str, Any]) -> AsyncIterator[str]:
    application = web.Application()
    for path, handler in routes.items():
        application.router.add_post(path, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
