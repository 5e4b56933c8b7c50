"""How a decision came about: each check that was asked, what it looked at and what it found."""

from __future__ import annotations

from typing import Final

from policy.decision import Admission, Check, CreditsPurse, FreePurse, PoolPurse, Refusal
from policy.enquiry import Enquiry
from policy.facts import Call, FundingModel, Tenant
from policy.reasons import Reason
from policy.remedy import remedy_for, remedy_for_opening
from policy.wording import CREDITS_CONDITIONS, WORDINGS, Inputs, Rule

# The rules that may say no, by the names in which they are told.
RULE_NAMES: Final = frozenset(
    {"number", "payer", "allowance"}
    | {wording.rule for wording in WORDINGS.values()}
    | {wording.rule for _, wording in CREDITS_CONDITIONS}
)


def explain_opening(call: Call, tenant: Tenant, refusal: Refusal) -> Refusal:
    """Explain a call whose number could not be read, or whose payer is not known."""
    if refusal.reason is Reason.NUMBER_INVALID:
        rule, finding = "number", "This is no telephone number that leads anywhere."
        inputs: Inputs = (("called_number", call.called_number), ("country", tenant.country))
    elif refusal.reason is Reason.AREA_CODE_UNKNOWN:
        rule, finding = "number", "Its area code is not in the catalogue."
        inputs = (("called_number", call.called_number), ("e164", refusal.called_number))
    else:
        rule, finding = "payer", "The tenant's directory does not know it."
        service_number = call.service_number or call.called_number
        inputs = (("accounts", " ".join(call.account_ids)), ("service_number", service_number))
    check = Check(rule, passed=False, inputs=inputs, finding=finding)
    remedy = remedy_for_opening(call, tenant, refusal)
    return refusal._replace(remedy=remedy, checks=(check,))


def explain_decision(
    enquiry: Enquiry, rules: tuple[Rule, ...], decision: Admission | Refusal
) -> Admission | Refusal:
    """Ask the rules again and tell what each said; a refusal also gets its remedy."""
    checks = (_tell_number(enquiry), _tell_payer(enquiry), *_tell_rules(enquiry, rules))
    if checks[-1].passed:
        checks += _tell_funding(enquiry, decision)
    if isinstance(decision, Refusal):
        remedy = remedy_for(enquiry, decision.reason)
        return decision._replace(remedy=remedy, checks=checks)
    return decision._replace(checks=checks)


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
        wording = WORDINGS[rule]
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
    for reason, wording in CREDITS_CONDITIONS:
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
