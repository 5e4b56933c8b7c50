"""Calls that arrive: at a service number, which may cost, and at a user's own, which never does."""

from __future__ import annotations

import re
from typing import Final

from policy.allowance import CONFERENCE_CAPABILITY
from policy.decision import CreditsPurse, FreePurse, FreeReason
from policy.destination import WORLD, is_reachable
from policy.enquiry import Enquiry
from policy.facts import (
    Capability,
    Rate,
    ResourceAccount,
    ServiceKind,
    ServiceNumber,
    UnknownOrigin,
)
from policy.licence import may_answer_or_transfer, may_hold_meetings, pays_per_minute
from policy.purses import find_credits
from policy.rating import dearest_toll_free_rate, rate_for_toll, rate_for_toll_free
from policy.reasons import Reason
from policy.spelling import LONGEST_DIALLED

INBOUND_CAPABILITY: Final = "MCOPSTNU"
VOICE_APPLICATION_CAPABILITY: Final = "MCOEV_VIRTUALUSER"

INBOUND_PURSE: Final = FreePurse(FreeReason.INBOUND, INBOUND_CAPABILITY)
TOLL_BRIDGE_PURSE: Final = FreePurse(FreeReason.TOLL_SUBSCRIPTION, CONFERENCE_CAPABILITY)
TOLL_SERVICE_PURSE: Final = FreePurse(FreeReason.TOLL_SUBSCRIPTION, VOICE_APPLICATION_CAPABILITY)

_SYMBOLS: Final = re.compile(r"[^0-9A-Za-z]+")


def refuse_blocked_caller(enquiry: Enquiry) -> Reason | None:
    """Object to callers the tenant blocks; an exemption wins, an emergency's call-back too.

    Patterns look at what was presented and at the number it was read as: who spells it nationally
    is the same caller.
    """
    tenant = enquiry.tenant
    if not tenant.block_inbound or enquiry.call.emergency_callback:
        return None
    # Nobody's number is longer, and the effort of patterns is judged by this length.
    presented = _SYMBOLS.sub("", enquiry.call.calling_number)[:LONGEST_DIALLED]
    spellings = (presented, enquiry.e164.removeprefix("+") or presented)
    if not _matches(tenant.blocked_callers, spellings):
        return None
    return None if _matches(tenant.exempt_callers, spellings) else Reason.CALLER_BLOCKED


def _matches(patterns: tuple[re.Pattern[str], ...], spellings: tuple[str, str]) -> bool:
    return any(pattern.search(spelling) for pattern in patterns for spelling in spellings)


def refuse_unlicensed_service(enquiry: Enquiry) -> Reason | None:
    """A bridge needs the organizer's Audio Conferencing, the others their account's own licence.

    Who is not known yet is not judged yet: an organizer's PIN comes after the call.
    """
    service = _service(enquiry)
    if service.service is ServiceKind.BRIDGE:
        licensed = enquiry.user is None or may_hold_meetings(enquiry.user)
    else:
        account = enquiry.account
        licensed = not isinstance(account, ResourceAccount) or may_answer_or_transfer(account)
    return None if licensed else Reason.LICENCE_MISSING


def refuse_unreachable_toll_free(enquiry: Enquiry) -> Reason | None:
    """A toll-free number works in its own country; an unknown origin may be anywhere."""
    service = _service(enquiry)
    if not service.toll_free or not is_origin_known(enquiry):
        return None
    reach = enquiry.catalogue.toll_free_reach
    if is_reachable(reach, service.country, enquiry.country):
        return None
    return Reason.TOLL_FREE_UNREACHABLE


def refuse_toll_free_switched_off(enquiry: Enquiry) -> Reason | None:
    """An organizer may keep toll-free callers out of their meetings; toll callers still enter."""
    service = _service(enquiry)
    organizer = enquiry.user
    if not service.toll_free or service.service is not ServiceKind.BRIDGE or organizer is None:
        return None
    return None if organizer.allow_toll_free_dial_in else Reason.TOLL_FREE_NOT_ALLOWED


def find_service_purse(enquiry: Enquiry, rate: Rate | None) -> FreePurse | CreditsPurse | Reason:
    """Toll-free minutes are always the tenant's credits; toll ones only with pay-per-minute."""
    service = _service(enquiry)
    if service.toll_free:
        return find_credits(enquiry, rate, exhausted=Reason.TOLL_FREE_NEEDS_CREDIT)
    if is_toll_charged(enquiry):
        return find_credits(enquiry, rate, exhausted=Reason.CREDITS_EXHAUSTED)
    return TOLL_BRIDGE_PURSE if service.service is ServiceKind.BRIDGE else TOLL_SERVICE_PURSE


def find_service_rate(enquiry: Enquiry) -> Rate | None:
    """Find what a minute at the service number costs; None where it has no rate, or costs nothing.

    An unknown origin counts as the dearest that reaches the number, or has no rate, by the tenant's
    setting.
    """
    service = _service(enquiry)
    catalogue, currency = enquiry.catalogue, enquiry.tenant.currency
    if not service.toll_free:
        if not is_toll_charged(enquiry):
            return None
        return rate_for_toll(catalogue, currency, service.country, now_ms=enquiry.now_ms)
    if is_origin_known(enquiry):
        return rate_for_toll_free(
            catalogue,
            currency,
            service.country,
            origin_country=enquiry.country,
            now_ms=enquiry.now_ms,
        )
    if enquiry.tenant.unknown_origin is UnknownOrigin.REFUSE:
        return None
    return dearest_toll_free_rate(catalogue, currency, service.country, now_ms=enquiry.now_ms)


def is_origin_known(enquiry: Enquiry) -> bool:
    """Tell whether the caller's number says which country the call comes from.

    Withheld numbers, toll-free ones and those of world-wide networks do not.
    """
    return enquiry.country not in {"", WORLD}


def is_toll_charged(enquiry: Enquiry) -> bool:
    """Pay-per-minute conferencing is charged for toll callers of its bridge too.

    A known organizer's own licence decides; before that, the tenant's.
    """
    if _service(enquiry).service is not ServiceKind.BRIDGE:
        return False
    organizer = enquiry.user
    if organizer is None:
        return enquiry.tenant.per_minute_conferencing
    if Capability.AUDIO_CONFERENCING in organizer.capabilities:
        return False
    return enquiry.tenant.per_minute_conferencing or pays_per_minute(organizer)


def _service(enquiry: Enquiry) -> ServiceNumber:
    # Only calls to a service number come here, and theirs was found with the payer.
    assert enquiry.service is not None
    return enquiry.service
