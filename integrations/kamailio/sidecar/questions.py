"""From an INVITE to a question: who calls, who pays, where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from callgate import AuthorizeCallRequest, ForwardedCall, ServiceNumberCall, UserCall
from integrations.kamailio.sidecar.addresses import (
    Address,
    address_of,
    addresses_in,
    diverters_in,
)
from integrations.kamailio.sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Invite:
    """An INVITE as the proxy tells it; `callers` and `diverters` are who may count, in order."""

    transaction: tuple[int, int]
    call_id: str
    dialled: str
    callers: tuple[Address, ...]
    diverters: tuple[Address, ...]
    location: str

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Invite:
        """Read what the proxy tells.

        What a trusted network asserts counts, and where it asserts anything, nothing that a caller
        writes does.
        """
        index, label = told["transaction"]
        asserted = told["asserted"]
        return cls(
            (int(index), int(label)),
            told["call_id"],
            _dialled(told["uri"]),
            addresses_in(asserted if asserted.strip() else told["from"]),
            tuple(diverters_in(told["diversion"], told["history"])),
            told["location"],
        )


def question_of(invite: Invite, settings: Settings) -> AuthorizeCallRequest:
    """Ask for the call of an INVITE.

    A diverted call is its diverter's, whoever calls. Who calls from a tenant's domain is a user of
    the tenant. Everybody else comes from outside, to a service number, which leads to its tenant.
    """
    question = AuthorizeCallRequest(
        call_id=invite.call_id,
        called_number=invite.dialled,
        calling_number=next((one.number for one in invite.callers if one.number), ""),
        location=invite.location or settings.location,
    )
    diverter, caller = _user(invite.diverters, settings), _user(invite.callers, settings)
    if diverter is not None:
        question.tenant_id, user_id = diverter
        question.forwarded_call.CopyFrom(ForwardedCall(user_id=user_id))
    elif caller is not None:
        question.tenant_id, user_id = caller
        question.user_call.CopyFrom(UserCall(user_id=user_id))
    else:
        question.service_number_call.CopyFrom(ServiceNumberCall())
    return question


def _user(addresses: Iterable[Address], settings: Settings) -> tuple[str, str] | None:
    """Find the first that is a tenant's user: by the domain, or by the number it has."""
    for address in addresses:
        tenant_id = settings.tenants.get(address.host)
        user_id = address.user
        if address.number in settings.numbers:
            user_id, _, domain = settings.numbers[address.number].rpartition("@")
            tenant_id = settings.tenants[domain.lower()]
        if tenant_id is not None:
            return tenant_id, user_id
    return None


def _dialled(uri: str) -> str:
    """Read what a request URI dials; one without a user, a URN say, stands as it is."""
    address = address_of(uri)
    return uri if address is None else address.user or uri
