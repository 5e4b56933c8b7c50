"""Between the ledger's contract and the text that its functions in Redis read and write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from policy.decision import (
    ConcurrencyLimit,
    Counter,
    CreditsPurse,
    FreePurse,
    FreeReason,
    PoolPurse,
    Purse,
    SpendLimit,
)
from policy.facts import Rate
from policy.rating import MAX_WHOLE_NUMBER
from policy.reasons import Reason
from server.ledger.answers import Answer, Balance, Segment
from server.ledger.errors import LedgerDamaged
from server.ledger.keys import pool_field, running_field, spend_field, tenant_name
from server.ledger.requests import PAYING, ExtendRequest, ReserveRequest, Use

# ASCII's own separators: no identifier may hold a control character.
UNIT, PURSE, GROUP = "\x1f", "\x1e", "\x1d"
# Before a purse that pays nothing more, and stays with its call for what it paid.
GONE = f"G{UNIT}"
# Between the parts of an answer.
FILE = b"\x1c"
_ANSWER_PARTS = 7
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# About 40 MB when full.
_POOL_TEXTS_CACHED = 65_536
_PURSES_READ = 4_096
# Why it costs nothing is not written.
_FREE = FreePurse(FreeReason.CARRIER, "")
# Seconds used, overrun, unpaid (and its micros), and whether it was late: of most, nothing.
_NOTHING_REPORTED = "0 0 0 0 0"


def facts_text(request: ReserveRequest) -> str:
    """Write what a call is asked with: its id, its purses, the context of its answer.

    Raises `ValueError` where an identifier holds a control character.
    """
    call = request.question.call
    purses = purses_text(request.purses, call.tenant_id)
    return f"{call.call_id}{GROUP}{purses}{GROUP}{context_text(request)}"


def terms_text(request: ExtendRequest) -> str:
    """Write what may pay a call today, as facts; empty where nothing is said of it."""
    if not request.purses:
        return ""
    _check_context(request.context)
    purses = purses_text(request.purses, request.question.call.tenant_id)
    return GROUP.join(("", purses, request.context))


def context_text(request: ReserveRequest) -> str:
    """Write the context of an answer. Raises `ValueError` as `facts_text` does."""
    refuse_control_characters(request.question.call.call_id)
    _check_context(request.context)
    return request.context


def _check_context(context: str) -> None:
    refuse_control_characters(*context.split(PAYING, 1))


def alike_text(request: ReserveRequest) -> str:
    """Write all of a question that is the same for calls that are decided alike.

    The functions read it once and know it again, so it has nothing of one call alone. Raises
    `ValueError` as `facts_text` does.
    """
    tenant_id = request.question.call.tenant_id
    name, digest = tenant_name(tenant_id), request.question.facts_digest
    refuse_control_characters(name, digest)
    refusal = "" if request.refusal is None else str(int(request.refusal))
    running = running_text(tenant_id, request.concurrency)
    purses = purses_text(request.purses, tenant_id)
    return GROUP.join((name, digest, refusal, str(request.floor_seconds), running, purses))


def purses_text(purses: Iterable[Purse], tenant_id: str) -> str:
    """Write purses in their order, as the functions read them."""
    return PURSE.join([_purse_text(purse, tenant_id) for purse in purses])


def _purse_text(purse: Purse, tenant_id: str) -> str:
    if isinstance(purse, FreePurse):
        return "F"
    if isinstance(purse, PoolPurse):
        return _pool_text(purse, tenant_id)
    return _credits_text(purse, tenant_id)


# Made of values alone, and the same for all calls that a pool pays in a month.
@lru_cache(maxsize=_POOL_TEXTS_CACHED)
def _pool_text(purse: PoolPurse, tenant_id: str) -> str:
    fields = tally_fields(purse, tenant_id)
    refuse_control_characters(*(field for field, _ in fields))
    sized = [f"{field}{UNIT}{size}" for field, size in fields]
    return UNIT.join(["P", str(int(purse.exhausted_reason)), *sized])


def _credits_text(purse: CreditsPurse, tenant_id: str) -> str:
    rate, limit, field = purse.rate, purse.spend_limit, ""
    needs_positive = purse.exhausted_reason is Reason.TOLL_FREE_NEEDS_CREDIT and not purse.post_paid
    if limit is not None:
        field = spend_field(tenant_id, limit.period, limit.account_id)
        refuse_control_characters(field)
    return (
        f"C{UNIT}{rate.micros_per_minute}{UNIT}{rate.connection_fee_micros}"
        f"{UNIT}{rate.first_increment_seconds}{UNIT}{rate.next_increment_seconds}"
        f"{UNIT}{purse.overdraft_micros}{UNIT}{purse.post_paid:d}{UNIT}{needs_positive:d}"
        f"{UNIT}{int(purse.exhausted_reason)}{UNIT}{'' if limit is None else limit.limit_micros}"
        f"{UNIT}{field}"
    )


class KeptPurses(NamedTuple):
    """The purses of a call as its record tells them; those in `gone` pay nothing more.

    What the ledger does not write is left out: capabilities, a rate's id and currency.
    """

    purses: tuple[Purse, ...]
    gone: frozenset[int]

    def paying(self) -> list[tuple[int, Purse]]:
        """List those that may pay, by their places."""
        return [each for each in enumerate(self.purses) if each[0] not in self.gone]


@lru_cache(_PURSES_READ)
def read_purses(text: str) -> KeptPurses:
    """Read what `purses_text` wrote, as records and entries have it; many calls have the same."""
    texts = text.split(PURSE) if text else []
    return KeptPurses(
        tuple([_read_purse(one.removeprefix(GONE).split(UNIT)) for one in texts]),
        frozenset(place for place, one in enumerate(texts) if one.startswith(GONE)),
    )


def _read_purse(parts: Sequence[str]) -> Purse:
    match parts[0]:
        case "P":
            tallies = [field.split("/", 4) for field in parts[2::2]]
            _, period, counter, _, pool_id = tallies[0]
            sizes = zip([tally[2] for tally in tallies], map(int, parts[3::2]), strict=True)
            counters = tuple([Counter(*each) for each in sizes])
            return PoolPurse(pool_id, period, counter, counters, "", Reason(int(parts[1])))
        case "C":
            per_minute, fee, first, following, overdraft = map(int, parts[1:6])
            limit = None
            if parts[10]:
                _, period, _, account_id = parts[10].split("/", 3)
                limit = SpendLimit(account_id, period, int(parts[9]))
            rate = Rate("", "", per_minute, fee, first, following)
            reason = Reason(int(parts[8]))
            return CreditsPurse(rate, overdraft, parts[6] == "1", limit, "", reason)
        case _:
            return _FREE


def tally_fields(purse: Purse, tenant_id: str) -> list[tuple[str, int]]:
    """List the tallies that bound a purse, each with its limit.

    What it gives is counted on the first one; the others stop the plan as well.
    """
    if isinstance(purse, PoolPurse):
        sizes = {counter.name: counter.size_seconds for counter in purse.counters}
        names = [purse.counter, *(name for name in sizes if name != purse.counter)]
        return [
            (
                pool_field(tenant_id, purse.period, counter=name, pool_id=purse.pool_id),
                sizes[name],
            )
            for name in names
        ]
    if isinstance(purse, CreditsPurse) and purse.spend_limit is not None:
        limit = purse.spend_limit
        return [(spend_field(tenant_id, limit.period, limit.account_id), limit.limit_micros)]
    return []


def running_text(tenant_id: str, limit: ConcurrencyLimit | None) -> str:
    """Write how many calls the account may have running, and the field that counts them."""
    if limit is None:
        return ""
    field = running_field(tenant_id, limit.account_id)
    refuse_control_characters(field)
    return f"{limit.limit} {field}"


def is_announced(request: ReserveRequest) -> bool:
    """Tell whether a question is about a call that runs already, or that may."""
    return bool(request.used_seconds or request.uses or request.opened_id)


def announced_text(request: ReserveRequest, tolerance_seconds: int | None) -> str:
    """Write of a call that runs already: seconds used, what purses paid, what began it."""
    if not is_announced(request):
        return ""
    uses = sorted(f"{use.purse_index} {use.seconds} {use.micros}" for use in request.uses)
    last, began = "1" if request.last else "", request.began_ms or ""
    told = (request.used_seconds, ",".join(uses), request.opened_id, last, began)
    return "|".join(map(str, (*told, "" if tolerance_seconds is None else tolerance_seconds)))


def read_answer(text: bytes, request: ReserveRequest | None = None) -> Answer:
    """Read one answer as a function gives it.

    A fresh one to `request` does not repeat its explanation, nor its context where that is not
    another because the call is paid as it began.

    Raises `LedgerDamaged` where the stored answer is not what it must be.
    """
    try:
        *parts, explanation = text.split(FILE, _ANSWER_PARTS - 1)
        return _read_answer(map(bytes.decode, parts), explanation, request)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise LedgerDamaged("a stored answer") from error


def _read_answer(
    parts: Iterable[str], explanation: bytes, request: ReserveRequest | None
) -> Answer:
    status, decision_id, answer, held, state, facts = parts
    decided, report_in, lapses_in, final, reason, shortfall, *left = answer.split(" ")
    segments, uses, report = held.split("|")
    used = overrun = unpaid_seconds = unpaid_micros = late = implausible = 0
    if report != _NOTHING_REPORTED:
        used, overrun, unpaid_seconds, unpaid_micros, late, implausible = read_report(report)
    decide_time_ms, available, pool_left = int(decided), *left
    if request is not None and status == "OK":
        context, explanation = (
            read_call_text(facts).context if facts else request.context,
            request.explanation,
        )
    else:
        context = read_call_text(facts).context
        explanation = explanation if request is not None and status == "REPEATED" else b""
    return Answer(
        decision_id=decision_id,
        decide_time_ms=decide_time_ms,
        segments=read_segments(segments),
        final=final == "1",
        reason=None if reason == "0" else Reason(int(reason)),
        shortfall_micros=int(shortfall),
        available_micros=None if available == "-" else int(available),
        pool_left_seconds=None if pool_left == "-" else int(pool_left),
        report_by_ms=0 if report_in == "0" else decide_time_ms + int(report_in),
        expire_time_ms=0 if lapses_in == "0" else decide_time_ms + int(lapses_in),
        context=context,
        explanation=explanation,
        superseded=status == "SUPERSEDED",
        # The answer to the last question is as it was, also where the call lapsed since.
        state="live" if state == "expired" and status == "REPEATED" else state,
        used_seconds=used,
        uses=read_uses(uses),
        overrun_seconds=overrun,
        unpaid_seconds=unpaid_seconds,
        unpaid_micros=unpaid_micros,
        late=late == 1,
        implausible_seconds=implausible,
    )


def read_segments(text: str) -> tuple[Segment, ...]:
    """Read what is held, as records and entries spell it."""
    return tuple([Segment(*map(int, row.split(" "))) for row in text.split(",")]) if text else ()


def read_uses(text: str) -> tuple[Use, ...]:
    """Read what purses paid, as records and entries spell it."""
    if not text:
        return ()
    uses = [Use(*map(int, row.split(" "))) for row in text.split(",")]
    return tuple(sorted(uses, key=attrgetter("purse_index")))


def read_report(text: str) -> tuple[int, int, int, int, int, int]:
    """Read a report: seconds used, overrun, unpaid and its micros, late, implausible."""
    used, overrun, unpaid_seconds, unpaid_micros, late, *rest = map(int, text.split(" "))
    return used, overrun, unpaid_seconds, unpaid_micros, late, sum(rest)


class Meta(NamedTuple):
    """A partition's own line: where its journal stands, and until when grants are small."""

    epoch: int
    n: int
    nonce: str
    time_ms: int
    small_until_ms: int


