"""From an INVITE to a question: who calls, who pays, where it leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callgate import (
    AuthorizeCallRequest,
    ForwardedCall,
    ServiceNumberCall,
    UserCall,
)

_URI = re.compile(r"sips?:(?:([^@;>]*)@)?([^;>:]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Invite:
    """An INVITE as the proxy tells it."""

    transaction: tuple[int, int]
    call_id: str
    dialled: str
    calling: str
    user: str
    domain: str
    diversion: str
    location: str

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Invite:
        """Read what the proxy tells."""
        user, domain = told["from"]
        asserted = _parts(told["asserted"])
        index, label = told["transaction"]
        return cls(
            (int(index), int(label)),
            told["call_id"],
            told["dialled"],
            # What a trusted network asserts counts more than what a caller writes.
            asserted[0] if asserted else user,
            user,
            domain,
            told["diversion"],
            told["location"],
        )


def question_of(invite: Invite, tenants: Mapping[str, str], location: str) -> AuthorizeCallRequest:
    """Ask for the call of an INVITE.

    A diverted call is its diverter's, whoever calls. Who calls from a tenant's domain is a user of
    the tenant. Everybody else comes from outside, to a service number, which leads to its tenant.
    """
    question = AuthorizeCallRequest(
        call_id=invite.call_id,
        called_number=invite.dialled,
        calling_number=invite.calling if invite.calling.lstrip("+").isdecimal() else "",
        location=invite.location or location,
    )
    diverter = _parts(invite.diversion)
    if diverter is not None and diverter[1] in tenants:
        question.tenant_id = tenants[diverter[1]]
        question.forwarded_call.CopyFrom(ForwardedCall(user_id=diverter[0]))
    elif invite.domain in tenants:
        question.tenant_id = tenants[invite.domain]
        question.user_call.CopyFrom(UserCall(user_id=invite.user))
    else:
        question.service_number_call.CopyFrom(ServiceNumberCall())
    return question


def _parts(uri: str) -> tuple[str, str] | None:
    """Read user and domain of a SIP URI, as it stands in a header."""
    found = _URI.search(uri)
    return (found[1] or "", found[2].lower()) if found else None
