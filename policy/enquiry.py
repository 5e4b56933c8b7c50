"""One call and what the rules need to know of it: who pays, where it leads, by which facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policy.decision import Payer, Refusal
from policy.destination import (
    WORLD,
    Destination,
    NumberClass,
    find_destination,
    is_destination_reachable,
)
from policy.facts import (
    Call,
    CallKind,
    Catalogue,
    Connectivity,
    Facts,
    ResourceAccount,
    ServiceNumber,
    ShortCode,
    Tenant,
    Treatment,
    User,
)
from policy.licence import may_hold_meetings
from policy.numbering import is_national, read_number, split_country_code
from policy.payer import TRAITS, Party, Traits, call_type, find_party
from policy.premium import find_treatment
from policy.reasons import Reason
from policy.short_code import find_short_code, leads_to, treatment_of
from policy.spelling import read_past_uri

# Where callers are who withhold their number, or whose number leads nowhere.
NOWHERE: Final = Destination("", "", NumberClass.ORDINARY, "unknown")

# With its plus.
_NORTH_AMERICAN_LENGTH: Final = 12

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_CALLING_PLAN: Final = Connectivity.CALLING_PLAN
_INBOUND: Final = CallKind.INBOUND
_TOLL_FREE: Final = NumberClass.TOLL_FREE


# Nobody changes one. It is not frozen because making it would then cost a tenth of a decision, and
# no named tuple because reading its fields would.
@dataclass(slots=True)
class Enquiry:
    """A call whose payer and far end are known; every rule is a function of it.

    `account` holds the licences, the plan and the restriction that decide; `user` is the person the
    call belongs to (who dials, forwards, organizes, is called), another one under Shared Calling.
    `usage_location` is the account's, the tenant's country where there is none.

    The far end is the caller where a call arrives; `e164` is empty where that is not known.
    `country` is the one the far end counts as: its own, but for a called number without any the
    country that dials it. `treatment` is how premium and shared-cost numbers are treated. Of a
    short code `e164` is its digits alone.
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
    short_code: ShortCode | None


def open_enquiry(call: Call, facts: Facts, now_ms: int) -> Enquiry | Refusal:
    """Find the payer and read the far end's number; refuse what is no number and nobody's call."""
    tenant, catalogue = facts.tenant, facts.catalogue
    traits = TRAITS[call.kind]
    party = find_party(call, tenant, traits)
    if not isinstance(party, tuple):
        return _refuse_nobodys(call, facts, party)
    payer, account, user, service = party
    e164 = _read_far_end(call, tenant, party) or ""
    destination = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
    here = tenant.country if account is None else account.usage_location
    treatment = None
    short_code = None
    if traits.arriving:
        if destination is None:
            destination = _by_country_code(call.calling_number, catalogue)
        country = destination.country
    elif found := _find_short_code(call, tenant, catalogue, here=here):
        e164, short_code = found
        destination = leads_to(e164, short_code)
        country = destination.country
        treatment = treatment_of(short_code)
    elif destination is None:
        reason = _why_nowhere(e164)
        number = e164 if reason is Reason.AREA_CODE_UNKNOWN else ""
        return Refusal(reason, payer, number, call_type(call, user, service))
    else:
        country = destination.country
        if country == WORLD:
            country = _counted_country(destination, catalogue, here)
        treatment = find_treatment(catalogue.premium_rules.get(here, ()), e164, destination)
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
        short_code,
    )


def is_paid_by_carrier(enquiry: Enquiry) -> bool:
    """Direct Routing and Operator Connect calls are the carrier's, but not those of a bridge."""
    user = enquiry.user
    if user is None or user.connectivity is _CALLING_PLAN or user is not enquiry.account:
        return False
    return not enquiry.traits.of_meeting or not may_hold_meetings(user)


def _read_far_end(call: Call, tenant: Tenant, party: Party) -> str | None:
    """Read the number at the other end, a national spelling as one of the country it is dialled in.

    That is the service number's, else the person's, else the account's.
    """
    _, account, user, service = party
    if service is not None:
        return _read_caller(call.calling_number, service.country)
    somebody = account if user is None else user
    # Whatever is no service number's is somebody's.
    assert somebody is not None
    if call.kind is _INBOUND:
        return _read_caller(call.calling_number, somebody.usage_location)
    return read_number(call.called_number, somebody.usage_location, tenant.dial_plan)


def _read_caller(presented: str, country: str) -> str | None:
    """Read who calls, generously: what no number of ours is spelled like hides nobody."""
    e164 = read_number(presented, country)
    return read_number(read_past_uri(presented), country) if e164 is None else e164


def _find_short_code(
    call: Call, tenant: Tenant, catalogue: Catalogue, *, here: str
) -> tuple[str, ShortCode] | None:
    short_codes = catalogue.short_codes.get(here)
    if short_codes is None:
        return None
    return find_short_code(short_codes, call.called_number, tenant.dial_plan)


def _by_country_code(presented: str, catalogue: Catalogue) -> Destination:
    """Say where a caller is of whose number no more is known than its country code."""
    code, country = split_country_code(read_past_uri(presented))
    if not country:
        return NOWHERE
    known = catalogue.destinations.get(code)
    return Destination(code, country, NumberClass.ORDINARY, known.label if known else country)


def _why_nowhere(e164: str) -> Reason:
    """Say what is wrong with a called number that leads nowhere."""
    is_north_american = e164.startswith("+1") and len(e164) == _NORTH_AMERICAN_LENGTH
    if is_north_american and e164[2] not in "01":
        return Reason.AREA_CODE_UNKNOWN
    return Reason.NUMBER_INVALID


def _counted_country(destination: Destination, catalogue: Catalogue, here: str) -> str:
    """North American toll-free numbers have no country: they count as the one that dials them."""
    if destination.number_class is not _TOLL_FREE:
        return WORLD
    reached = is_destination_reachable(catalogue.toll_free_reach, destination, here)
    return here if reached else WORLD


def _refuse_nobodys(call: Call, facts: Facts, reason: Reason) -> Refusal:
    """Refuse a call that nobody is known to pay; what is no number at all comes first.

    What digits of a national spelling mean hangs on who dials them, and that is not known.
    """
    tenant, catalogue = facts.tenant, facts.catalogue
    if not TRAITS[call.kind].arriving and not is_national(call.called_number):
        e164 = read_number(call.called_number, tenant.country, tenant.dial_plan) or ""
        if find_destination(catalogue.destinations, catalogue.longest_prefix, e164) is None:
            reason = _why_nowhere(e164)
            if reason is Reason.AREA_CODE_UNKNOWN:
                return Refusal(reason, None, e164, call_type(call, None, None))
    return Refusal(reason, None, "", call_type(call, None, None))
