"""What licences allow: SKU names unfolded into capabilities, and the base licence of a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from policy.facts import Capability, Connectivity, Plan, ResourceAccount, User

# The row of the plan table for every country that has none of its own.
ANY_COUNTRY: Final = "*"

# Any of these lets an organizer hold meetings that people reach by telephone.
CONFERENCING: Final = frozenset(
    {
        Capability.AUDIO_CONFERENCING,
        Capability.AUDIO_CONFERENCING_PER_MINUTE,
        Capability.AUDIO_CONFERENCING_US_CA,
    }
)
# Any of these lets a resource account answer and send on calls.
VOICE_APPLICATION: Final = frozenset({Capability.VIRTUAL_USER, Capability.PHONE_SYSTEM})
CARRIERS: Final = frozenset({Connectivity.DIRECT_ROUTING, Connectivity.OPERATOR_CONNECT})

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_PHONE_SYSTEM: Final = Capability.PHONE_SYSTEM


@dataclass(frozen=True, slots=True)
class Sku:
    """What one licence name stands for: capabilities, and the capability of a plan or nothing.

    `product` is what people call it.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset()
    plan: str = ""
    product: str = ""


@dataclass(frozen=True, slots=True)
class Licences:
    """What an account's licence names amount to.

    `plans` are capabilities of Calling Plans in the order of the names, each once: an account may
    have one, so more than one is a mistake of the directory. `unknown` are names in no table.
    """

    capabilities: frozenset[Capability]
    plans: tuple[str, ...]
    unknown: tuple[str, ...]


def unfold(names: Iterable[str], skus: Mapping[str, Sku]) -> Licences:
    """Unfold licence names by a table whose keys are upper case; bundles bring what they imply."""
    capabilities: set[Capability] = set()
    plans: dict[str, None] = {}
    unknown: list[str] = []
    for name in names:
        sku = skus.get(name.strip().upper())
        if sku is None:
            unknown.append(name)
            continue
        capabilities |= sku.capabilities
        if sku.plan:
            plans[sku.plan] = None
    return Licences(frozenset(capabilities), tuple(plans), tuple(unknown))


def find_plan(
    plans: Mapping[tuple[str, str], Plan], capability: str, usage_country: str
) -> Plan | None:
    """Look a plan up by (capability, usage country), else by (capability, "*").

    Minutes follow the holder's country, never the invoice. None: no such plan is known there.
    """
    return plans.get((capability, usage_country)) or plans.get((capability, ANY_COUNTRY))


def count_purchased(
    purchased: Mapping[str, int], skus: Mapping[str, Sku], capability: Capability
) -> int:
    """Count the purchased licences, bundles included, that bring a capability."""
    return sum(
        count
        for name, count in purchased.items()
        if (sku := skus.get(name.strip().upper())) is not None and capability in sku.capabilities
    )


def may_place_calls(user: User) -> bool:
    """A user's own call needs Phone System, and somebody to carry it: a plan or a carrier.

    Where a Shared Calling account pays, the plan is looked for there.
    """
    if _PHONE_SYSTEM not in user.capabilities:
        return False
    if user.plan is not None or user.shared_calling_account_id:
        return True
    return user.connectivity in CARRIERS


def may_dial_out_of_meetings(organizer: User) -> bool:
    """An organizer needs Audio Conferencing, or else what a call of their own needs."""
    return not CONFERENCING.isdisjoint(organizer.capabilities) or may_place_calls(organizer)


def may_hold_meetings(organizer: User) -> bool:
    """People reach a meeting by telephone only if its organizer has Audio Conferencing."""
    return not CONFERENCING.isdisjoint(organizer.capabilities)


def may_answer_or_transfer(account: ResourceAccount) -> bool:
    """An attendant or a queue needs a voice application licence on its account."""
    return not VOICE_APPLICATION.isdisjoint(account.capabilities)


def pays_per_minute(organizer: User) -> bool:
    """Pay-per-minute conferencing: every minute from credits. A subscription beside it wins."""
    return (
        Capability.AUDIO_CONFERENCING_PER_MINUTE in organizer.capabilities
        and Capability.AUDIO_CONFERENCING not in organizer.capabilities
    )
