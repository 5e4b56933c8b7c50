"""May this account place such a call at all: is it frozen, and does it hold the base licence?"""

from __future__ import annotations

from policy.decision import Reason
from policy.enquiry import Enquiry
from policy.facts import ResourceAccount
from policy.licence import may_answer_or_transfer, may_dial_out_of_meetings, may_place_calls


def refuse_frozen(enquiry: Enquiry) -> Reason | None:
    """Object where the tenant, the paying account or the person is frozen.

    The call-back of an emergency service is let through, as the emergency call was.
    """
    if enquiry.call.emergency_callback:
        return None
    account, user = enquiry.account, enquiry.user
    frozen = (
        enquiry.tenant.frozen
        or (account is not None and account.frozen)
        or (user is not None and user.frozen)
    )
    return Reason.ACCOUNT_FROZEN if frozen else None


def refuse_unlicensed(enquiry: Enquiry) -> Reason | None:
    """Object where the licences that decide do not allow this kind of outbound call."""
    account, user = enquiry.account, enquiry.user
    if user is None:
        # Whatever is nobody's comes from an attendant or a queue.
        assert isinstance(account, ResourceAccount)
        licensed = may_answer_or_transfer(account)
    elif enquiry.traits.of_meeting:
        licensed = may_dial_out_of_meetings(user)
    else:
        # Under Shared Calling the licence is the user's, the plan the account's.
        has_plan = user is account or (account is not None and account.plan is not None)
        licensed = has_plan and may_place_calls(user)
    return None if licensed else Reason.LICENCE_MISSING
