"""Where an attempt to take money from a tenant's means of payment is."""

from __future__ import annotations

from enum import StrEnum


class ChargeState(StrEnum):
    """The states of a charge: the first four follow each other, the others end it.

    Only `CREDITED` is the end for good: a provider that says later that it took the money after
    all is believed, and the money is credited.
    """

    INTENT = "intent"
    CHARGING = "charging"
    CHARGED = "charged"
    CREDITED = "credited"
    DECLINED = "declined"
    # We never asked: a rule of ours forbade it.
    REFUSED = "refused"
    # Nobody can tell whether the money was taken; an operator has to look.
    UNRESOLVED = "unresolved"


# While one of these is there, no other recharge of the tenant begins.
IN_FLIGHT = (
    *(ChargeState.INTENT.value, ChargeState.CHARGING.value),
    *(ChargeState.CHARGED.value, ChargeState.UNRESOLVED.value),
)
# What these took, or may have taken, counts against limits.
COUNTED = (*IN_FLIGHT, ChargeState.CREDITED.value)
