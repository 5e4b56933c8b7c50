"""Stripe: off-session payment intents by its SDK, and its signed events. The extra `payments`.

A customer is "cus_...:pm_...": whom Stripe knows, and the means of payment to charge.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from server.funding.providers import (
    Charge,
    Charged,
    Declined,
    EventRefused,
    PaymentEvent,
    Payments,
    PaymentsUnavailable,
    Pending,
    Result,
    unpayable,
)
from server.funding.providers.minor_units import STRIPE, Counting

WINDOW_SECONDS = 300
TIMEOUT_SECONDS = 15
_MS = 1_000
_ABOUT_CHARGES = "payment_intent."
_CHARGE_ID = "callgate_charge_id"


@dataclass(slots=True)
class StripePayments(Payments):
    """Charges by Stripe's SDK, in threads: it blocks. `base_url` is empty but in tests."""

    api_key: str
    webhook_secret: str
    base_url: str = ""
    _client: Any = None

    @property
    @override
    def counting(self) -> Counting:
        """Stripe's own, which are not always ISO 4217's."""
        return STRIPE

    @override
    async def charge(self, charge: Charge) -> Result:
        """Make and confirm a payment intent; the charge's id is Stripe's idempotency key."""
        declined = unpayable(charge, STRIPE)
        if declined is not None:
            return declined
        return await asyncio.to_thread(self._charge, charge)

    @override
    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        """Believe an event by Stripe's signature."""
        import stripe

        signature = headers.get("stripe-signature", "")
        _require_fresh(signature, now_ms)
        try:
            # 0: how old it is was judged by our clock above.
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, self.webhook_secret, tolerance=0
            )
            return _event_of(json.loads(body))
        except (stripe.SignatureVerificationError, KeyError, TypeError, ValueError) as error:
            raise EventRefused(f"{type(error).__name__}: {error}") from error

    def _charge(self, charge: Charge) -> Result:
        import stripe

        customer, _, method = charge.customer.partition(":")
        try:
            intent = self._connected().v1.payment_intents.create(
                params={
                    "amount": STRIPE.units(charge.micros, charge.currency),
                    "currency": charge.currency.lower(),
                    "customer": customer,
                    "payment_method": method,
                    "off_session": True,
                    "confirm": True,
                    "metadata": {
                        _CHARGE_ID: charge.charge_id,
                        "callgate_tenant_id": charge.tenant_id,
                    },
                },
                options={"idempotency_key": charge.charge_id},
            )
        except stripe.CardError as error:
            return Declined(error.code or "card_error", error.user_message or "")
        except stripe.InvalidRequestError as error:
            return Declined(error.code or "invalid_request", error.user_message or str(error))
        except stripe.StripeError as error:
            raise PaymentsUnavailable(str(error)) from error
        return _result_of(intent)

    def _connected(self) -> Any:
        import stripe

        if self._client is None:
            addresses: Any = {"api": self.base_url} if self.base_url else {}
            self._client = stripe.StripeClient(
                self.api_key,
                base_addresses=addresses,
                max_network_retries=2,
                http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
            )
        return self._client


def _result_of(intent: Any) -> Result:
    match intent["status"]:
        case "succeeded":
            currency = str(intent["currency"]).upper()
            return Charged(
                str(intent["id"]), STRIPE.micros(int(intent["amount"]), currency), currency
            )
        case "processing" | "requires_capture":
            return Pending(str(intent["id"]))
        case status:
            # Nobody is there to answer what a bank asks.
            return Declined(str(status))


def _event_of(event: Any) -> PaymentEvent:
    kind, about = str(event["type"]), event["data"]["object"]
    event_id = str(event["id"])
    if not kind.startswith(_ABOUT_CHARGES):
        return PaymentEvent(event_id, "", Pending())
    charge_id = str((about["metadata"] or {}).get(_CHARGE_ID, ""))
    if kind == "payment_intent.payment_failed":
        error = about.get("last_payment_error") or {}
        return PaymentEvent(
            event_id, charge_id, Declined(error.get("code") or "failed", error.get("message") or "")
        )
    if kind != "payment_intent.succeeded":
        return PaymentEvent(event_id, charge_id, Pending(str(about["id"])))
    return PaymentEvent(event_id, charge_id, _result_of(about))


def _require_fresh(signature: str, now_ms: int) -> None:
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    signed = parts.get("t", "")
    if not signed.isdecimal() or abs(now_ms // _MS - int(signed)) > WINDOW_SECONDS:
        raise EventRefused(f"not signed within {WINDOW_SECONDS} s of now")