def read_meta(text: str) -> Meta:
    """Read a partition's own line. Raises `LedgerDamaged`."""
    try:
        epoch, n, nonce, time_ms, small_until_ms = text.split(" ")
        return Meta(int(epoch), int(n), nonce, int(time_ms), int(small_until_ms))
    except ValueError as error:
        raise LedgerDamaged("meta") from error


class AccountSums(NamedTuple):
    """The money of an account, in micros. `available` is None until it is first funded."""

    available: int | None
    reserved: int
    post_paid: int
    funded: int
    debited: int
    refunded: int
    expired: int
    voided: int
    owed: int


def read_account(money: str, totals: str) -> AccountSums:
    """Read two fields of an account. Raises `ValueError`."""
    available, reserved, post_paid = money.split(" ")
    funded, debited, refunded, expired, voided, owed = map(int, totals.split(" "))
    return AccountSums(
        None if available == "-" else int(available),
        int(reserved),
        int(post_paid),
        funded,
        debited,
        refunded,
        expired,
        voided,
        owed,
    )


class KeptLot(NamedTuple):
    """A lot that has something left, or that was not looked at since."""

    expire_ms: int
    bought_ms: int
    left_micros: int
    voided: bool
    lot_id: str


def read_lots(text: str) -> list[KeptLot]:
    """Read the lots of an account, oldest first. Raises `ValueError`."""
    rows = (lot.split(" ", 4) for lot in filter(None, text.split(PURSE)))
    return [
        KeptLot(int(expire), int(bought), int(left), voided == "1", lot_id)
        for expire, bought, left, voided, lot_id in rows
    ]


