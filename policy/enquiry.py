"""One call and what the rules need to know of it: who pays, where it leads, by which facts."""

from __future__ import annotations

from typing import Final, NamedTuple

from policy.decision import Payer, Reason, Refusal
from policy.destination import WORLD, Destination, NumberClass, find_destination
from policy.facts import (
    Call,
    Catalogue,
    Connectivity,
    Facts,
    ResourceAccount,
    ServiceNumber,
    Tenant,
    Treatment,
    User,
)
from policy.kinds import TRAITS, Traits
from policy.licence import may_hold_meetings
from policy.numbering import read_number
from policy.payer import Party, call_type, find_party
from policy.premium import find_treatment
from policy.reach import is_destination_reachable

# Where callers are who withhold their number, or whose number leads nowhere.
NOWHERE: Final = Destination("", "", NumberClass.ORDINARY, "unknown")

_CALLING_PLAN: Final = Connectivity.CALLING_PLAN


class Enquiry(NamedTuple):
    """A call whose payer and far end are known; every rule is a function of it.

    `account` holds the licences, the plan and the restriction that decide; `user` is the person the
    call belongs to (who dials, forwards, organizes, is called), another one under Shared Calling.
    `usage_location` is the account's, the tenant's country where there is none.

    The far end is the caller where a call arrives; `e164` is empty where that is not known.
    `country` is the one the far end counts as: its own, but for a called number without any the
    country that dials it. `treatment` is how premium and shared-cost numbers are treated.
    """

    call: Call
    traits: Traits
    tenant: Tenant
    catalogue: Catalogue
    now_ms: int
    payer: Payer
    account: User | ResourceAccount | None
    user: User | None
    service: ServiceNumber | None
    usage_location: str
    e164: str
    destination: Destination
    country: str
    treatment: Treatment | None


def open_enquiry(call: Call, facts: Facts, now_ms: int) -> Enquiry | Refusal:
    """Find the payer and read the far end's number; refuse what is no number and nobody's call."""
    tenant, catalogue = facts.tenant, facts.catalogue
    traits = TRAITS[call.kind]
    party = find_party(call, tenant, traits)
    country = _dialling_country(party, tenant)
    if traits.arriving:
        e164 = read_number(call.calling_number, country) or ""
    else:
        e164 = read_number(call.called_number, country, tenant.dial_plan) or ""
    destination = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
    if destination is None:
        if not traits.arriving:
            return _refuse(call, party, Reason.NUMBER_INVALID)
        destination = NOWHERE
    if isinstance(party, Reason):
        return _refuse(call, party, party)
    payer, account, user, service = party
    here = tenant.country if account is None else account.usage_location
    country, treatment = destination.country, None
    if not traits.arriving:
        if country == WORLD:
            country = _counted_country(destination, facts, here)
        treatment = find_treatment(catalogue.premium_rules, here, e164, destination=destination)
    # By place, for half the time: one of these is made for every call.
    return Enquiry(
        call,
        traits,
        tenant,
        catalogue,
        now_ms,
        payer,
        account,
        user,
        service,
        here,
        e164,
        destination,
        country,
        treatment,
    )


def is_paid_by_carrier(enquiry: Enquiry) -> bool:
    """Direct Routing and Operator Connect calls are the carrier's, but not those of a bridge."""
    user = enquiry.user
    if user is None or user.connectivity is _CALLING_PLAN or user is not enquiry.account:
        return False
    return not enquiry.traits.of_meeting or not may_hold_meetings(user)


def _dialling_country(party: Party | Reason, tenant: Tenant) -> str:
    """National spellings are those of the person's country, else the account's or the number's."""
    if isinstance(party, Reason):
        return tenant.country
    _, account, user, service = party
    if service is not None:
        return service.country
    somebody = account if user is None else user
    return tenant.country if somebody is None else somebody.usage_location


def _counted_country(destination: Destination, facts: Facts, here: str) -> str:
    """North American toll-free numbers have no country: they count as the one that dials them."""
    if destination.number_class is not NumberClass.TOLL_FREE:
        return WORLD
    reached = is_destination_reachable(facts.catalogue.toll_free_reach, destination, here)
    return here if reached else WORLD


def _refuse(call: Call, party: Party | Reason, reason: Reason) -> Refusal:
    if isinstance(party, Reason):
        return Refusal(reason, None, call_type=call_type(call, None, None))
    return Refusal(reason, party.payer, call_type=call_type(call, party.user, party.service))
