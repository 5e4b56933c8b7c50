"""The decision procedure: may this call be placed, and what may pay it? It reads downwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policy.decision import Admission, ConcurrencyLimit, Purse, Refusal
from policy.enquiry import Enquiry, open_enquiry
from policy.explanation import explain_decision, explain_opening
from policy.facts import Call, Facts, Rate, ResourceAccount
from policy.inbound import (
    INBOUND_PURSE,
    find_service_purse,
    find_service_rate,
    is_origin_known,
    refuse_blocked_caller,
    refuse_toll_free_switched_off,
    refuse_unlicensed_service,
    refuse_unreachable_toll_free,
)
from policy.payer import call_type
from policy.purses import find_free_purse, find_purses, is_free_code
from policy.rating import rate_for_destination
from policy.reasons import Reason
from policy.restriction import (
    refuse_blocked,
    refuse_frozen,
    refuse_restricted,
    refuse_unlicensed,
    refuse_unreachable,
)

Rule = Callable[[Enquiry], Reason | None]

# Counts all calls of a tenant; the space keeps it apart from every account's id.
ALL_ACCOUNTS: Final = "all accounts"

# Each in the order of precedence: the first to object names the reason.
OUTBOUND_RULES: Final[tuple[Rule, ...]] = (
    refuse_frozen,
    refuse_unlicensed,
    refuse_blocked,
    refuse_restricted,
    refuse_unreachable,
)
SERVICE_NUMBER_RULES: Final[tuple[Rule, ...]] = (
    refuse_blocked_caller,
    refuse_frozen,
    refuse_unlicensed_service,
    refuse_unreachable_toll_free,
    refuse_toll_free_switched_off,
)
INBOUND_RULES: Final[tuple[Rule, ...]] = (refuse_blocked_caller, refuse_frozen)


def admit(call: Call, facts: Facts, now_ms: int, *, explain: bool = False) -> Admission | Refusal:
    """Ask each rule in turn; the first to object names the reason, else the purses are listed.

    Emergency numbers are no matter of this: they were granted before. The balance is the ledger's:
    an admission may still find its purses empty. With `explain` every check is told, at a cost.
    """
    enquiry = open_enquiry(call, facts, now_ms)
    if isinstance(enquiry, Refusal):
        return explain_opening(call, facts.tenant, enquiry) if explain else enquiry
    decision = decide(enquiry)
    return explain_decision(enquiry, rules_for(enquiry), decision) if explain else decision


def rules_for(enquiry: Enquiry) -> tuple[Rule, ...]:
    """List the rules that a kind of call is asked, in their order."""
    if not enquiry.traits.arriving:
        return () if is_free_code(enquiry) else OUTBOUND_RULES
    return INBOUND_RULES if enquiry.service is None else SERVICE_NUMBER_RULES


def decide(enquiry: Enquiry) -> Admission | Refusal:
    """Decide about a call whose payer and far end are known."""
    for rule in rules_for(enquiry):
        reason = rule(enquiry)
        if reason is not None:
            return _refuse(enquiry, reason)
    rate, purses = _fund(enquiry)
    if not isinstance(purses, tuple):
        return _refuse(enquiry, purses)
    return _admit(enquiry, purses, rate)


def _fund(enquiry: Enquiry) -> tuple[Rate | None, tuple[Purse, ...] | Reason]:
    """Find what may pay, and the rate that a caller is told."""
    if enquiry.traits.arriving:
        return _fund_arrival(enquiry)
    free = find_free_purse(enquiry)
    if free is not None:
        return None, (free,)
    rate = rate_for_destination(
        enquiry.catalogue,
        enquiry.tenant.currency,
        enquiry.e164,
        now_ms=enquiry.now_ms,
        destination=enquiry.destination,
    )
    return rate, find_purses(enquiry, rate)


def _fund_arrival(enquiry: Enquiry) -> tuple[Rate | None, tuple[Purse, ...] | Reason]:
    if enquiry.service is None:
        return None, (INBOUND_PURSE,)
    rate = find_service_rate(enquiry)
    purse = find_service_purse(enquiry, rate)
    return rate, (purse,) if isinstance(purse, tuple) else purse


def _admit(enquiry: Enquiry, purses: tuple[Purse, ...], rate: Rate | None) -> Admission:
    service = enquiry.service
    # By place, for half the time.
    return Admission(
        enquiry.payer,
        purses,
        enquiry.destination,
        enquiry.e164,
        call_type(enquiry.call, enquiry.user, service),
        rate,
        _concurrency_limit(enquiry),
        service is not None and service.toll_free and not is_origin_known(enquiry),
    )


def _refuse(enquiry: Enquiry, reason: Reason) -> Refusal:
    named = call_type(enquiry.call, enquiry.user, enquiry.service)
    return Refusal(reason, enquiry.payer, enquiry.e164, named, enquiry.destination)


def _concurrency_limit(enquiry: Enquiry) -> ConcurrencyLimit | None:
    """The person's own limit, else the paying account's, else the tenant's over all its calls."""
    if enquiry.call.emergency_callback or is_free_code(enquiry):
        return None
    user, account = enquiry.user, enquiry.account
    if user is not None and user.concurrent_calls_limit is not None:
        return ConcurrencyLimit(user.user_id, user.concurrent_calls_limit)
    if isinstance(account, ResourceAccount) and account.concurrent_calls_limit is not None:
        return ConcurrencyLimit(account.account_id, account.concurrent_calls_limit)
    limit = enquiry.tenant.concurrent_calls_limit
    return None if limit is None else ConcurrencyLimit(ALL_ACCOUNTS, limit)