def read_balance(tenant_id: str, reply: Sequence[bytes]) -> Balance:
    """Read the sums of an account. Raises `LedgerDamaged`."""
    try:
        about, money, totals, *_ = (part.decode() for part in reply)
        sums = read_account(money, totals)
        currency, _, version = about.split(" ")
    except ValueError as error:
        raise LedgerDamaged(f"the account of {tenant_id}") from error
    return Balance(
        tenant_id=tenant_id,
        currency=currency,
        available_micros=sums.available,
        reserved_micros=sums.reserved,
        funded_micros=sums.funded,
        debited_micros=sums.debited,
        expired_micros=sums.expired,
        refunded_micros=sums.refunded,
        voided_micros=sums.voided,
        post_paid_micros=sums.post_paid,
        owed_micros=sums.owed,
        version=int(version),
    )


def read_rows(text: str) -> list[list[str]]:
    """Read a list of an entry: lots, movements, tallies."""
    return [row.split(UNIT) for row in text.split(PURSE)] if text else []


def write_rows(rows: Iterable[Iterable[str]]) -> str:
    """Write what `read_rows` reads."""
    return PURSE.join(UNIT.join(row) for row in rows)


def read_paid(text: str) -> list[tuple[str, int]]:
    """Read what an entry took of which lot, in micros."""
    return [(lot_id, int(micros)) for lot_id, micros in read_rows(text)]


