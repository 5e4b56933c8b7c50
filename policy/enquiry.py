"""One call and what the rules need to know of it: who pays, where it leads, by which facts."""

from __future__ import annotations

from typing import Final, NamedTuple

from policy.decision import Payer, Reason, Refusal
from policy.destination import WORLD, Destination, NumberClass, find_destination
from policy.facts import (
    Call,
    CallKind,
    Catalogue,
    Facts,
    ResourceAccount,
    ServiceNumber,
    Tenant,
    User,
)
from policy.licence import CARRIERS, may_hold_meetings
from policy.numbering import read_number
from policy.payer import MEETING_KINDS, Party, call_type, find_party
from policy.reach import is_destination_reachable

ARRIVING_KINDS: Final = (CallKind.SERVICE_NUMBER, CallKind.INBOUND)

# Where callers are who withhold their number, or whose number leads nowhere.
NOWHERE: Final = Destination("", "", NumberClass.ORDINARY, "unknown")


class Enquiry(NamedTuple):
    """A call whose payer and far end are known; every rule is a function of it.

    `account` holds the licences, the plan and the restriction that decide; `user` is the person the
    call belongs to (who dials, forwards, organizes, is called), another one under Shared Calling.
    `usage_location` is the account's, the tenant's country where there is none. `country` is the
    one the far end counts as: its own, but for a number without any the country that dials it. The
    far end is the caller where a call arrives; `e164` is empty where that is not known.
    """

    call: Call
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


def open_enquiry(call: Call, facts: Facts, now_ms: int) -> Enquiry | Refusal:
    """Find the payer and read the far end's number; refuse what is no number and nobody's call."""
    tenant, catalogue = facts.tenant, facts.catalogue
    party = find_party(call, tenant)
    e164 = _read_far_end(call, party, tenant)
    destination = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
    arriving = call.kind in ARRIVING_KINDS
    if destination is None and not arriving:
        return _refuse(call, party, Reason.NUMBER_INVALID)
    if isinstance(party, Reason):
        return _refuse(call, party, party)
    usage_location = party.account.usage_location if party.account else tenant.country
    far_end = destination or NOWHERE
    return Enquiry(
        call=call,
        tenant=tenant,
        catalogue=catalogue,
        now_ms=now_ms,
        payer=party.payer,
        account=party.account,
        user=party.user,
        service=party.service,
        usage_location=usage_location,
        e164=e164,
        destination=far_end,
        country=far_end.country if arriving else _counted_country(far_end, facts, usage_location),
    )


def is_paid_by_carrier(enquiry: Enquiry) -> bool:
    """Direct Routing and Operator Connect calls are the carrier's, but not those of a bridge."""
    user = enquiry.user
    if user is None or user is not enquiry.account or user.connectivity not in CARRIERS:
        return False
    return enquiry.call.kind not in MEETING_KINDS or not may_hold_meetings(user)


def _read_far_end(call: Call, party: Party | Reason, tenant: Tenant) -> str:
    """Read the far end's number in the country of the account, or nothing if it is none."""
    country = _dialling_country(party, tenant)
    if call.kind in ARRIVING_KINDS:
        return read_number(call.calling_number, country) or ""
    return read_number(call.called_number, country, tenant.dial_plan) or ""


def _dialling_country(party: Party | Reason, tenant: Tenant) -> str:
    """National spellings are those of the person's country, else the account's or the number's."""
    if isinstance(party, Reason):
        return tenant.country
    if party.service is not None:
        return party.service.country
    somebody = party.user or party.account
    return somebody.usage_location if somebody is not None else tenant.country


def _counted_country(destination: Destination, facts: Facts, here: str) -> str:
    """North American toll-free numbers have no country: they count as the one that dials them."""
    if destination.country != WORLD or destination.number_class is not NumberClass.TOLL_FREE:
        return destination.country
    reached = is_destination_reachable(facts.catalogue.toll_free_reach, destination, here)
    return here if reached else WORLD


def _refuse(call: Call, party: Party | Reason, reason: Reason) -> Refusal:
    if isinstance(party, Reason):
        return Refusal(reason, None, call_type=call_type(call, None, None))
    return Refusal(reason, party.payer, call_type=call_type(call, party.user, party.service))
