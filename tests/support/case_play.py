"""Playing a decision case: emergency, admission, ledger, as the server asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from case_rows import (
    NEVER_MS,
    CaseRow,
    call_of,
    facts_of,
    now_ms_of,
    to_micros,
    to_money,
    to_ms,
)
from number_facts import a_rate
from policy.admission import admit
from policy.allowance import month
from policy.decision import (
    Admission,
    Counter,
    CreditsPurse,
    FreePurse,
    PoolPurse,
    Purse,
    Refusal,
)
from policy.emergency import match_emergency
from policy.facts import Call, Catalogue, Facts, FundingModel
from policy.rating import charged_seconds, price_micros
from policy.reasons import Reason
from server.ledger import (
    Answer,
    CallKey,
    Ledger,
    LedgerError,
    LedgerUnavailable,
    OpenAccount,
    Question,
    ReserveRequest,
)
from server.ledger.model.ledger import MemoryLedger

DECISION_ID = "decision00000000"
FINGERPRINT = "f" * 43


class StillClock:
    """A clock that stands until it is set."""

    def __init__(self, now_ms: int) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


class AwayLedger:
    """A ledger whose store is away."""

    async def reserve(self, request: ReserveRequest) -> Answer:
        raise LedgerUnavailable(request.question.call.call_id)


async def play(row: CaseRow, catalogue: Catalogue | None = None) -> dict[str, Any]:
    """Ask the question of a row and describe the answer in the words rows expect it in."""
    if "price" in row.content:
        return _price(row.content["price"])
    world, call, now_ms = facts_of(row), call_of(row.content["call"]), now_ms_of(row)
    if catalogue is not None:
        world = Facts(catalogue, world.tenant)
    grant = match_emergency(call.called_number, locations(call, world), world.catalogue.emergency)
    if grant is not None:
        return {"emergency": grant.dial_as}
    try:
        ledger = await _ledger_of(row, world, now_ms)
        return await _ask(ledger, world, row.content["call"], now_ms=now_ms)
    except LedgerError as trouble:
        return {"trouble": type(trouble).__name__}


def locations(call: Call, world: Facts) -> tuple[str, ...]:
    """List where the caller may be: where they say, where they belong."""
    user = world.tenant.users.get(call.account_ids[0]) if call.account_ids else None
    home = user.usage_location if user is not None else world.tenant.country
    return (call.location, home) if call.location else (home,)


def _price(given: Mapping[str, int]) -> dict[str, Any]:
    rate = a_rate(
        micros_per_minute=given["micros_per_minute"],
        first_increment_seconds=given["first"],
        next_increment_seconds=given["next"],
    )
    return {
        "charged_seconds": charged_seconds(rate, given["seconds"]),
        "charged": to_money(price_micros(rate, given["seconds"])),
    }


async def _ledger_of(row: CaseRow, world: Facts, now_ms: int) -> Ledger:
    """Open the account with its balance, use up minutes, and place the earlier calls."""
    store = row.content.get("store", "open")
    if store == "away":
        return cast("Ledger", AwayLedger())
    clock = StillClock(now_ms)
    ledger = MemoryLedger(clock)
    if store == "open":
        account = _account_of(row, world)
        # Money that is over was good when it came in.
        clock.time_ms = min(now_ms, account.opening_expire_ms - 1)
        await ledger.open_account(account)
        clock.time_ms = now_ms
    for place, (pool, minutes) in enumerate(row.content.get("used", {}).items()):
        await _use_up(ledger, pool, minutes, key=_key(world, f"used-{place}"), row=row)
    for place, earlier in enumerate(row.content.get("earlier", ())):
        question = {"call_id": f"earlier-{place}"} | earlier
        answer = await _ask(ledger, world, question, now_ms=now_ms)
        assert not answer["refused"], answer
        if "talked" in earlier:
            key = _key(world, question["call_id"])
            settled = Question(key, 2, FINGERPRINT, DECISION_ID, world.tenant.digest)
            await ledger.settle(settled, earlier["talked"])
    return cast("Ledger", ledger)


def _account_of(row: CaseRow, world: Facts) -> OpenAccount:
    tenant = world.tenant
    balance, expires = row.content.get("balance"), row.content.get("balance_expires")
    return OpenAccount(
        tenant_id=tenant.tenant_id,
        currency=tenant.currency,
        facts_digest=tenant.digest,
        prepaid=tenant.funding_model not in {FundingModel.POST_PAID, FundingModel.NONE},
        opening_balance_micros=None if balance is None else to_micros(balance),
        opening_expire_ms=NEVER_MS if expires is None else to_ms(expires),
    )


async def _use_up(
    ledger: MemoryLedger, pool: str, minutes: int, *, key: CallKey, row: CaseRow
) -> None:
    """Talk `minutes` of a pool, written "id/counter" or "id/counter@month"."""
    world, seconds = facts_of(row), minutes * 60
    spelled, _, period = pool.partition("@")
    pool_id, _, counter = spelled.rpartition("/")
    period = period or month(world.tenant.time_zone, now_ms_of(row))
    # The size is what is talked: the pool may have been larger then.
    counters = (Counter(counter, seconds),)
    purse = PoolPurse(pool_id, period, counter, counters, "", Reason.ALLOWANCE_EXHAUSTED)
    digest = world.tenant.digest
    question = Question(key, 1, FINGERPRINT, DECISION_ID, digest)
    await ledger.reserve(ReserveRequest(question, (purse,), None, seconds, ""))
    await ledger.settle(Question(key, 2, FINGERPRINT, DECISION_ID, digest), seconds)


def _key(world: Facts, call_id: str, gateway_id: str = "gateway") -> CallKey:
    return CallKey(world.tenant.tenant_id, gateway_id, call_id)


async def _ask(
    ledger: Ledger, world: Facts, question: Mapping[str, Any], *, now_ms: int
) -> dict[str, Any]:
    call = call_of(question)
    decision = admit(call, world, now_ms, explain=True)
    key = _key(world, question.get("call_id", "call"), question.get("gateway", "gateway"))
    refused = isinstance(decision, Refusal)
    answer = await ledger.reserve(
        ReserveRequest(
            question=Question(key, 1, FINGERPRINT, DECISION_ID, world.tenant.digest),
            purses=() if isinstance(decision, Refusal) else decision.purses,
            refusal=decision.reason if isinstance(decision, Refusal) else None,
            want_seconds=call.requested_seconds,
            context="",
            concurrency=None if isinstance(decision, Refusal) else decision.concurrency,
        )
    )
    assert not refused or answer.reason is not None
    return _describe(decision, answer)


def _describe(decision: Admission | Refusal, answer: Answer) -> dict[str, Any]:
    payer, destination = decision.payer, decision.destination
    described: dict[str, Any] = {
        "refused": answer.reason is not None,
        "payer": "" if payer is None else f"{payer.kind.value} {payer.account_id}",
        "call_type": decision.call_type,
        "e164": decision.called_number,
        "country": "" if destination is None else destination.country,
        "shortfall": to_money(answer.shortfall_micros),
        "seconds": answer.granted_seconds,
    }
    if answer.reason is not None:
        described["refusal"] = answer.reason.name
    if isinstance(decision, Refusal):
        return described | {"remedy": decision.remedy}
    described["purses"] = [_kind(purse) for purse in decision.purses]
    described["origin_assumed"] = decision.origin_assumed
    if decision.rate is not None:
        described["rate"] = to_money(decision.rate.micros_per_minute)
    return described | _describe_grant(decision, answer)


def _describe_grant(decision: Admission, answer: Answer) -> dict[str, Any]:
    if not answer.segments:
        return {}
    first = answer.segments[0].purse_index
    purse = decision.purses[first]
    described: dict[str, Any] = {
        _kind(purse): _name(purse),
        "capability": purse.capability,
        "then": [_kind(later) for later in decision.purses[first + 1 :]],
        "segments": [
            f"{_kind(decision.purses[segment.purse_index])}"
            f" {segment.from_second}-{segment.to_second}"
            for segment in answer.segments
        ],
    }
    if isinstance(purse, PoolPurse):
        sizes = {counter.name: counter.size_seconds for counter in purse.counters}
        described |= {"period": purse.period, "pool_minutes": sizes[purse.counter] // 60}
    return described


def _kind(purse: Purse) -> str:
    if isinstance(purse, FreePurse):
        return "free"
    return "pool" if isinstance(purse, PoolPurse) else "credits"


def _name(purse: Purse) -> str:
    if isinstance(purse, FreePurse):
        return purse.why.value
    if isinstance(purse, PoolPurse):
        return f"{purse.pool_id}/{purse.counter}"
    assert isinstance(purse, CreditsPurse)
    return purse.capability
