"""The words each rule is told in: its name, what it looked at, what it found either way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from policy import inbound as arrival
from policy import restriction
from policy import restriction as standing
from policy.enquiry import Enquiry
from policy.reasons import Reason
from policy.remedy import account_name

Inputs = tuple[tuple[str, str], ...]
Rule = Callable[[Enquiry], Reason | None]


class Wording(NamedTuple):
    """How one rule is told."""

    rule: str
    inputs: Callable[[Enquiry], Inputs]
    passed: str
    failed: str


def _caller_inputs(enquiry: Enquiry) -> Inputs:
    switch = "on" if enquiry.tenant.block_inbound else "off"
    return (("caller", enquiry.call.calling_number), ("inbound_blocks", switch))


def _account_inputs(enquiry: Enquiry) -> Inputs:
    return (("tenant", enquiry.tenant.tenant_id), ("account", account_name(enquiry)))


def _licence_inputs(enquiry: Enquiry) -> Inputs:
    account, user = enquiry.account, enquiry.user
    holder = user or account
    capabilities = sorted(holder.capabilities) if holder is not None else []
    plan = account.plan if account is not None else None
    return (
        ("account", account_name(enquiry)),
        ("capabilities", " ".join(capabilities)),
        ("plan", plan.capability if plan else ""),
        ("connectivity", user.connectivity.value if user is not None else ""),
    )


def _blocked_inputs(enquiry: Enquiry) -> Inputs:
    treatment = enquiry.treatment
    return (
        ("blocked_prefixes", " ".join(enquiry.tenant.blocked_prefixes)),
        ("usage_location", enquiry.usage_location),
        ("premium_treatment", treatment.value if treatment is not None else ""),
    )


def _restriction_inputs(enquiry: Enquiry) -> Inputs:
    found = restriction.effective_restriction(enquiry)
    in_meeting = enquiry.traits.of_meeting
    return (
        ("restriction", found.identity),
        ("scope", found.conference_scope.value if in_meeting else found.pstn_scope.value),
        ("from", enquiry.usage_location),
        ("to", enquiry.country),
    )


def _reach_inputs(enquiry: Enquiry) -> Inputs:
    if enquiry.service is None:
        return (("from", enquiry.usage_location), ("to", enquiry.destination.label))
    return (("from", enquiry.country), ("to", enquiry.service.country))


def _switch_inputs(enquiry: Enquiry) -> Inputs:
    organizer = enquiry.user
    if organizer is None:
        return (("organizer", "not known yet"),)
    allowed = "on" if organizer.allow_toll_free_dial_in else "off"
    return (("organizer", organizer.user_id), ("allow_toll_free_dial_in", allowed))


def _rate_inputs(enquiry: Enquiry) -> Inputs:
    return (("currency", enquiry.tenant.currency), ("number", enquiry.e164))


def _tenant_inputs(enquiry: Enquiry) -> Inputs:
    enabled = "yes" if enquiry.tenant.credits_enabled else "no"
    return (("tenant", enquiry.tenant.tenant_id), ("credits_enabled", enabled))


def _funding_inputs(enquiry: Enquiry) -> Inputs:
    tenant = enquiry.tenant
    return (
        ("funding_model", tenant.funding_model.value),
        ("overage", "on" if tenant.overage_enabled else "off"),
        ("auto_recharge", "on" if tenant.auto_recharge else "off"),
    )


WORDINGS: Final[Mapping[Rule, Wording]] = MappingProxyType(
    {
        arrival.refuse_blocked_caller: Wording(
            "caller",
            _caller_inputs,
            "The tenant does not block this caller.",
            "A pattern of the tenant blocks this caller, and no exemption matches.",
        ),
        standing.refuse_frozen: Wording(
            "frozen",
            _account_inputs,
            "Nobody concerned is frozen.",
            "The tenant or account is frozen.",
        ),
        standing.refuse_unlicensed: Wording(
            "licence",
            _licence_inputs,
            "The licences allow this kind of call.",
            "The licences do not allow this kind of call.",
        ),
        arrival.refuse_unlicensed_service: Wording(
            "licence",
            _licence_inputs,
            "Nothing known forbids what answers at this number.",
            "What answers at this number is not licensed.",
        ),
        restriction.refuse_blocked: Wording(
            "blocked",
            _blocked_inputs,
            "The number is not blocked.",
            "The number is blocked, by the tenant or for its country.",
        ),
        restriction.refuse_restricted: Wording(
            "restriction",
            _restriction_inputs,
            "The restriction lets the call out.",
            "The restriction does not let the call out.",
        ),
        restriction.refuse_unreachable: Wording(
            "reach",
            _reach_inputs,
            "The number can be reached from there.",
            "Toll-free numbers work in their own country only.",
        ),
        arrival.refuse_unreachable_toll_free: Wording(
            "reach",
            _reach_inputs,
            "The number can be reached from there, as far as that is known.",
            "Toll-free numbers work in their own country only.",
        ),
        arrival.refuse_toll_free_switched_off: Wording(
            "toll_free_switch",
            _switch_inputs,
            "Nothing keeps toll-free callers out.",
            "The organizer keeps toll-free callers out.",
        ),
    }
)

# In the order of precedence; each names the reason that it is not met with.
CREDITS_CONDITIONS: Final = (
    (
        Reason.DESTINATION_UNRATED,
        Wording("rate", _rate_inputs, "There is a rate.", "There is no rate in this currency."),
    ),
    (
        Reason.TENANT_NOT_ENABLED,
        Wording(
            "tenant_credits",
            _tenant_inputs,
            "The tenant has set up credits.",
            "The tenant has not set up credits.",
        ),
    ),
    (
        Reason.PAYER_NOT_ENABLED,
        Wording(
            "payer_credits",
            _licence_inputs,
            "The payer may use credits.",
            "The payer has no credits licence.",
        ),
    ),
    (
        Reason.BALANCE_MISSING,
        Wording(
            "funding",
            _funding_inputs,
            "The tenant pays beyond its plans; the balance is looked at next.",
            "The tenant does not pay beyond its plans.",
        ),
    ),
    (
        Reason.OVERAGE_OFF,
        Wording(
            "overage",
            _funding_inputs,
            "Nothing keeps credits from paying.",
            "The tenant pays afterwards, and its overage switch is off.",
        ),
    ),
)
