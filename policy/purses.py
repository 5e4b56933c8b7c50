"""What may pay a call, in order: nothing to pay, minutes, the tenant's credits."""

from __future__ import annotations

from typing import Final

from policy.allowance import CONFERENCE_CAPABILITY, find_pools, is_fair_use, month
from policy.decision import CreditsPurse, FreePurse, FreeReason, Purse, SpendLimit
from policy.enquiry import Enquiry, is_paid_by_carrier
from policy.facts import Capability, FundingModel, Rate, ShortCodeClass, Tenant
from policy.licence import pays_per_minute
from policy.reasons import Reason

# The licences that pay, as usage records name them.
CREDITS_CAPABILITY: Final = "MCOPSTNPP"
PER_MINUTE_CAPABILITY: Final = "MCOMEETACPEA"
CARRIER_CAPABILITY: Final = "MCOEV"

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_PREPAID: Final = FundingModel.PREPAID
_CREDITS: Final = Capability.CREDITS
_ALLOWANCE_EXHAUSTED: Final = Reason.ALLOWANCE_EXHAUSTED
_CREDITS_EXHAUSTED: Final = Reason.CREDITS_EXHAUSTED

CARRIER_PURSE: Final = FreePurse(FreeReason.CARRIER, CARRIER_CAPABILITY)
SHORT_CODE_PURSE: Final = FreePurse(FreeReason.SHORT_CODE, "")
FAIR_USE_PURSE: Final = FreePurse(FreeReason.FAIR_USE, CONFERENCE_CAPABILITY)


def find_free_purse(enquiry: Enquiry) -> FreePurse | None:
    """Find what makes an outbound call cost nothing: a free code, the carrier, or fair use."""
    if is_free_code(enquiry):
        return SHORT_CODE_PURSE
    if is_paid_by_carrier(enquiry):
        return CARRIER_PURSE
    if enquiry.traits.of_meeting and is_fair_use(enquiry):
        return FAIR_USE_PURSE
    return None


def find_purses(enquiry: Enquiry, rate: Rate | None) -> tuple[Purse, ...] | Reason:
    """List what may pay an outbound call, minutes before credits; or say what forbids credits.

    Where minutes pay and credits may not follow, the reason goes with the minutes and is told when
    they are used up.
    """
    credits_purse = find_credits(enquiry, rate, exhausted=_CREDITS_EXHAUSTED)
    if isinstance(credits_purse, CreditsPurse):
        pools = find_pools(enquiry, _ALLOWANCE_EXHAUSTED)
        return (*pools, credits_purse) if pools else (credits_purse,)
    forbidden = credits_purse
    if enquiry.tenant.funding_model is FundingModel.NONE:
        # Nothing was ever meant to follow the minutes, so it is they that are missing.
        forbidden = _ALLOWANCE_EXHAUSTED
    return find_pools(enquiry, forbidden) or credits_purse


def find_credits(
    enquiry: Enquiry, rate: Rate | None, *, exhausted: Reason
) -> CreditsPurse | Reason:
    """Let the tenant's credits pay, or name the first condition that is not met.

    The balance itself is the ledger's to look at; `exhausted` is what it says without money.
    """
    tenant = enquiry.tenant
    if rate is None:
        return Reason.DESTINATION_UNRATED
    if not tenant.credits_enabled:
        return Reason.TENANT_NOT_ENABLED
    if not is_licensed_for_credits(enquiry):
        return Reason.PAYER_NOT_ENABLED
    post_paid = False
    if tenant.funding_model is not _PREPAID:
        if tenant.funding_model is FundingModel.NONE:
            return Reason.BALANCE_MISSING
        if tenant.funding_model is FundingModel.POST_PAID and not tenant.overage_enabled:
            return Reason.OVERAGE_OFF
        post_paid = is_post_paid(tenant)
        exhausted = Reason.OVERAGE_OFF if _ends_when_drained(tenant) else exhausted
    limit, capability = _spend_limit(enquiry), _credits_capability(enquiry)
    return CreditsPurse(rate, tenant.overdraft_micros, post_paid, limit, capability, exhausted)


def is_free_code(enquiry: Enquiry) -> bool:
    """Tell a short code that costs nothing and is nobody's to forbid, such as a crisis line."""
    code = enquiry.short_code
    return code is not None and code.treatment is ShortCodeClass.FREE


def is_post_paid(tenant: Tenant) -> bool:
    """Tell whether a tenant pays afterwards what its credits do not cover.

    What is left of an old balance is used up first; with auto-recharge on it never ends.
    """
    if tenant.funding_model is FundingModel.POST_PAID:
        return tenant.overage_enabled
    return _is_draining(tenant) and tenant.overage_enabled


def is_licensed_for_credits(enquiry: Enquiry) -> bool:
    """The payer needs a credits licence: the user, the organizer, a Shared Calling account.

    Attendants, queues and toll-free numbers need none; nor does anybody while the organizer of a
    meeting is not known yet.
    """
    if enquiry.traits.of_account:
        return True
    service = enquiry.service
    if service is not None and (service.toll_free or enquiry.user is None):
        return True
    account = enquiry.account or enquiry.user
    return account is not None and _CREDITS in account.capabilities


def _is_draining(tenant: Tenant) -> bool:
    return tenant.funding_model is FundingModel.DRAIN_THEN_POST_PAID and not tenant.auto_recharge


def _ends_when_drained(tenant: Tenant) -> bool:
    return _is_draining(tenant) and not tenant.overage_enabled


def _spend_limit(enquiry: Enquiry) -> SpendLimit | None:
    """A user's own limit counts what their outgoing calls cost, also those another account pays."""
    user = enquiry.user
    if user is None or user.spend_limit_micros is None or enquiry.service is not None:
        return None
    period = month(enquiry.tenant.time_zone, enquiry.now_ms)
    return SpendLimit(user.user_id, period, user.spend_limit_micros)


def _credits_capability(enquiry: Enquiry) -> str:
    organizer = enquiry.user
    if organizer is None or not (enquiry.traits.of_meeting or enquiry.service is not None):
        return CREDITS_CAPABILITY
    return PER_MINUTE_CAPABILITY if pays_per_minute(organizer) else CREDITS_CAPABILITY
