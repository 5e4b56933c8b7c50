"""An operator's own billing, asked by an HTTP post and heard by signed events.

Asked: POST of JSON with charge_id, tenant_id, amount_minor, currency, customer; the header
`Idempotency-Key` is the charge's id, and the post is signed as events are. Answered: JSON with
`status` "charged", "declined" or "pending", and `reference`, `amount_minor`, `currency`, or `code`
and `text`. An event's body is the same with `charge_id`; one of "reversed" or "restored" tells of
money that was taken back, or came in again, by `reversal_id`, `amount_minor` and `currency`.
"""

from __future__ import annotations

import json
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
from server.funding.providers.minor_units import ISO_4217
from server.transport.http import (
    OutgoingFailed,
    OutgoingHttp,
    SignatureWrong,
    UrlRefused,
    WebhookKey,
)

_CODE_CHARACTERS = 64
_TEXT_CHARACTERS = 255
# What says that it was understood and will stay so: a plain no.
_PAYMENT_REQUIRED = 402
_REVERSALS = {"reversed": ReversalKind.TAKEN, "restored": ReversalKind.GIVEN_BACK}
_EVENTS = frozenset({"charged", "declined", "pending", *_REVERSALS})


@dataclass(frozen=True, slots=True)
class Billing(Payments):
    """Asks the operator's own billing at one URL."""

    url: str
    key: WebhookKey
    http: OutgoingHttp
    now_ms: Callable[[], int]

    @override
    async def charge(self, charge: Charge) -> Result:
        """Post the charge; only an answer that can be read is one."""
        declined = unpayable(charge, ISO_4217)
        if declined is not None:
            return declined
        body = _charge_body(charge)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": charge.charge_id,
            **self.key.sign(charge.charge_id, body, now_ms=self.now_ms()),
        }
        try:
            reply = await self.http.post(self.url, body, headers)
        except (OutgoingFailed, UrlRefused) as error:
            raise PaymentsUnavailable(str(error)) from error
        if not reply.taken and reply.status != _PAYMENT_REQUIRED:
            raise PaymentsUnavailable(f"HTTP status {reply.status}")
        try:
            return _read_result(json.loads(reply.body))
        except (KeyError, TypeError, ValueError) as error:
            raise PaymentsUnavailable(f"the answer cannot be read: {error!r}") from error

    @override
    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        """Believe an event that was signed with the shared key."""
        return read_billing_event(self.key, body, headers, now_ms=now_ms)


def read_billing_event(
    key: WebhookKey, body: bytes, headers: Mapping[str, str], *, now_ms: int
) -> PaymentEvent:
    """Read a signed event. Raises `EventRefused`."""
    try:
        event_id = key.verify(headers, body, now_ms=now_ms)
        told = read_json(body)
        if told["status"] not in _EVENTS:
            return PaymentEvent(event_id, "", None)
        read = _read_reversal if told["status"] in _REVERSALS else _read_result
        return PaymentEvent(event_id, _text(told, "charge_id"), read(told))
    except SignatureWrong as error:
        raise EventRefused(str(error)) from error
    except MALFORMED as error:
        raise EventRefused(f"the event cannot be read: {error!r}") from error


def event_body(charge_id: str, result: Result | Reversal) -> bytes:
    """Write what an event says, as an operator's billing does."""
    told: dict[str, Any] = {"charge_id": charge_id}
    match result:
        case Charged():
            told |= {
                "status": "charged",
                "reference": result.reference,
                "amount_minor": ISO_4217.units(result.micros, result.currency),
                "currency": result.currency,
            }
        case Declined():
            told |= {"status": "declined", "code": result.code, "text": result.text}
        case Pending():
            told |= {"status": "pending", "reference": result.reference}
        case Reversal():
            told |= {
                "status": "restored" if result.kind is ReversalKind.GIVEN_BACK else "reversed",
                "reversal_id": result.name,
                "amount_minor": ISO_4217.units(result.micros, result.currency),
                "currency": result.currency,
            }
    return json.dumps(told).encode()


def _charge_body(charge: Charge) -> bytes:
    return json.dumps(
        {
            "charge_id": charge.charge_id,
            "tenant_id": charge.tenant_id,
            "amount_minor": ISO_4217.units(charge.micros, charge.currency),
            "currency": charge.currency,
            "customer": charge.customer,
        }
    ).encode()


def _read_result(told: Any) -> Result:
    match told["status"]:
        case "charged":
            return Charged(_text(told, "reference"), *_read_amount(told))
        case "declined":
            return Declined(
                _text(told, "code")[:_CODE_CHARACTERS],
                str(told.get("text", ""))[:_TEXT_CHARACTERS],
            )
        case "pending":
            return Pending(str(told.get("reference", ""))[:_TEXT_CHARACTERS])
        case other:
            raise ValueError(f"status is {other!r}")


def _read_reversal(told: Any) -> Reversal:
    name = _text(told, "reversal_id")[:_TEXT_CHARACTERS]
    return Reversal(_REVERSALS[told["status"]], name, *_read_amount(told))


def _read_amount(told: Any) -> tuple[int, str]:
    currency, amount = _text(told, "currency"), told["amount_minor"]
    if type(amount) is not int or amount <= 0:
        raise ValueError(f"amount_minor is {amount!r}")
    return ISO_4217.micros(amount, currency), currency


def _text(told: Any, name: str) -> str:
    value = told[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value
