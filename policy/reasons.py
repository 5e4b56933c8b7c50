"""The reasons of refusals, in one table: number, suggestion to gateways, words and remedy.

A line of it is all that a reason needs beside the rule that says it and its name in the proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self


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


# Each member: the number, what the glossary says of it, and what is suggested.
# Q.850: 3 no route to destination, 17 user busy, 21 call rejected, 28 invalid number format.
class Reason(IntEnum):
    """Why a call is refused: where several reasons would apply, the earliest of this list is told.

    The numbers are those of the wire and of what is stored; they are frozen and mean nothing.
    """

    meaning: str
    suggestion: Suggestion

    # The rest is not named, for type checkers take a look-up, `Reason(20)`, for a call of this.
    def __new__(cls, number: int, *line: Any) -> Self:
        """Make a member from its line of the table."""
        reason = int.__new__(cls, number)
        reason._value_ = number
        reason.meaning, reason.suggestion = line
        return reason

    NUMBER_INVALID = (
        1,
        "What was dialled is no telephone number, or leads nowhere.",
        Suggestion(
            484,
            28,
            "What was dialled is not a telephone number.",
            "Dial the number with + and its country code.",
        ),
    )
    AREA_CODE_UNKNOWN = (
        22,
        "A North American number whose area code is not in the catalogue.",
        Suggestion(
            404,
            3,
            "The number's area code is not in the catalogue.",
            "Add the area code to prefixes_extra.csv of the catalogue.",
        ),
    )
    USER_UNKNOWN = (
        2,
        "The tenant has no such user, organizer or resource account.",
        Suggestion(
            403,
            21,
            "The organisation has no such user or resource account.",
            "Add the account to the directory.",
        ),
    )
    SERVICE_NUMBER_UNKNOWN = (
        21,
        "The tenant has no such service number.",
        Suggestion(
            403,
            21,
            "The organisation has no such service number.",
            "Add the service number to the directory.",
        ),
    )
    CALLER_BLOCKED = (
        3,
        "A pattern of the tenant blocks the caller, and no exemption matches.",
        Suggestion(
            403,
            21,
            "The organisation blocks calls from this number.",
            "Exempt the caller's number from the inbound blocks.",
        ),
    )
    ACCOUNT_FROZEN = (
        4,
        "The tenant, the paying account or the person is frozen.",
        Suggestion(
            403,
            21,
            "The account is frozen and cannot place or receive calls.",
            "Unfreeze the account.",
        ),
    )
    LICENCE_MISSING = (
        5,
        "The base licence for this kind of call is missing.",
        Suggestion(
            403,
            21,
            "The account has no licence for this kind of call.",
            "Assign the missing licence.",
        ),
    )
    DESTINATION_BLOCKED = (
        6,
        "The number or its class may not be dialled, whoever pays.",
        Suggestion(
            403,
            21,
            "Numbers of this kind cannot be dialled.",
            "",
        ),
    )
    DESTINATION_RESTRICTED = (
        7,
        "The outbound calling restriction does not let the call out.",
        Suggestion(
            403,
            21,
            "An administrator does not let this account call this destination.",
            "Widen the outbound calling restriction.",
        ),
    )
    TOLL_FREE_UNREACHABLE = (
        8,
        "The toll-free number does not work from there.",
        Suggestion(
            404,
            3,
            "This toll-free number does not work from this country.",
            "",
        ),
    )
    TOLL_FREE_NOT_ALLOWED = (
        9,
        "The organizer keeps toll-free callers out of their meetings.",
        Suggestion(
            403,
            21,
            "This meeting cannot be joined through a toll-free number; a toll number works.",
            "Let toll-free callers into the organizer's meetings.",
        ),
    )
    DESTINATION_UNRATED = (
        10,
        "Credits would have to pay, and there is no rate in the tenant's currency.",
        Suggestion(
            403,
            21,
            "There is no price for this destination, so credits cannot pay for it.",
            "Add a rate for the destination in the tenant's currency.",
        ),
    )
    TENANT_NOT_ENABLED = (
        11,
        "Credits would have to pay, and the tenant has not set them up (580462).",
        Suggestion(
            403,
            21,
            "The organisation has not set up credits, and nothing else may pay for this call.",
            "Set up credits for the tenant.",
        ),
    )
    PAYER_NOT_ENABLED = (
        12,
        "Credits would have to pay, and the payer has no credits licence (580464).",
        Suggestion(
            403,
            21,
            "The account has no credits licence, and nothing else may pay for this call.",
            "Assign a credits licence to the account that pays.",
        ),
    )
    BALANCE_MISSING = (
        13,
        "Credits would have to pay, and there never was a balance or any funding (580406).",
        Suggestion(
            402,
            21,
            "The organisation never funded its credits, and nothing else may pay for this call.",
            "Fund the tenant's credits.",
        ),
    )
    OVERAGE_OFF = (
        14,
        "The tenant pays afterwards, and its overage switch is off.",
        Suggestion(
            403,
            21,
            "The organisation does not let calls go beyond what is included until the next period.",
            "Switch overage on for the tenant.",
        ),
    )
    SPEND_LIMIT_REACHED = (
        15,
        "The person's own spending limit of the month does not leave a first increment.",
        Suggestion(
            402,
            21,
            "The user has reached their spending limit of this month.",
            "Raise the user's spending limit.",
        ),
    )
    CONCURRENT_CALLS = (
        16,
        "As many calls as allowed are running.",
        Suggestion(
            486,
            17,
            "As many calls as allowed are already running.",
            "End a running call or raise the limit.",
        ),
    )
    CALL_ID_IN_USE = (
        17,
        "Another gateway has a running call of this id.",
        Suggestion(
            403,
            21,
            "Another gateway has a running call of the same id.",
            "Use an id of its own for each call.",
        ),
    )
    ALLOWANCE_EXHAUSTED = (
        18,
        "The minutes are used up, and the tenant has no funding that could follow.",
        Suggestion(
            402,
            21,
            "The included minutes of this month are used up, and nothing else may pay.",
            "Set up credits, or wait for the next month.",
        ),
    )
    TOLL_FREE_NEEDS_CREDIT = (
        19,
        "A toll-free call needs a positive balance that covers its first increment.",
        Suggestion(
            402,
            21,
            "Toll-free numbers need a positive balance, and the credits are used up.",
            "Top up the tenant's credits.",
        ),
    )
    CREDITS_EXHAUSTED = (
        20,
        "The balance does not cover the connection fee and the first increment.",
        Suggestion(
            402,
            21,
            "The organisation's credits do not cover the beginning of this call.",
            "Top up the tenant's credits.",
        ),
    )
