"""Stripe: off-session payment intents by its SDK, and its signed events. The extra `payments`.

A customer is "cus_...:pm_...": whom Stripe knows, and the means of payment to charge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from server.funding.providers import (
    MALFORMED,
    Charge,
    Charged,
    Declined,
    EventRefused,
    PaymentEvent,
    Payments,
    PaymentsUnavailable,
    Pending,
    Result,
    Reversal,
    ReversalKind,
    read_json,
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
            return _event_of(read_json(body))
        except (stripe.SignatureVerificationError, *MALFORMED) as error:
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
    event_id, time_ms = str(event["id"]), int(event.get("created") or 0) * _MS
    if kind.startswith(_ABOUT_CHARGES):
        charge_id = str((about.get("metadata") or {}).get(_CHARGE_ID, ""))
        return PaymentEvent(event_id, charge_id, _told_of_intent(kind, about))
    read = _REVERSALS.get(kind)
    reversal = read(kind, about, time_ms) if read is not None else None
    if reversal is None:
        return PaymentEvent(event_id, "", None)
    # A charge has the metadata of its intent; refunds and disputes have their own.
    charge_id = str((about.get("metadata") or {}).get(_CHARGE_ID, ""))
    return PaymentEvent(event_id, charge_id, reversal, str(about.get("payment_intent") or ""))


def _told_of_intent(kind: str, intent: Any) -> Result:
    if kind == "payment_intent.payment_failed":
        error = intent.get("last_payment_error") or {}
        return Declined(error.get("code") or "failed", error.get("message") or "")
    if kind == "payment_intent.succeeded":
        return _result_of(intent)
    return Pending(str(intent["id"]))


def _refunded(_: str, charge: Any, time_ms: int) -> Reversal | None:
    """Read a charge of which something was refunded: it tells the total so far."""
    return _reversal(ReversalKind.REFUNDED, charge, time_ms, amount="amount_refunded")


def _refund_failed(_: str, refund: Any, time_ms: int) -> Reversal | None:
    if str(refund["status"]) not in {"failed", "canceled"}:
        return None
    return _reversal(ReversalKind.REFUND_FAILED, refund, time_ms)


def _disputed(kind: str, dispute: Any, time_ms: int) -> Reversal | None:
    """Read a dispute: the bank takes the money when it opens, and gives it back if it is won."""
    status = str(dispute["status"])
    if status in {"won", "prevented"} or kind == "charge.dispute.funds_reinstated":
        return _reversal(ReversalKind.GIVEN_BACK, dispute, time_ms)
    if status.startswith("warning_") and kind != "charge.dispute.funds_withdrawn":
        # An inquiry takes nothing.
        return None
    return _reversal(ReversalKind.TAKEN, dispute, time_ms)


def _reversal(kind: ReversalKind, about: Any, time_ms: int, *, amount: str = "amount") -> Reversal:
    currency = str(about["currency"]).upper()
    micros = STRIPE.micros(int(about[amount]), currency)
    return Reversal(kind, str(about["id"]), micros, currency, time_ms)


_REVERSALS: Mapping[str, Callable[[str, Any, int], Reversal | None]] = {
    "charge.refunded": _refunded,
    "charge.refund.updated": _refund_failed,
    "refund.failed": _refund_failed,
    "refund.updated": _refund_failed,
    "charge.dispute.created": _disputed,
    "charge.dispute.updated": _disputed,
    "charge.dispute.closed": _disputed,
    "charge.dispute.funds_withdrawn": _disputed,
    "charge.dispute.funds_reinstated": _disputed,
}


def _require_fresh(signature: str, now_ms: int) -> None:
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    signed = parts.get("t", "")
    if not signed.isdecimal() or abs(now_ms // _MS - int(signed)) > WINDOW_SECONDS:
        raise EventRefused(f"not signed within {WINDOW_SECONDS} s of now")
