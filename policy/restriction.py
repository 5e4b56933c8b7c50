"""What may not be dialled, whoever pays: blocked numbers and an administrator's restriction."""

from __future__ import annotations

from typing import Final

from policy.decision import Reason
from policy.destination import NumberClass
from policy.domestic import is_own_number, is_same_country
from policy.enquiry import Enquiry, is_paid_by_carrier
from policy.facts import (
    Capability,
    ConferenceScope,
    PremiumRule,
    PstnScope,
    Restriction,
    Treatment,
)
from policy.payer import MEETING_KINDS
from policy.reach import NANP_CODE, is_destination_reachable

# A premium rule of this prefix stands for every premium number of its country.
EVERY_PREMIUM: Final = "*"


def refuse_blocked(enquiry: Enquiry) -> Reason | None:
    """Object to the tenant's blocked prefixes and to what holders in this country never reach."""
    if enquiry.e164.startswith(enquiry.tenant.blocked_prefixes, 1):
        return Reason.DESTINATION_BLOCKED
    if premium_treatment(enquiry) is Treatment.BLOCKED and not is_paid_by_carrier(enquiry):
        return Reason.DESTINATION_BLOCKED
    return None


def refuse_restricted(enquiry: Enquiry) -> Reason | None:
    """Object where the payer's outbound calling restriction does not let the call out."""
    restriction = effective_restriction(enquiry)
    if enquiry.call.kind in MEETING_KINDS:
        allowed = _conference_scope_allows(restriction.conference_scope, enquiry)
    else:
        allowed = _pstn_scope_allows(restriction.pstn_scope, enquiry)
    return None if allowed else Reason.DESTINATION_RESTRICTED


def refuse_unreachable(enquiry: Enquiry) -> Reason | None:
    """Object to dialling out to a toll-free number that does not work from the payer's country."""
    destination = enquiry.destination
    if destination.number_class is not NumberClass.TOLL_FREE or is_paid_by_carrier(enquiry):
        return None
    if leads_to_us_ca_toll_free(enquiry) and _dials_us_ca(enquiry):
        return None
    reach = enquiry.catalogue.toll_free_reach
    if is_destination_reachable(reach, destination, enquiry.usage_location):
        return None
    return Reason.TOLL_FREE_UNREACHABLE


def effective_restriction(enquiry: Enquiry) -> Restriction:
    """Return the account's own restriction; none of its own means the tenant's, never "none"."""
    account = enquiry.account
    if account is not None and account.restriction is not None:
        return account.restriction
    return enquiry.tenant.restriction


def premium_treatment(enquiry: Enquiry) -> Treatment | None:
    """Say how premium and shared-cost numbers are treated for holders in the payer's country.

    The longest prefix wins over the rule for every premium number. Anything else of these classes
    is never covered by minutes, so it is left to credits; None is an ordinary number.
    """
    here = enquiry.usage_location
    found: PremiumRule | None = None
    for rule in enquiry.catalogue.premium_rules:
        if rule.country != here or not _applies(rule, enquiry):
            continue
        if found is None or found.prefix == EVERY_PREMIUM or len(rule.prefix) > len(found.prefix):
            found = rule
    if found is not None:
        return found.treatment
    if enquiry.destination.number_class in {NumberClass.PREMIUM, NumberClass.SHARED_COST}:
        return Treatment.CREDITS_ONLY
    return None


def leads_to_us_ca_toll_free(enquiry: Enquiry) -> bool:
    """Tell a toll-free number of the US and Canada, which share one range and have no country."""
    destination = enquiry.destination
    return destination.number_class is NumberClass.TOLL_FREE and destination.prefix.startswith(
        NANP_CODE
    )


def _applies(rule: PremiumRule, enquiry: Enquiry) -> bool:
    if rule.prefix != EVERY_PREMIUM:
        return enquiry.e164.startswith(rule.prefix, 1)
    destination = enquiry.destination
    return destination.number_class is NumberClass.PREMIUM and is_own_number(
        destination, rule.country
    )


def _dials_us_ca(enquiry: Enquiry) -> bool:
    """A US/Canada dial-out licence includes toll-free numbers there, wherever its holder is."""
    account = enquiry.account
    return (
        enquiry.call.kind in MEETING_KINDS
        and account is not None
        and Capability.AUDIO_CONFERENCING_US_CA in account.capabilities
    )


def _pstn_scope_allows(scope: PstnScope, enquiry: Enquiry) -> bool:
    if scope is PstnScope.INTERNATIONAL:
        return True
    if scope is PstnScope.DOMESTIC:
        return is_same_country(enquiry.country, enquiry.usage_location)
    return False


def _conference_scope_allows(scope: ConferenceScope, enquiry: Enquiry) -> bool:
    """The organizer's country counts, never the dialler's."""
    if scope is ConferenceScope.ANY:
        return True
    if scope is ConferenceScope.SAME_COUNTRY_AS_ORGANIZER:
        return is_same_country(enquiry.country, enquiry.usage_location)
    if scope is ConferenceScope.ZONE_A:
        return enquiry.country in enquiry.catalogue.zone_a
    return False
