"""What the kind of a call implies for the rules, looked up once for each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policy.facts import CallKind


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
