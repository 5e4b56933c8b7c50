"""Random histories of a ledger: a seed decides each step, every ledger takes it, all must agree."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ledgers import ManualClock, a_rate, an_account, credits_, free, pool
from policy.decision import ConcurrencyLimit, Purse
from policy.reasons import Reason
from server.ledger import (
    NOT_ASKED,
    PAYING,
    Answer,
    CallKey,
    DirectDebit,
    ExtendRequest,
    Ledger,
    LedgerError,
    OpenAccount,
    Question,
    Refund,
    ReserveRequest,
    TakeBack,
    TopUp,
)
from server.ledger.keys import partition_of, spend_field
from server.ledger.model.call import ModelCall

TENANTS = ("contoso", "fabrikam", "postpaid")
CALLS = tuple(f"call-{number}" for number in range(6))
LOTS = tuple(f"lot-{number}" for number in range(1, 9))
GATEWAYS = ("sbc-1", "sbc-1", "sbc-1", "sbc-2")
STEPS = 60
_REASONS = (Reason.LICENCE_MISSING, Reason.DESTINATION_BLOCKED)

Step = Callable[[Ledger], Awaitable[Any]]


@dataclass(slots=True)
class History:
    """One seed's steps, told one by one; what was asked before decides what is asked next."""

    random: Random
    clock: ManualClock
    digests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TENANTS, 1))
    sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: list[tuple[str, Step]] = field(default_factory=list)
    made: int = 0
    # Calls that were over, whose records lapsed since: an archive knows what was paid.
    forgotten: list[ModelCall] = field(default_factory=list)
    # Whether amounts are near what the ledger can hold.
    is_large: bool = False
    # How far the clock has jumped ahead.
    ahead_seconds: int = 0

    def __post_init__(self) -> None:
        self.is_large = self.random.random() < 0.2

    def opening(self) -> list[tuple[str, Step]]:
        """Open every account: two prepaid ones and one that is invoiced."""
        balances = {
            "contoso": self.random.choice((0, 35, 200, 1_500)),
            "fabrikam": self.random.choice((None, 90, 400)),
            "postpaid": None,
        }
        return [
            (f"open {tenant} {balance}", self._open(tenant, balance))
            for tenant, balance in balances.items()
        ]

    def next_step(self) -> tuple[str, Step]:
        """Choose the next step; the first word says which."""
        makers: Sequence[tuple[Callable[[], tuple[str, Step]], int]] = (
            (self._reserve, 30),
            (self._reserve_many, 8),
            (self._extend, 25),
            (self._settle, 12),
            (self._release, 6),
            (self._again, 10),
            (self._tell_again, 6),
            (self._expire, 5),
            (self._other_facts, 2),
            (self._top_up, 5),
            (self._void, 2),
            (self._take_back, 3),
            (self._debit, 4),
            (self._refund, 4),
            (self._rule_out, 2),
            (self._freeze, 1),
            (self._limit, 1),
            (self._recharge, 4),
        )
        self.clock.pass_seconds(self.random.choice((0, 0, 1, 5, 20, 60, 200, 900)))
        self._step_clock()
        weights = [weight for _, weight in makers]
        (maker,) = self.random.choices([maker for maker, _ in makers], weights)
        name, step = maker()
        self.asked.append((name, step))
        return name, step

    def _step_clock(self) -> None:
        """Let the clock jump ahead now and then, and come back some steps later."""
        if self.ahead_seconds and self.random.random() < 0.4:
            self.clock.pass_seconds(-self.ahead_seconds)
            self.ahead_seconds = 0
        elif self.random.random() < 0.01:
            self.ahead_seconds = self.random.choice((400, 5_000, 10**8))
            self.clock.pass_seconds(self.ahead_seconds)

    def _open(self, tenant: str, balance: int | None) -> Step:
        account: OpenAccount = an_account(
            balance,
            tenant=tenant,
            digest=f"facts-{self.digests[tenant]}",
            prepaid=tenant != "postpaid",
            expire_ms=self.clock.now_ms() + self.random.choice((600, 3_000, 10**6)) * 1_000,
        )
        return lambda ledger: ledger.open_account(account)

    def _reserve(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        request = self._request(tenant, self.random.choice(CALLS))
        return f"reserve {request}", lambda ledger: ledger.reserve(request)

    def _reserve_many(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        calls = self.random.sample(CALLS, self.random.randint(2, 4))
        requests = tuple(self._request(tenant, call, dry_runs=False) for call in calls)
        whole = self.random.random() < 0.5
        return (
            f"reserve_many {whole} {requests}",
            lambda ledger: ledger.reserve_many(requests, all_or_nothing=whole),
        )

    def _extend(self) -> tuple[str, Step]:
        question = self._question(self.random.choice(TENANTS), self.random.choice(CALLS), "extend")
        refusal = self.random.choice(_REASONS) if self.random.random() < 0.1 else None
        # Today's facts may have taken a plan away, or changed its size, or what a minute costs.
        tells = refusal is None and self.random.random() < 0.4
        purses = self._purses(question.call.tenant_id) if tells else ()
        request = ExtendRequest(
            question,
            used_seconds=self._seconds(),
            want_seconds=self._seconds() + self.random.choice((0, 1, 1, 1)),
            refusal=refusal,
            floor_seconds=self.random.choice((5, 60)),
            concurrency_limit=self.random.choice((None, 1, 3)),
            purses=purses,
            context=self._context(purses),
            last=self.random.random() < 0.1,
        )
        return f"extend {request}", lambda ledger: ledger.extend(request)

    def _settle(self) -> tuple[str, Step]:
        question = self._question(self.random.choice(TENANTS), self.random.choice(CALLS), "settle")
        used = self._seconds()
        return f"settle {used} {question}", lambda ledger: ledger.settle(question, used)

    def _release(self) -> tuple[str, Step]:
        question = self._question(self.random.choice(TENANTS), self.random.choice(CALLS), "release")
        return f"release {question}", lambda ledger: ledger.release(question)

    def _again(self) -> tuple[str, Step]:
        if not self.asked:
            return self._reserve()
        name, step = self.random.choice(self.asked)
        return f"again {name}", step

    def _tell_again(self) -> tuple[str, Step]:
        """Announce a forgotten call that is over, as a gateway does that repeats its end for days.

        It says no more than was paid, so nothing is debited.
        """
        told = [call for call in self.forgotten if call.purses and call.used_seconds]
        if not told:
            return self._reserve()
        call = self.random.choice(told)
        question = self._question(call.key.tenant_id, call.key.call_id)._replace(call=call.key)
        request = ReserveRequest(
            question=question,
            purses=call.purses,
            refusal=None,
            want_seconds=1 + self._seconds(),
            context=f"adele|{self.made}{PAYING}paid {self.made}",
            used_seconds=call.used_seconds,
            uses=tuple(call.uses.values()),
            opened_id=call.opened,
        )

        async def step(ledger: Ledger) -> Any:
            before = await ledger.read_balance(call.key.tenant_id)
            known = await outcome_of(_looking_at(call.key), ledger)
            is_forgotten = not isinstance(known, Answer)
            answer = await ledger.reserve(request)
            after = await ledger.read_balance(call.key.tenant_id)
            again = after.debited_micros - before.debited_micros
            # What nobody could pay then may be paid now.
            assert not (is_forgotten and again and not call.unpaid_seconds), (
                f"{again} micros were debited again"
            )
            return answer

        return f"tell again {request}", step

    def _expire(self) -> tuple[str, Step]:
        partition = partition_of(self.random.choice(TENANTS))
        limit = self.random.choice((1, 100))
        return f"expire {partition}", lambda ledger: ledger.expire(partition, limit)

    def _other_facts(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        self.digests[tenant] += 1
        return f"facts {tenant}", self._open(tenant, None)

    def _top_up(self) -> tuple[str, Step]:
        lot = TopUp(
            self.random.choice(TENANTS),
            self.random.choice(LOTS),
            self.random.choice((20, 100, 700, *self._large())),
            self.clock.now_ms() + self.random.choice((0, 300, 4_000)) * 1_000,
        )
        return f"{lot}", lambda ledger: ledger.top_up(lot)

    def _void(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        lot = self.random.choice((*LOTS, f"opening:{tenant}"))
        return f"void {tenant} {lot}", lambda ledger: ledger.void_lot(tenant, lot)

    def _take_back(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        taking = TakeBack(
            tenant,
            f"reversal-{self.random.randint(1, 9)}",
            self.random.choice((*LOTS, f"opening:{tenant}")),
            self.random.choice((10, 60, 300)),
        )
        return f"{taking}", lambda ledger: ledger.take_back(taking)

    def _debit(self) -> tuple[str, Step]:
        debit = DirectDebit(
            self.random.choice(TENANTS),
            f"debit-{self.random.randint(1, 9)}",
            self.random.choice((1, 30, 200, *self._large())),
            self.random.choice((0, 0, 25, None)),
        )
        return f"{debit}", lambda ledger: ledger.debit(debit)

    def _rule_out(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        kinds = ("debit", "refund", "reversal")
        numbered = f"{self.random.choice(kinds)}-{self.random.randint(1, 9)}"
        change = self.random.choice((*LOTS, numbered, numbered))
        return f"rule out {tenant} {change}", lambda ledger: ledger.rule_out(tenant, change)

    def _refund(self) -> tuple[str, Step]:
        tenant = self.random.choice(TENANTS)
        refund = Refund(
            tenant,
            f"refund-{self.random.randint(1, 9)}",
            self.random.choice((*LOTS, f"opening:{tenant}")),
            self.random.choice((1, 10, 60, *self._large())),
            invoiced=self.random.random() < 0.2,
            spend_field=self.random.choice(("", spend_field(tenant, "2027-01", "adele"))),
            debit_id=self.random.choice(("", "", "", f"debit-{self.random.randint(1, 9)}")),
        )
        return f"{refund}", lambda ledger: ledger.refund(refund)

    def _freeze(self) -> tuple[str, Step]:
        tenant, frozen = self.random.choice(TENANTS), self.random.random() < 0.5
        asked_ms = self._asked_ms()
        return (
            f"freeze {tenant} {frozen} {asked_ms}",
            lambda ledger: ledger.freeze(tenant, frozen=frozen, asked_ms=asked_ms),
        )

    def _limit(self) -> tuple[str, Step]:
        tenant, micros = self.random.choice(TENANTS), self.random.choice((0, 15, 120))
        asked_ms = self._asked_ms()
        return (
            f"limit {tenant} {micros} {asked_ms}",
            lambda ledger: ledger.set_credit_limit(tenant, micros, asked_ms=asked_ms),
        )

    def _large(self) -> tuple[int, ...]:
        """Give amounts near the largest, in one history of some."""
        return (2**52, 2**53 - 1_000) if self.is_large else ()

    def _asked_ms(self) -> int | None:
        """Say when something was asked for that is done only now."""
        return self.random.choice((None, self.clock.now_ms(), self.clock.now_ms() - 900_000))

    def _recharge(self) -> tuple[str, Step]:
        """Top up by what closes the gap, where the balance is below a trigger, as a keeper does."""
        tenant, trigger = self.random.choice(TENANTS), self.random.choice((20, 90))
        lot_id = f"recharge:{self.random.randint(1, 6)}"
        expire_ms = self.clock.now_ms() + 4_000_000

        async def step(ledger: Ledger) -> None:
            balance = (await ledger.read_balance(tenant)).balance_micros or 0
            if balance < trigger:
                await ledger.top_up(TopUp(tenant, lot_id, trigger, expire_ms))

        return f"recharge {tenant} below {trigger}", step

    def _request(self, tenant: str, call: str, *, dry_runs: bool = True) -> ReserveRequest:
        refusal = self.random.choice(_REASONS) if self.random.random() < 0.1 else None
        limit = self.random.choice((None, None, 1, 3))
        purses = () if refusal else self._purses(tenant)
        used = self._seconds() if self.random.random() < 0.1 else 0
        return ReserveRequest(
            question=self._question(tenant, call),
            purses=purses,
            refusal=refusal,
            want_seconds=1 + self._seconds(),
            context=self._context(purses),
            concurrency=None if limit is None else ConcurrencyLimit("adele", limit),
            explanation=b"why" if self.random.random() < 0.1 else b"",
            dry_run=dry_runs and self.random.random() < 0.1,
            floor_seconds=self.random.choice((5, 60)),
            used_seconds=used,
            last=used > 0 and self.random.random() < 0.3,
            opened_id=NOT_ASKED if self.random.random() < 0.1 else "",
        )

    def _context(self, purses: Sequence[Purse]) -> str:
        """Tell of a call to one of two numbers and of its purses, as answers do, or of neither."""
        if self.random.random() < 0.2:
            return f"adele|{self.made}{PAYING}paid {self.made}"
        number = self.random.choice(("+1", "+1", "+1", "+2"))
        told = "".join([f"|{type(purse).__name__}|{self.made}|||" for purse in purses])
        return f"2|user|adele|{number}|{self.made}{PAYING}|rate||||{told}"

    def _purses(self, tenant: str) -> tuple[Purse, ...]:
        post_paid = tenant == "postpaid"
        rate = self.random.choice(
            (
                a_rate(60, 0, 1, 1),
                a_rate(100, 3, 30, 6),
                a_rate(61, 0, 60, 60),
                a_rate(0, 0, 60, 60),
                a_rate(7, 11, 7, 13),
            )
        )
        paid = credits_(
            rate,
            overdraft=self.random.choice((0, 0, 0, 40)),
            post_paid=post_paid,
            limit=self.random.choice((None, None, 150)),
            reason=self.random.choice((Reason.CREDITS_EXHAUSTED, Reason.TOLL_FREE_NEEDS_CREDIT)),
        )
        plan = pool(self.random.choice((0, 45, 300)), other_size=self.random.choice((None, 100)))
        plan = plan._replace(period=self.random.choice(("2027-01", "2027-01", "2027-02")))
        abroad = pool(100, counter="other", other_size=None)
        return self.random.choice(
            ((paid,), (paid,), (plan,), (plan, paid), (plan, paid), (abroad, paid), (free(),))
        )

    def _question(self, tenant: str, call: str, verb: str = "reserve") -> Question:
        self.made += 1
        last = self.sequences.get((tenant, call), 0)
        sequence = max(1, last + self.random.choice((1, 1, 1, 1, 1, 2, 0, -1)))
        self.sequences[tenant, call] = max(last, sequence)
        digest = self.digests[tenant] - (self.random.random() < 0.03)
        return Question(
            CallKey(tenant, self.random.choice(GATEWAYS), call),
            sequence,
            f"{verb}-{self.random.choice((1, 1, 1, 2))}",
            f"decision{self.made:08d}",
            f"facts-{digest}",
        )

    def _seconds(self) -> int:
        return self.random.choice((0, 1, 10, 29, 30, 59, 60, 61, 90, 120, 250))


def _looking_at(call: CallKey) -> Step:
    return lambda ledger: ledger.look(call)


async def outcome_of(step: Step, ledger: Ledger) -> Any:
    """Take one step; the result, or what was raised, as something to compare."""
    try:
        return await step(ledger)
    except LedgerError as error:
        return (type(error).__name__, str(error))
