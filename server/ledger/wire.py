"""Between the ledger's contract and the text that its functions in Redis read and write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from policy.decision import CreditsPurse, FreePurse, PoolPurse, Purse, Reason
from policy.rating import MAX_WHOLE_NUMBER
from server.ledger.answers import Answer, Balance, Segment
from server.ledger.keys import pool_field, running_field, spend_field
from server.ledger.questions import ReserveRequest, Use
from server.ledger.trouble import LedgerDamaged

# ASCII's own separators: no identifier may hold a control character.
UNIT, PURSE, GROUP = "\x1f", "\x1e", "\x1d"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SUMS = (
    "available_micros",
    "reserved_micros",
    "post_paid_micros",
    "funded_micros",
    "debited_micros",
    "refunded_micros",
    "expired_micros",
    "voided_micros",
    "owed_micros",
)


def facts_text(request: ReserveRequest) -> str:
    """Write what a call is asked with: its id, its purses, the context of its answer.

    Raises `ValueError` where an identifier holds a control character.
    """
    call_id = request.question.call.call_id
    context = UNIT.join(request.context)
    _refuse_control_characters(call_id, *request.context)
    return f"{call_id}{GROUP}{PURSE.join(map(purse_text, request.purses))}{GROUP}{context}"


def purse_text(purse: Purse) -> str:
    """Write one purse as the functions read it."""
    if isinstance(purse, FreePurse):
        return "F"
    if isinstance(purse, PoolPurse):
        return _pool_text(purse)
    return _credits_text(purse)


def _pool_text(purse: PoolPurse) -> str:
    _refuse_control_characters(purse.pool_id, purse.period, purse.counter)
    sizes = {counter.name: counter.size_seconds for counter in purse.counters}
    # The tally this call is counted on comes first, then those that can stop the plan as well.
    names = [purse.counter, *(name for name in sizes if name != purse.counter)]
    parts = ["P", str(int(purse.exhausted_reason))]
    for name in names:
        parts += [pool_field(purse.period, name, purse.pool_id), str(sizes[name])]
    return UNIT.join(parts)


def _credits_text(purse: CreditsPurse) -> str:
    rate, limit = purse.rate, purse.spend_limit
    needs_positive = purse.exhausted_reason is Reason.TOLL_FREE_NEEDS_CREDIT and not purse.post_paid
    field = ""
    if limit is not None:
        _refuse_control_characters(limit.account_id, limit.period)
        field = spend_field(limit.period, limit.account_id)
    return (
        f"C{UNIT}{rate.micros_per_minute}{UNIT}{rate.connection_fee_micros}"
        f"{UNIT}{rate.first_increment_seconds}{UNIT}{rate.next_increment_seconds}"
        f"{UNIT}{purse.overdraft_micros}{UNIT}{purse.post_paid:d}{UNIT}{needs_positive:d}"
        f"{UNIT}{int(purse.exhausted_reason)}{UNIT}{'' if limit is None else limit.limit_micros}"
        f"{UNIT}{field}"
    )


def concurrency_arguments(request: ReserveRequest) -> tuple[str, str]:
    """Name the field that counts the account's running calls, and its limit."""
    if request.concurrency is None:
        return "", ""
    return running_field(request.concurrency.account_id), str(request.concurrency.limit)


def uses_text(uses: Iterable[Use]) -> str:
    """Write what purses paid so far."""
    return ",".join(
        f"{use.purse_index} {use.seconds} {use.micros}"
        for use in sorted(uses, key=lambda use: f"{use.purse_index} {use.seconds} {use.micros}")
    )


def read_answer(reply: Sequence[bytes], request: ReserveRequest | None = None) -> Answer:
    """Read one answer; a fresh one to `request` repeats neither its context nor its explanation.

    Raises `LedgerDamaged` where the stored answer is not what it must be.
    """
    try:
        return _read_answer([part.decode() for part in reply[:8]], reply, request)
    except (ValueError, IndexError, KeyError) as error:
        raise LedgerDamaged("a stored answer") from error


def _read_answer(
    parts: Sequence[str], reply: Sequence[bytes], request: ReserveRequest | None
) -> Answer:
    status, decision_id, times, outcome, segments, uses, report, facts = parts
    decided, report_by, expires = map(int, times.split(" "))
    final, reason, shortfall, available, pool_left = outcome.split(" ")
    used, overrun, unpaid_seconds, unpaid_micros, late = map(int, report.split(" "))
    state = reply[9].decode()
    fresh = request is not None and status == "OK"
    explained = request is not None and status == "REPEATED"
    return Answer(
        decision_id=decision_id,
        decide_time_ms=decided,
        segments=tuple(Segment(*numbers) for numbers in _rows(segments)),
        final=final == "1",
        reason=None if reason == "0" else Reason(int(reason)),
        shortfall_micros=int(shortfall),
        available_micros=None if available == "-" else int(available),
        pool_left_seconds=None if pool_left == "-" else int(pool_left),
        report_by_ms=report_by,
        expire_time_ms=expires,
        context=request.context if fresh and request else _context(facts),
        explanation=request.explanation if fresh and request else reply[8] if explained else b"",
        superseded=status == "SUPERSEDED",
        # The answer to the last question is as it was, also where the call lapsed since.
        state="live" if state == "expired" and status == "REPEATED" else state,
        used_seconds=used,
        uses=tuple(sorted((Use(*numbers) for numbers in _rows(uses)), key=_by_purse)),
        overrun_seconds=overrun,
        unpaid_seconds=unpaid_seconds,
        unpaid_micros=unpaid_micros,
        late=late == 1,
    )


def read_sums(tenant_id: str, reply: Sequence[bytes]) -> Balance:
    """Read the sums of an account."""
    currency, *texts = (part.decode() for part in reply)
    sums: dict[str, Any] = {
        name: int(text) if text else None for name, text in zip(_SUMS, texts, strict=True)
    }
    return Balance(tenant_id=tenant_id, currency=currency, **sums)


def require_whole(**amounts: int) -> None:
    """Refuse amounts that the ledger cannot hold: negative, or above 2^53 - 1."""
    for name, amount in amounts.items():
        if not 0 <= amount <= MAX_WHOLE_NUMBER:
            raise ValueError(f"{name} is {amount}; it must be from 0 to {MAX_WHOLE_NUMBER}")


def _by_purse(use: Use) -> int:
    return use.purse_index


def _rows(text: str) -> list[list[int]]:
    return [[int(number) for number in row.split(" ")] for row in text.split(",")] if text else []


def _context(facts: str) -> tuple[str, ...]:
    text = facts.split(GROUP, 2)[2]
    return tuple(text.split(UNIT)) if text else ()


def _refuse_control_characters(*texts: str) -> None:
    for text in texts:
        if _CONTROL.search(text):
            raise ValueError(f"a control character in {text!r}")
