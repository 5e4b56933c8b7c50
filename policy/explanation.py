"""How a decision came about: each check that was asked, what it looked at and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from policy import arrival, restriction, standing
from policy.decision import Admission, Check, CreditsPurse, FreePurse, PoolPurse, Reason, Refusal
from policy.enquiry import Enquiry
from policy.facts import Call, FundingModel, Tenant
from policy.remedy import account_name, remedy_for, remedy_for_opening

Inputs = tuple[tuple[str, str], ...]
Rule = Callable[[Enquiry], Reason | None]


class _Wording(NamedTuple):
    """How one rule is told: its name, what it looked at, and what it found either way."""

    rule: str
    inputs: Callable[[Enquiry], Inputs]
    passed: str
    failed: str


def explain_opening(call: Call, tenant: Tenant, refusal: Refusal) -> Refusal:
    """Explain a call whose number could not be read, or whose payer is not known."""
    if refusal.reason is Reason.NUMBER_INVALID:
        rule, finding = "number", "This is no telephone number that leads anywhere."
        inputs: Inputs = (("called_number", call.called_number), ("country", tenant.country))
    else:
        rule, finding = "payer", "The tenant's directory does not know it."
        service_number = call.service_number or call.called_number
        inputs = (("accounts", " ".join(call.account_ids)), ("service_number", service_number))
    check = Check(rule, passed=False, inputs=inputs, finding=finding)
    remedy = remedy_for_opening(call, tenant, refusal.reason)
    return replace(refusal, remedy=remedy, checks=(check,))


def explain_decision(
    enquiry: Enquiry, rules: tuple[Rule, ...], decision: Admission | Refusal
) -> Admission | Refusal:
    """Ask the rules again and tell what each said; a refusal also gets its remedy."""
    checks = (_tell_number(enquiry), _tell_payer(enquiry), *_tell_rules(enquiry, rules))
    if checks[-1].passed:
        checks += _tell_funding(enquiry, decision)
    if isinstance(decision, Refusal):
        remedy = remedy_for(enquiry, decision.reason)
        return replace(decision, remedy=remedy, checks=checks)
    return replace(decision, checks=checks)


def _tell_number(enquiry: Enquiry) -> Check:
    arriving = enquiry.traits.arriving
    spelled = enquiry.call.calling_number if arriving else enquiry.call.called_number
    destination = enquiry.destination
    inputs = (
        ("as_dialled", spelled),
        ("e164", enquiry.e164),
        ("country", enquiry.country),
        ("class", destination.number_class.value),
    )
    whose = "The caller is" if arriving else "The number leads to"
    return Check("number", passed=True, inputs=inputs, finding=f"{whose} {destination.label}.")


def _tell_payer(enquiry: Enquiry) -> Check:
    payer = enquiry.payer
    inputs = (("kind", enquiry.call.kind.value), ("account", payer.account_id))
    finding = f"The {payer.kind.value.replace('_', ' ')} {payer.account_id} pays."
    return Check("payer", passed=True, inputs=inputs, finding=finding)


def _tell_rules(enquiry: Enquiry, rules: tuple[Rule, ...]) -> tuple[Check, ...]:
    checks: list[Check] = []
    for rule in rules:
        wording = _WORDINGS[rule]
        passed = rule(enquiry) is None
        finding = wording.passed if passed else wording.failed
        checks.append(Check(wording.rule, passed, wording.inputs(enquiry), finding))
        if not passed:
            break
    return tuple(checks)


def _tell_funding(enquiry: Enquiry, decision: Admission | Refusal) -> tuple[Check, ...]:
    purses = decision.purses if isinstance(decision, Admission) else ()
    if purses and isinstance(purses[0], FreePurse):
        finding = f"The call costs nothing ({purses[0].why.value.replace('_', ' ')})."
        return (Check("free", passed=True, inputs=(), finding=finding),)
    pools = tuple(purse for purse in purses if isinstance(purse, PoolPurse))
    return (*_tell_pools(enquiry, pools), *_tell_credits(enquiry, decision))


def _tell_pools(enquiry: Enquiry, pools: tuple[PoolPurse, ...]) -> tuple[Check, ...]:
    if enquiry.service is not None:
        return ()
    if not pools:
        plan = enquiry.account.plan if enquiry.account is not None else None
        inputs = (("plan", plan.capability if plan else ""), ("country", enquiry.country))
        finding = "No included minutes cover this destination; only credits may pay."
        return (Check("allowance", passed=False, inputs=inputs, finding=finding),)
    return tuple(
        Check(
            "allowance",
            passed=True,
            inputs=(
                ("pool", pool.pool_id),
                ("period", pool.period),
                *((counter.name, f"{counter.size_seconds} s") for counter in pool.counters),
            ),
            finding=f"Minutes of {pool.capability} may pay, counted as {pool.counter}.",
        )
        for pool in pools
    )


def _tell_credits(enquiry: Enquiry, decision: Admission | Refusal) -> tuple[Check, ...]:
    """Tell the conditions of credits up to the first that is not met."""
    forbidden = _what_forbids_credits(enquiry, decision)
    checks: list[Check] = []
    for reason, wording in _CREDITS_CONDITIONS:
        passed = reason is not forbidden
        finding = wording.passed if passed else wording.failed
        checks.append(Check(wording.rule, passed, wording.inputs(enquiry), finding))
        if not passed:
            break
    return tuple(checks)


def _what_forbids_credits(enquiry: Enquiry, decision: Admission | Refusal) -> Reason | None:
    if isinstance(decision, Refusal):
        return decision.reason
    last = decision.purses[-1]
    if isinstance(last, CreditsPurse | FreePurse):
        return None
    no_funding = enquiry.tenant.funding_model is FundingModel.NONE
    if no_funding and last.exhausted_reason is Reason.ALLOWANCE_EXHAUSTED:
        return Reason.BALANCE_MISSING
    return last.exhausted_reason


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


_WORDINGS: Final[Mapping[Rule, _Wording]] = MappingProxyType(
    {
        arrival.refuse_blocked_caller: _Wording(
            "caller",
            _caller_inputs,
            "The tenant does not block this caller.",
            "A pattern of the tenant blocks this caller, and no exemption matches.",
        ),
        standing.refuse_frozen: _Wording(
            "frozen",
            _account_inputs,
            "Nobody concerned is frozen.",
            "The tenant or account is frozen.",
        ),
        standing.refuse_unlicensed: _Wording(
            "licence",
            _licence_inputs,
            "The licences allow this kind of call.",
            "The licences do not allow this kind of call.",
        ),
        arrival.refuse_unlicensed_service: _Wording(
            "licence",
            _licence_inputs,
            "Nothing known forbids what answers at this number.",
            "What answers at this number is not licensed.",
        ),
        restriction.refuse_blocked: _Wording(
            "blocked",
            _blocked_inputs,
            "The number is not blocked.",
            "The number is blocked, by the tenant or for its country.",
        ),
        restriction.refuse_restricted: _Wording(
            "restriction",
            _restriction_inputs,
            "The restriction lets the call out.",
            "The restriction does not let the call out.",
        ),
        restriction.refuse_unreachable: _Wording(
            "reach",
            _reach_inputs,
            "The number can be reached from there.",
            "Toll-free numbers work in their own country only.",
        ),
        arrival.refuse_unreachable_toll_free: _Wording(
            "reach",
            _reach_inputs,
            "The number can be reached from there, as far as that is known.",
            "Toll-free numbers work in their own country only.",
        ),
        arrival.refuse_toll_free_switched_off: _Wording(
            "toll_free_switch",
            _switch_inputs,
            "Nothing keeps toll-free callers out.",
            "The organizer keeps toll-free callers out.",
        ),
    }
)

# In the order of precedence; each names the reason that it is not met with.
_CREDITS_CONDITIONS: Final = (
    (
        Reason.DESTINATION_UNRATED,
        _Wording("rate", _rate_inputs, "There is a rate.", "There is no rate in this currency."),
    ),
    (
        Reason.TENANT_NOT_ENABLED,
        _Wording(
            "tenant_credits",
            _tenant_inputs,
            "The tenant has set up credits.",
            "The tenant has not set up credits.",
        ),
    ),
    (
        Reason.PAYER_NOT_ENABLED,
        _Wording(
            "payer_credits",
            _licence_inputs,
            "The payer may use credits.",
            "The payer has no credits licence.",
        ),
    ),
    (
        Reason.BALANCE_MISSING,
        _Wording(
            "funding",
            _funding_inputs,
            "The tenant pays beyond its plans; the balance is looked at next.",
            "The tenant does not pay beyond its plans.",
        ),
    ),
    (
        Reason.OVERAGE_OFF,
        _Wording(
            "overage",
            _funding_inputs,
            "Nothing keeps credits from paying.",
            "The tenant pays afterwards, and its overage switch is off.",
        ),
    ),
)