def read_taken(text: str) -> list[tuple[str, int, bool]]:
    """Read what lots lost that were over: id, micros, and whether they were voided."""
    return [(lot_id, int(micros), how == "voided") for lot_id, micros, how in read_rows(text)]


class CallText(NamedTuple):
    """What records and entries tell of a call: its id, its purses, the context of its answer."""

    call_id: str
    purses: str
    context: str


def read_call_text(facts: str) -> CallText:
    """Read the facts of a record or entry. Raises `ValueError`."""
    call_id, purses, context = facts.split(GROUP, 2)
    return CallText(call_id, purses, context)


def require_whole(**amounts: int) -> None:
    """Refuse amounts that the ledger cannot hold: negative, or above 2^53 - 1."""
    for name, amount in amounts.items():
        if not 0 <= amount <= MAX_WHOLE_NUMBER:
            raise ValueError(f"{name} is {amount}; it must be from 0 to {MAX_WHOLE_NUMBER}")


def require_legs(requests: Sequence[ReserveRequest]) -> None:
    """Refuse legs of several tenants, and two about one call: a step decides each call once."""
    calls = [request.question.call for request in requests]
    if len({call.tenant_id for call in calls}) != 1:
        raise ValueError("the legs of one question have payers of one tenant")
    if len({call.call_id for call in calls}) != len(calls):
        raise ValueError("two legs of one question are about the same call")


def require_money(micros: int) -> None:
    """Refuse an amount that moves nothing, or more than the ledger can hold."""
    if not 0 < micros <= MAX_WHOLE_NUMBER:
        raise ValueError(f"{micros} micros; it must be from 1 to {MAX_WHOLE_NUMBER}")


def refuse_control_characters(*texts: str) -> None:
    """Refuse what would end a text of the ledger early."""
    # What is printable throughout holds none, and that is told a good deal faster.
    if "".join(texts).isprintable():
        return
    for text in texts:
        if _CONTROL.search(text):
            raise ValueError(f"a control character in {text!r}")


_LINES = 11


class CallRecord(NamedTuple):
    """One call and the last answer about it, as the functions write it."""

    state: bytes
    gateway_id: bytes
    # Sequence and fingerprint of the last question.
    asked: bytes
    decision_id: bytes
    # The decision that began the call; empty where it is that of the last answer. In the record the
    # time of the first grant follows it.
    opened_id: bytes
    answer: bytes
    # Segments, uses and report, joined by `|`.
    held: bytes
    # The field that counts the running calls of its account; empty where none does.
    counted: bytes
    # `1` where the account had no balance when the call began.
    unfunded: bytes
    # Call id, purses and the context of the answer.
    facts: bytes
    # The rest, whatever bytes it has.
    explanation: bytes


def read_record(text: bytes) -> CallRecord:
    """Read a record. Raises `LedgerDamaged`."""
    lines = text.split(b"\n", _LINES - 1)
    if len(lines) != _LINES:
        raise LedgerDamaged("the record of a call")
    record = CallRecord(*lines)
    return record._replace(opened_id=record.opened_id.split(b" ", 1)[0])


def read_held(record: CallRecord) -> tuple[tuple[Segment, ...], tuple[Use, ...]]:
    """Read what a call holds, and what its purses paid."""
    segments, uses, _ = record.held.decode().split("|")
    return read_segments(segments), read_uses(uses)
