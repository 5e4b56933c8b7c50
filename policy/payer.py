"""Who pays: the account whose licences, allowances and restriction decide a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policy.decision import Payer, PayerKind
from policy.facts import (
    Call,
    CallKind,
    Connectivity,
    ResourceAccount,
    ServiceKind,
    ServiceNumber,
    Tenant,
    User,
)
from policy.numbering import read_number
from policy.reasons import Reason

# Members of an enumeration are slow to look up on Python 3.11, and these are for every call.
_SERVICE_NUMBER: Final = CallKind.SERVICE_NUMBER
_INBOUND: Final = CallKind.INBOUND
_DIRECT_ROUTING: Final = Connectivity.DIRECT_ROUTING
_USER: Final = PayerKind.USER
_ORGANIZER: Final = PayerKind.ORGANIZER
_RESOURCE_ACCOUNT: Final = PayerKind.RESOURCE_ACCOUNT
_TENANT: Final = PayerKind.TENANT
_BRIDGE: Final = ServiceKind.BRIDGE

# Who pays, and on whose behalf: the payer, the account that holds the licences, the plan and the
# restriction that decide (none for a bridge's number, where the tenant is all there is), the person
# the call belongs to (who dials, forwards, organizes, is called; not the account under Shared
# Calling), and the service number called. A bare tuple, for it is taken apart at once.
Party = tuple[Payer, User | ResourceAccount | None, User | None, ServiceNumber | None]


def find_party(call: Call, tenant: Tenant, traits: Traits) -> Party | Reason:
    """Find the paying account by the kind of call, or say that the tenant has no such account."""
    if call.kind is _SERVICE_NUMBER:
        return _service_party(call, tenant)
    if traits.of_account:
        return _transfer_party(call, tenant)
    user = tenant.users.get(call.account_ids[0]) if call.account_ids else None
    if user is None:
        return Reason.USER_UNKNOWN
    if traits.of_meeting:
        return Payer(_ORGANIZER, tenant.tenant_id, user.user_id), user, user, None
    if user.shared_calling_account_id and call.kind is not _INBOUND:
        return _shared_calling_party(user, tenant)
    return Payer(_USER, tenant.tenant_id, user.user_id), user, user, None


def call_type(call: Call, user: User | None, service: ServiceNumber | None) -> str:
    """Name the kind of call as usage records do, such as "user_out" or "conf_in"."""
    if call.emergency_callback:
        return EMERGENCY_CALLBACK_CALL_TYPE
    if service is not None and service.service is not _BRIDGE:
        return VOICE_APPLICATION_CALL_TYPE
    traits = TRAITS[call.kind]
    if user is not None and user.connectivity is _DIRECT_ROUTING:
        return traits.direct_routing_call_type
    return traits.call_type


def _service_party(call: Call, tenant: Tenant) -> Party | Reason:
    """The tenant pays for what arrives at its service numbers; the organizer may come later."""
    organizer = None
    if call.account_ids:
        organizer = tenant.users.get(call.account_ids[0])
        if organizer is None:
            return Reason.USER_UNKNOWN
    service = _find_service(call.service_number or call.called_number, tenant)
    if service is None:
        return Reason.SERVICE_NUMBER_UNKNOWN
    account = tenant.resource_accounts.get(service.account_id) if service.account_id else None
    return Payer(_TENANT, tenant.tenant_id, tenant.tenant_id), account, organizer, service


def _find_service(number: str, tenant: Tenant) -> ServiceNumber | None:
    service = tenant.service_numbers.get(number)
    if service is not None:
        return service
    return tenant.service_numbers.get(read_number(number, tenant.country) or "")


def _transfer_party(call: Call, tenant: Tenant) -> Party | Reason:
    """Of nested attendants and queues the first account counts, whoever transfers in the end."""
    account = tenant.resource_accounts.get(call.account_ids[0]) if call.account_ids else None
    if account is None:
        return Reason.USER_UNKNOWN
    return Payer(_RESOURCE_ACCOUNT, tenant.tenant_id, account.account_id), account, None, None


def _shared_calling_party(user: User, tenant: Tenant) -> Party:
    # The directory was checked as a whole: a Shared Calling account that is named exists.
    account = tenant.resource_accounts[user.shared_calling_account_id]
    return Payer(_RESOURCE_ACCOUNT, tenant.tenant_id, account.account_id), account, user, None


@dataclass(frozen=True, slots=True)
class Traits:
    """What follows from a kind of call.

    `call_type` is its name in usage records, `direct_routing_call_type` where the user's calls take
    that way. A call is `arriving` if the far end is the caller; `of_meeting` if the organizer pays,
    `of_account` if a resource account does, whoever dials.
    """

    call_type: str
    direct_routing_call_type: str
    arriving: bool = False
    of_meeting: bool = False
    of_account: bool = False


# Operator Connect calls keep the ordinary names; usage records tell the operator in another column.
TRAITS: Final[Mapping[CallKind, Traits]] = MappingProxyType(
    {
        CallKind.USER: Traits("user_out", "dr_out"),
        CallKind.FORWARDED: Traits("user_out_forwarding", "dr_out_user_forwarding"),
        CallKind.TRANSFERRED: Traits("user_out_transfer", "dr_out_user_transfer"),
        CallKind.ADDED_PARTY: Traits("user_out_conf", "dr_out_user_conf"),
        CallKind.MEETING_DIAL_OUT: Traits("conf_out", "conf_out", of_meeting=True),
        CallKind.CALL_ME: Traits("conf_out", "conf_out", of_meeting=True),
        CallKind.ATTENDANT_TRANSFER: Traits("ucap_out", "ucap_out", of_account=True),
        CallKind.QUEUE_TRANSFER: Traits("ucap_out", "ucap_out", of_account=True),
        CallKind.SERVICE_NUMBER: Traits("conf_in", "conf_in", arriving=True),
        CallKind.INBOUND: Traits("user_in", "dr_in", arriving=True),
    }
)

# Arrivals at an attendant or queue, and the call-back of an emergency service, have other names.
VOICE_APPLICATION_CALL_TYPE: Final = "ucap_in"
EMERGENCY_CALLBACK_CALL_TYPE: Final = "emergency_in"
