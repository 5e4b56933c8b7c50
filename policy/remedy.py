"""The smallest thing that would turn a refusal of the rules into a yes, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from policy.decision import Refusal
from policy.enquiry import Enquiry
from policy.facts import Call, Capability, ResourceAccount, Tenant, User
from policy.licence import CARRIERS
from policy.reasons import Reason
from policy.restriction import digits_of, effective_restriction

# Of North America, with its country code.
_AREA_CODE_DIGITS: Final = 4


def remedy_for(enquiry: Enquiry, reason: Reason) -> str:
    """Say what to change, naming the very account, number or setting; empty where nothing helps."""
    specific = _REMEDIES.get(reason)
    return specific(enquiry) if specific else reason.suggestion.remedy


def remedy_for_opening(call: Call, tenant: Tenant, refusal: Refusal) -> str:
    """Say what to change where the number could not be read, or nobody was found to pay."""
    reason = refusal.reason
    if reason is Reason.AREA_CODE_UNKNOWN:
        area_code = refusal.called_number[1 : 1 + _AREA_CODE_DIGITS]
        return f"Add {area_code} to prefixes_extra.csv of the catalogue, with country and class."
    if reason is Reason.USER_UNKNOWN:
        account_id = call.account_ids[0] if call.account_ids else ""
        return f"Add the account {account_id!r} to the directory of {tenant.tenant_id}."
    if reason is Reason.SERVICE_NUMBER_UNKNOWN:
        number = call.service_number or call.called_number
        return f"Add the service number {number} to the directory of {tenant.tenant_id}."
    return reason.suggestion.remedy


def account_name(enquiry: Enquiry) -> str:
    """Name the account whose licences decide: its id, or the tenant's."""
    return _id_of(enquiry.account or enquiry.user) or enquiry.tenant.tenant_id


def _id_of(account: User | ResourceAccount | None) -> str:
    if account is None:
        return ""
    return account.user_id if isinstance(account, User) else account.account_id


def _exempt_caller(enquiry: Enquiry) -> str:
    return f"Exempt {enquiry.call.calling_number or 'withheld numbers'} from the inbound blocks."


def _unfreeze(enquiry: Enquiry) -> str:
    if enquiry.tenant.frozen:
        return f"Unfreeze the tenant {enquiry.tenant.tenant_id}."
    frozen = (account for account in (enquiry.account, enquiry.user) if account and account.frozen)
    return f"Unfreeze {_id_of(next(frozen, None))}."


def _assign_licence(enquiry: Enquiry) -> str:
    account, user = enquiry.account, enquiry.user
    if isinstance(account, ResourceAccount) and user is None:
        return f"Assign a resource account licence (PHONESYSTEM_VIRTUALUSER) to {_id_of(account)}."
    if enquiry.service is not None or enquiry.traits.of_meeting:
        return f"Assign Audio Conferencing (MCOMEETADV) to {_id_of(user)}."
    missing = []
    if user is not None and Capability.PHONE_SYSTEM not in user.capabilities:
        missing.append(f"Phone System (MCOEV) to {_id_of(user)}")
    if _lacks_plan(account):
        missing.append(f"a Calling Plan to {_id_of(account)}")
    return f"Assign {' and '.join(missing)}."


def _lacks_plan(account: User | ResourceAccount | None) -> bool:
    if account is None or account.plan is not None:
        return False
    return isinstance(account, ResourceAccount) or account.connectivity not in CARRIERS


def _unblock(enquiry: Enquiry) -> str:
    for prefix in enquiry.tenant.blocked_prefixes:
        if digits_of(enquiry).startswith(prefix):
            return f"Take {prefix} off the tenant's blocked prefixes."
    code = enquiry.short_code
    if code is None:
        return ""
    return f"Let {code.code} of {code.country} be free or rated in short_codes_extra.csv."


def _widen_restriction(enquiry: Enquiry) -> str:
    scope = "meetings" if enquiry.traits.of_meeting else "own calls"
    return (
        f"Widen the restriction {effective_restriction(enquiry).identity} of"
        f" {account_name(enquiry)} so that its {scope} may go to {enquiry.destination.label}."
    )


def _let_toll_free_in(enquiry: Enquiry) -> str:
    return f"Let toll-free callers into the meetings of {_id_of(enquiry.user)}."


def _add_rate(enquiry: Enquiry) -> str:
    currency = enquiry.tenant.currency
    service = enquiry.service
    if service is None:
        number = enquiry.e164 if enquiry.short_code is None else enquiry.destination.prefix
        return f"Add a rate in {currency} for {enquiry.destination.label} ({number})."
    origin = enquiry.country or "an unknown origin"
    return f"Add a rate in {currency} for calls from {origin} to {service.number}."


def _assign_credits_licence(enquiry: Enquiry) -> str:
    return (
        f"Assign a credits licence (MCOPSTNPP) to {account_name(enquiry)}; one that was assigned"
        " elsewhere may take up to 24 hours to arrive here."
    )


def _enable_tenant(enquiry: Enquiry) -> str:
    return f"Set up credits for the tenant {enquiry.tenant.tenant_id}."


_REMEDIES: Final[Mapping[Reason, Callable[[Enquiry], str]]] = MappingProxyType(
    {
        Reason.CALLER_BLOCKED: _exempt_caller,
        Reason.ACCOUNT_FROZEN: _unfreeze,
        Reason.LICENCE_MISSING: _assign_licence,
        Reason.DESTINATION_BLOCKED: _unblock,
        Reason.DESTINATION_RESTRICTED: _widen_restriction,
        Reason.TOLL_FREE_NOT_ALLOWED: _let_toll_free_in,
        Reason.DESTINATION_UNRATED: _add_rate,
        Reason.TENANT_NOT_ENABLED: _enable_tenant,
        Reason.PAYER_NOT_ENABLED: _assign_credits_licence,
    }
)
