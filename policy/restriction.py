"""What may not be dialled, whoever pays: blocked numbers and an administrator's restriction."""

from __future__ import annotations

from typing import Final

from policy.destination import NANP_CODE, NumberClass, is_destination_reachable, is_same_country
from policy.enquiry import Enquiry, is_paid_by_carrier
from policy.facts import (
    Capability,
    ConferenceScope,
    PstnScope,
    ResourceAccount,
    Restriction,
    Treatment,
)
from policy.licence import may_answer_or_transfer, may_dial_out_of_meetings, may_place_calls
from policy.reasons import Reason

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_TOLL_FREE: Final = NumberClass.TOLL_FREE
_BLOCKED: Final = Treatment.BLOCKED
_INTERNATIONAL: Final = PstnScope.INTERNATIONAL
_ANY: Final = ConferenceScope.ANY


def refuse_blocked(enquiry: Enquiry) -> Reason | None:
    """Object to the tenant's blocked prefixes and to what holders in this country never reach."""
    blocked_prefixes = enquiry.tenant.blocked_prefixes
    if blocked_prefixes and digits_of(enquiry).startswith(blocked_prefixes):
        return Reason.DESTINATION_BLOCKED
    if enquiry.treatment is _BLOCKED and not is_paid_by_carrier(enquiry):
        return Reason.DESTINATION_BLOCKED
    return None


def digits_of(enquiry: Enquiry) -> str:
    """Return the digits that prefixes begin; those of a short code stand behind a country code."""
    return enquiry.e164[1:] if enquiry.short_code is None else enquiry.destination.prefix


def refuse_restricted(enquiry: Enquiry) -> Reason | None:
    """Object where the payer's outbound calling restriction does not let the call out."""
    restriction = effective_restriction(enquiry)
    if enquiry.traits.of_meeting:
        scope = restriction.conference_scope
        allowed = scope is _ANY or _conference_scope_allows(scope, enquiry)
    else:
        allowed = restriction.pstn_scope is _INTERNATIONAL or (
            restriction.pstn_scope is PstnScope.DOMESTIC
            and is_same_country(enquiry.country, enquiry.usage_location)
        )
    return None if allowed else Reason.DESTINATION_RESTRICTED


def refuse_unreachable(enquiry: Enquiry) -> Reason | None:
    """Object to dialling out to a toll-free number that does not work from the payer's country."""
    destination = enquiry.destination
    if destination.number_class is not _TOLL_FREE or is_paid_by_carrier(enquiry):
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


def leads_to_us_ca_toll_free(enquiry: Enquiry) -> bool:
    """Tell a toll-free number of the US and Canada, which share one range and have no country."""
    destination = enquiry.destination
    return destination.number_class is _TOLL_FREE and destination.prefix.startswith(NANP_CODE)


def _dials_us_ca(enquiry: Enquiry) -> bool:
    """A US/Canada dial-out licence includes toll-free numbers there, wherever its holder is."""
    account = enquiry.account
    return (
        enquiry.traits.of_meeting
        and account is not None
        and Capability.AUDIO_CONFERENCING_US_CA in account.capabilities
    )


def _conference_scope_allows(scope: ConferenceScope, enquiry: Enquiry) -> bool:
    """The organizer's country counts, never the dialler's."""
    if scope is ConferenceScope.SAME_COUNTRY_AS_ORGANIZER:
        return is_same_country(enquiry.country, enquiry.usage_location)
    if scope is ConferenceScope.ZONE_A:
        return enquiry.country in enquiry.catalogue.zone_a
    return False


def refuse_frozen(enquiry: Enquiry) -> Reason | None:
    """Object where the tenant, the paying account or the person is frozen.

    The call-back of an emergency service is let through, as the emergency call was.
    """
    if enquiry.call.emergency_callback:
        return None
    account, user = enquiry.account, enquiry.user
    frozen = (
        enquiry.tenant.frozen
        or (account is not None and account.frozen)
        or (user is not None and user.frozen)
    )
    return Reason.ACCOUNT_FROZEN if frozen else None


def refuse_unlicensed(enquiry: Enquiry) -> Reason | None:
    """Object where the licences that decide do not allow this kind of outbound call."""
    account, user = enquiry.account, enquiry.user
    if user is None:
        # Whatever is nobody's comes from an attendant or a queue.
        assert isinstance(account, ResourceAccount)
        licensed = may_answer_or_transfer(account)
    elif enquiry.traits.of_meeting:
        licensed = may_dial_out_of_meetings(user)
    else:
        # Under Shared Calling the licence is the user's, the plan the account's.
        has_plan = user is account or (account is not None and account.plan is not None)
        licensed = has_plan and may_place_calls(user)
    return None if licensed else Reason.LICENCE_MISSING
