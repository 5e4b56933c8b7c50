"""Who pays: the account whose licences, allowances and restriction decide a call."""

from __future__ import annotations

from typing import Final, NamedTuple

from policy.decision import Payer, PayerKind, Reason
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

MEETING_KINDS: Final = (CallKind.MEETING_DIAL_OUT, CallKind.CALL_ME)
TRANSFER_KINDS: Final = (CallKind.ATTENDANT_TRANSFER, CallKind.QUEUE_TRANSFER)

_CALL_TYPES: Final = {
    CallKind.USER: "user_out",
    CallKind.FORWARDED: "user_out_forwarding",
    CallKind.TRANSFERRED: "user_out_transfer",
    CallKind.ADDED_PARTY: "user_out_conf",
    CallKind.MEETING_DIAL_OUT: "conf_out",
    CallKind.CALL_ME: "conf_out",
    CallKind.ATTENDANT_TRANSFER: "ucap_out",
    CallKind.QUEUE_TRANSFER: "ucap_out",
    CallKind.INBOUND: "user_in",
}
# Operator Connect calls keep the ordinary names; usage records tell the operator in another column.
_DIRECT_ROUTING_CALL_TYPES: Final = {
    CallKind.USER: "dr_out",
    CallKind.FORWARDED: "dr_out_user_forwarding",
    CallKind.TRANSFERRED: "dr_out_user_transfer",
    CallKind.ADDED_PARTY: "dr_out_user_conf",
    CallKind.INBOUND: "dr_in",
}


class Party(NamedTuple):
    """Who pays, and on whose behalf.

    `account` holds the licences, the plan and the restriction that decide; None for a bridge's
    number, where the tenant itself is all there is. `user` is the person the call belongs to (who
    dials, forwards, organizes, is called), and differs from `account` under Shared Calling.
    """

    payer: Payer
    account: User | ResourceAccount | None
    user: User | None
    service: ServiceNumber | None = None


def find_party(call: Call, tenant: Tenant) -> Party | Reason:
    """Find the paying account by the kind of call, or say that the tenant has no such account."""
    kind = call.kind
    if kind is CallKind.SERVICE_NUMBER:
        return _service_party(call, tenant)
    if kind in TRANSFER_KINDS:
        return _transfer_party(call, tenant)
    user = tenant.users.get(call.account_ids[0]) if call.account_ids else None
    if user is None:
        return Reason.USER_UNKNOWN
    if kind in MEETING_KINDS:
        return Party(Payer(PayerKind.ORGANIZER, tenant.tenant_id, user.user_id), user, user)
    if user.shared_calling_account_id and kind is not CallKind.INBOUND:
        return _shared_calling_party(user, tenant)
    return Party(Payer(PayerKind.USER, tenant.tenant_id, user.user_id), user, user)


def call_type(call: Call, user: User | None, service: ServiceNumber | None) -> str:
    """Name the kind of call as usage records do, such as "user_out" or "conf_in"."""
    if call.kind is CallKind.SERVICE_NUMBER:
        to_bridge = service is None or service.service is ServiceKind.BRIDGE
        return "conf_in" if to_bridge else "ucap_in"
    if call.emergency_callback:
        return "emergency_in"
    if user is not None and user.connectivity is Connectivity.DIRECT_ROUTING:
        return _DIRECT_ROUTING_CALL_TYPES.get(call.kind) or _CALL_TYPES[call.kind]
    return _CALL_TYPES[call.kind]


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
    payer = Payer(PayerKind.TENANT, tenant.tenant_id, tenant.tenant_id)
    return Party(payer, account, organizer, service)


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
    payer = Payer(PayerKind.RESOURCE_ACCOUNT, tenant.tenant_id, account.account_id)
    return Party(payer, account, None)


def _shared_calling_party(user: User, tenant: Tenant) -> Party:
    # The directory was checked as a whole: a Shared Calling account that is named exists.
    account = tenant.resource_accounts[user.shared_calling_account_id]
    payer = Payer(PayerKind.RESOURCE_ACCOUNT, tenant.tenant_id, account.account_id)
    return Party(payer, account, user)
