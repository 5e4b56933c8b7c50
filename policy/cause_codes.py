"""What a refusal suggests: a SIP status and a Q.850 cause for the gateway, words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policy.decision import Reason


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to do about one reason. The SIP status is never 5xx (a proxy would retry) nor 6xx.

    `help_text` is a sentence a help desk can read out, `remedy` the smallest change that would help
    where no more is known than the reason; it is empty where nothing would.
    """

    sip_status: int
    q850_cause: int
    help_text: str
    remedy: str


# Q.850: 3 no route to destination, 17 user busy, 21 call rejected, 28 invalid number format.
SUGGESTIONS: Final[Mapping[Reason, Suggestion]] = MappingProxyType(
    {
        Reason.NUMBER_INVALID: Suggestion(
            484,
            28,
            "What was dialled is not a telephone number.",
            "Dial the number with + and its country code.",
        ),
        Reason.AREA_CODE_UNKNOWN: Suggestion(
            404,
            3,
            "The number's area code is not in the catalogue.",
            "Add the area code to prefixes_extra.csv of the catalogue.",
        ),
        Reason.USER_UNKNOWN: Suggestion(
            403,
            21,
            "The organisation has no such user or resource account.",
            "Add the account to the directory.",
        ),
        Reason.SERVICE_NUMBER_UNKNOWN: Suggestion(
            403,
            21,
            "The organisation has no such service number.",
            "Add the service number to the directory.",
        ),
        Reason.CALLER_BLOCKED: Suggestion(
            403,
            21,
            "The organisation blocks calls from this number.",
            "Exempt the caller's number from the inbound blocks.",
        ),
        Reason.ACCOUNT_FROZEN: Suggestion(
            403,
            21,
            "The account is frozen and cannot place or receive calls.",
            "Unfreeze the account.",
        ),
        Reason.LICENCE_MISSING: Suggestion(
            403,
            21,
            "The account has no licence for this kind of call.",
            "Assign the missing licence.",
        ),
        Reason.DESTINATION_BLOCKED: Suggestion(
            403,
            21,
            "Numbers of this kind cannot be dialled.",
            "",
        ),
        Reason.DESTINATION_RESTRICTED: Suggestion(
            403,
            21,
            "An administrator does not let this account call this destination.",
            "Widen the outbound calling restriction.",
        ),
        Reason.TOLL_FREE_UNREACHABLE: Suggestion(
            404,
            3,
            "This toll-free number does not work from this country.",
            "",
        ),
        Reason.TOLL_FREE_NOT_ALLOWED: Suggestion(
            403,
            21,
            "This meeting cannot be joined through a toll-free number; a toll number works.",
            "Let toll-free callers into the organizer's meetings.",
        ),
        Reason.DESTINATION_UNRATED: Suggestion(
            403,
            21,
            "There is no price for this destination, so credits cannot pay for it.",
            "Add a rate for the destination in the tenant's currency.",
        ),
        Reason.TENANT_NOT_ENABLED: Suggestion(
            403,
            21,
            "The organisation has not set up credits, and nothing else may pay for this call.",
            "Set up credits for the tenant.",
        ),
        Reason.PAYER_NOT_ENABLED: Suggestion(
            403,
            21,
            "The account has no credits licence, and nothing else may pay for this call.",
            "Assign a credits licence to the account that pays.",
        ),
        Reason.BALANCE_MISSING: Suggestion(
            402,
            21,
            "The organisation never funded its credits, and nothing else may pay for this call.",
            "Fund the tenant's credits.",
        ),
        Reason.OVERAGE_OFF: Suggestion(
            403,
            21,
            "The organisation does not let calls go beyond what is included until the next period.",
            "Switch overage on for the tenant.",
        ),
        Reason.SPEND_LIMIT_REACHED: Suggestion(
            402,
            21,
            "The user has reached their spending limit of this month.",
            "Raise the user's spending limit.",
        ),
        Reason.CONCURRENT_CALLS: Suggestion(
            486,
            17,
            "As many calls as allowed are already running.",
            "End a running call or raise the limit.",
        ),
        Reason.CALL_ID_IN_USE: Suggestion(
            403,
            21,
            "Another gateway has a running call of the same id.",
            "Use an id of its own for each call.",
        ),
        Reason.ALLOWANCE_EXHAUSTED: Suggestion(
            402,
            21,
            "The included minutes of this month are used up, and nothing else may pay.",
            "Set up credits, or wait for the next month.",
        ),
        Reason.TOLL_FREE_NEEDS_CREDIT: Suggestion(
            402,
            21,
            "Toll-free numbers need a positive balance, and the credits are used up.",
            "Top up the tenant's credits.",
        ),
        Reason.CREDITS_EXHAUSTED: Suggestion(
            402,
            21,
            "The organisation's credits do not cover the beginning of this call.",
            "Top up the tenant's credits.",
        ),
    }
)
