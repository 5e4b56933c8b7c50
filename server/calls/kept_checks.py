"""The checks of a refusal, as its record keeps them: asked again, when nobody waits for it.

The rules are pure: by the same facts they say the same, a moment later in another thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import Call, CallKind, Facts
from server.calls.cached_record import CachedDecisionRecord
from server.calls.decision_record import DecisionRecord
from server.facts import Snapshot
from server.observability.masks import Masks
from server.observability.records import Recorded

# What may be a telephone number, or enough of one.
_DIGITS = re.compile(r"\+?\d{5,}")


def checks_of_refusals(current: Callable[[], Snapshot]) -> Callable[[Recorded, Masks], bytes]:
    """Make what tells the checks of a refusal, where the facts are still those it was made by."""

    def explain(one: Recorded, masks: Masks) -> bytes:
        if one.is_grant or not isinstance(one, CachedDecisionRecord | DecisionRecord):
            return b""
        snapshot = current()
        call, (decided_ms, versions) = _call_of(one), _made_by(one)
        tenant = snapshot.directory.tenants.get(call.tenant_id)
        if tenant is None or versions != (snapshot.catalogue.version, tenant.digest):
            return b""
        said = admit(call, Facts(snapshot.catalogue, tenant), decided_ms, explain=True)
        return _told(said, masks, call)

    return explain


def _call_of(one: CachedDecisionRecord | DecisionRecord) -> Call:
    if isinstance(one, DecisionRecord):
        return one.call
    return Call(
        CallKind(one.kind),
        one.tenant_id,
        one.dialled,
        one.calling_number,
        (one.user_id,),
        "",
        one.location,
        one.requested_seconds,
    )


def _made_by(one: CachedDecisionRecord | DecisionRecord) -> tuple[int, tuple[str, str]]:
    """Say when it was decided, and by which catalogue and directory."""
    context = one.context
    decided_ms = one.answer.decide_time_ms if isinstance(one, DecisionRecord) else one.decided_ms
    return decided_ms, (context.catalogue_version, context.directory_version)


def _told(said: Refusal | Admission, masks: Masks, call: Call) -> bytes:
    accounts = [account for account in call.account_ids if account] if masks.accounts else []

    def hide(text: str) -> str:
        for account in accounts:
            text = text.replace(account, masks.account(account))
        return _DIGITS.sub(lambda found: masks.number(found[0]), text)

    checks = [
        {
            "rule": check.rule,
            "passed": check.passed,
            "inputs": {name: hide(value) for name, value in check.inputs},
            "finding": hide(check.finding),
        }
        for check in said.checks
    ]
    remedy = hide(said.remedy) if isinstance(said, Refusal) else ""
    return msgspec.json.encode({"checks": checks, "remedy": remedy})[1:-1]
