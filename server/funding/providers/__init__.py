"""Taking money from a tenant's means of payment: one small port, and who keeps it.

A charge is asked for by an id that is also the provider's idempotency key: asked again, it takes
nothing twice. What a provider says later, in an event of its own, counts like an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from server.funding.providers.minor_units import ISO_4217, Counting


class PaymentsUnavailable(Exception):
    """No usable answer came; whether the money was taken is not known. Ask again by the same id."""


class EventRefused(Exception):
    """An event that is not believed, and why."""


# What reading an event may raise that is not what it should be.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def read_json(body: bytes) -> Any:
    """Read what somebody posted. Raises one of `MALFORMED`, also for what no archive can keep."""
    text = body.decode()
    told = json.loads(text)
    if "\\u" in text:
        # Half of a pair of surrogates, or NUL, is no text.
        whole = json.dumps(told, ensure_ascii=False).encode().decode()
        if "\\u0000" in whole:
            raise ValueError("a text holds NUL")
    return told


@dataclass(frozen=True, slots=True)
class Charge:
    """Money to be taken. `customer` is how the provider knows whom to charge."""

    charge_id: str
    tenant_id: str
    micros: int
    currency: str
    customer: str


@dataclass(frozen=True, slots=True)
class Charged:
    """The money was taken: how much, and what the provider calls it."""

    reference: str
    micros: int
    currency: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The money was not taken, and asking again by the same id will not change that."""

    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider works on it and will tell by an event; or ask again by the same id."""

    reference: str = ""


Result = Charged | Declined | Pending


class ReversalKind(StrEnum):
    """What an event says of money that was taken."""

    # So much was refunded by then, of all refunds together.
    REFUNDED = "refunded"
    # One refund came to nothing.
    REFUND_FAILED = "refund_failed"
    # So much is taken by the dispute or reversal of this name; the most that was told counts.
    TAKEN = "taken"
    # That one is over, and the money is ours again.
    GIVEN_BACK = "given_back"


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money that was taken and is taken back, or comes to us again after all.

    `name` tells one refund, dispute or reversal of a charge from another. `time_ms` is when it was
    so by the provider, 0 where it does not say.
    """

    kind: ReversalKind
    name: str
    micros: int
    currency: str
    time_ms: int = 0


def unpayable(charge: Charge, counting: Counting) -> Declined | None:
    """Decline what a provider could not even be asked for; None where it can be."""
    instead = counting.objection(charge.micros, charge.currency)
    return Declined("amount_unpayable", f"The amount has to be {instead}.") if instead else None


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """What a provider told by itself.

    `charge_id` is empty where the event does not name it; `reference` is then what the provider
    calls the charge. No result: the event is of a kind that we do not know, or of no charge.
    """

    event_id: str
    charge_id: str
    result: Result | Reversal | None
    reference: str = ""


class Payments(Protocol):
    """What every provider does, and how it counts money."""

    @property
    def counting(self) -> Counting:
        """What amounts it takes, and in which units."""
        return ISO_4217

    async def charge(self, charge: Charge) -> Result:
        """Take money once for its id; an amount it cannot take is declined.

        Raises `PaymentsUnavailable`.
        """

    def read_event(self, body: bytes, headers: Mapping[str, str], now_ms: int) -> PaymentEvent:
        """Believe an event by its signature over the raw body, made within 5 minutes of now.

        Names of headers are in lower case. Raises `EventRefused`.
        """


__all__ = [
    "Charge",
    "Charged",
    "Declined",
    "EventRefused",
    "PaymentEvent",
    "Payments",
    "PaymentsUnavailable",
    "Pending",
    "Result",
    "Reversal",
    "ReversalKind",
    "unpayable",
]
