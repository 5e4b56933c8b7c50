"""The reference model's calls: walking over purses, using up, giving back."""

from __future__ import annotations

from dataclasses import dataclass, field

from policy.decision import CreditsPurse, PoolPurse, Purse
from policy.rating import MAX_INCREMENT_SECONDS, affordable_seconds, price_micros
from policy.reasons import Reason
from server.ledger.answers import Answer, Segment
from server.ledger.codec import tally_fields
from server.ledger.errors import RequestReused
from server.ledger.keys import expiry_member
from server.ledger.model.account import Account
from server.ledger.requests import PLENTY, REPORT_GRACE_MS, RING_LIMIT_MS, CallKey, Question, Use
from server.ledger.rooms import Tally, fee, needs_positive, pool_room, room, spendable
from server.storage.redis.references import call_reference

_MS_PER_SECOND = 1_000


@dataclass(slots=True)
class ModelCall:
    """One call: what its purses hold for it, what they paid, and the last answer about it."""

    key: CallKey
    purses: tuple[Purse, ...]
    context: str
    opened: str
    # The places of purses that pay nothing more.
    gone: frozenset[int] = frozenset()
    counted: str = ""
    unfunded: bool = False
    state: str = "live"
    segments: list[Segment] = field(default_factory=list)
    uses: dict[int, Use] = field(default_factory=dict)
    used_seconds: int = 0
    granted_until: int = 0
    overrun_seconds: int = 0
    unpaid_seconds: int = 0
    unpaid_micros: int = 0
    late: bool = False
    implausible_seconds: int = 0
    # When it was first granted; None where nobody knows yet.
    began_ms: int | None = None
    # Money debited in this step that has to leave the lots.
    debit_micros: int = 0
    sequence: int = 0
    fingerprint: str = ""
    answer: Answer | None = None

    @property
    def to_second(self) -> int:
        """The second up to which something is held."""
        return self.segments[-1].to_second if self.segments else self.used_seconds

    @property
    def member(self) -> str:
        """The call's name in the index of reservations by expiry."""
        return expiry_member(
            self.key.tenant_id, call_reference(self.key.tenant_id, self.key.call_id)
        )

    @property
    def expire_time_ms(self) -> int:
        """When the reservation lapses."""
        assert self.answer is not None
        return self.answer.expire_time_ms

    def validity_ms(self) -> int:
        """Say how long after now the next report is due."""
        if self.used_seconds == 0:
            return self.to_second * _MS_PER_SECOND + RING_LIMIT_MS
        return (self.to_second - self.used_seconds) * _MS_PER_SECOND + REPORT_GRACE_MS

    def answer_to(self, question: Question) -> Answer | None:
        """Give the answer again, if this question or a later one was asked before.

        Raises `RequestReused`.
        """
        if question.sequence > self.sequence:
            return None
        assert self.answer is not None
        if question.sequence < self.sequence:
            state = self.state
            return self.answer._replace(superseded=True, explanation=b"", state=state)
        if question.fingerprint != self.fingerprint:
            raise RequestReused
        return self.answer

    def paying(self) -> list[tuple[int, Purse]]:
        """List the purses that may pay, by their places."""
        return [(i, purse) for i, purse in enumerate(self.purses) if i not in self.gone]

    def granted_of(self, index: int) -> int:
        """Count the seconds of one purse, used or held."""
        held = sum(s.to_second - s.from_second for s in self.segments if s.purse_index == index)
        return held + (self.uses[index].seconds if index in self.uses else 0)


class Purses:
    """One call and its account, for as long as one step looks at them."""

    def __init__(self, account: Account, call: ModelCall, ends_from_ms: int | None = None) -> None:
        """Look at a call; with `ends_from_ms` nothing is given beyond the expiry of its money."""
        self._account = account
        self._call = call
        self._ends_from_ms = ends_from_ms

    def walk(self, wanted: int) -> None:
        """Take from each purse in its order what there is of the seconds still wanted."""
        for index in range(len(self._call.purses)):
            if wanted <= 0:
                return
            seconds = self._room(index, wanted)
            if seconds > 0:
                self._take(index, seconds)
                wanted -= seconds

    def slice(self, wanted: int, floor: int) -> int:
        """Shorten what is wanted where other calls draw on the same purses and they run low."""
        plenty = wanted * PLENTY
        rooms = [self._room(index, plenty) for index in range(len(self._call.purses))]
        if sum(rooms) >= plenty:
            return wanted
        contended = any(room > 0 and self._others_hold(index) for index, room in enumerate(rooms))
        if not contended:
            return wanted
        return max(min(wanted, floor), min(wanted, sum(rooms) // PLENTY))

    def is_final(self) -> bool:
        """Say whether no purse can ever give this call more."""
        indexes = range(len(self._call.purses))
        return not any(self._others_hold(index) or self._room(index, 1) > 0 for index in indexes)

    def refusal(self) -> tuple[Reason, int]:
        """Say why nothing was found: the reason of the last purse, and what credits lack."""
        reason, shortfall = Reason.CREDITS_EXHAUSTED, 0
        for index, purse in self._call.paying():
            if isinstance(purse, PoolPurse):
                reason = purse.exhausted_reason
            if isinstance(purse, CreditsPurse):
                reason, shortfall = self._credits_refusal(index, purse)
        return reason, shortfall

    def give_back(self) -> None:
        """Give back all that the call holds."""
        for segment in self._call.segments:
            purse = self._call.purses[segment.purse_index]
            if isinstance(purse, PoolPurse):
                self._pool_tally(purse).held -= segment.to_second - segment.from_second
            if isinstance(purse, CreditsPurse):
                self._hold(purse, -segment.held_micros)
        self._call.segments = []

    def report(self, used: int) -> None:
        """Debit a cumulative report; walk on over what was talked beyond the grants."""
        call = self._call
        self.use_up_to(used)
        if used <= call.used_seconds:
            return
        call.overrun_seconds += max(0, used - max(call.granted_until, call.used_seconds))
        self.walk(used - call.used_seconds)
        self.use_up_to(used)
        if used > call.used_seconds:
            self._leave_unpaid(used - call.used_seconds)
            call.used_seconds = used

    def left(self) -> tuple[int | None, int | None]:
        """Say what is left: micros of credits, seconds of the first pool; None for none."""
        purses = [purse for _, purse in self._call.paying()]
        credits_ = any(isinstance(purse, CreditsPurse) for purse in purses)
        pool = next((purse for purse in purses if isinstance(purse, PoolPurse)), None)
        return (
            self._account.available_micros if credits_ else None,
            None if pool is None else pool_room(pool, self._account),
        )

    def _room(self, index: int, limit: int) -> int:
        purse = self._call.purses[index]
        if index in self._call.gone:
            return 0
        had = self._call.granted_of(index)
        seconds = room(
            purse, self._account, had=had, fee_due=self._call.to_second == 0, limit=limit
        )
        if not isinstance(purse, CreditsPurse) or seconds == 0:
            return seconds
        if self._ends_from_ms is None or purse.post_paid or not purse.rate.micros_per_minute:
            return seconds
        return self._lasting(purse, had, seconds, now_ms=self._ends_from_ms)

    def _lasting(self, purse: CreditsPurse, had: int, seconds: int, *, now_ms: int) -> int:
        # How many of these seconds are paid before money expires that none follows.
        call, account, rate = self._call, self._account, purse.rate
        available, gone = account.available_micros or 0, -call.debit_micros
        below_zero = max(purse.overdraft_micros, account.credit_limit_micros)
        for lot in account.oldest_lots():
            lasts = call.used_seconds + max(0, lot.expire_ms - now_ms) // _MS_PER_SECOND
            until = max(0, lasts - call.to_second)
            if until >= seconds:
                break
            gone += lot.left_micros
            left = available - max(0, min(gone, available)) + below_zero
            left -= 0 if until else self._fee(purse)
            bought = price_micros(rate, had + until)
            most = had + seconds + MAX_INCREMENT_SECONDS
            paid = affordable_seconds(rate, bought + max(0, left), most)
            if price_micros(rate, paid) <= bought:
                paid = had + until
            seconds = min(seconds, paid - had)
        return seconds

    def _credits_refusal(self, index: int, purse: CreditsPurse) -> tuple[Reason, int]:
        had = self._call.granted_of(index)
        need = price_micros(purse.rate, had + 1) - price_micros(purse.rate, had) + self._fee(purse)
        if needs_positive(purse) and had == 0:
            need = max(1, need)
        by_balance, by_limit = spendable(purse, self._account)
        if self._account.available_micros is None and not purse.post_paid:
            return Reason.BALANCE_MISSING, need
        shortfall = max(0, need - int(min(by_balance, need)))
        if by_limit < need and by_limit <= by_balance:
            return Reason.SPEND_LIMIT_REACHED, shortfall
        return purse.exhausted_reason, shortfall

    def _fee(self, purse: CreditsPurse) -> int:
        return fee(purse, due=self._call.to_second == 0)

    def _take(self, index: int, seconds: int) -> None:
        call, purse, held = self._call, self._call.purses[index], 0
        start = call.to_second
        if isinstance(purse, PoolPurse):
            self._pool_tally(purse).held += seconds
        if isinstance(purse, CreditsPurse):
            had = call.granted_of(index)
            held = price_micros(purse.rate, had + seconds) - price_micros(purse.rate, had)
            held += self._fee(purse)
            self._hold(purse, held)
        last = call.segments[-1] if call.segments else None
        if last is not None and last.purse_index == index:
            start, held = last.from_second, last.held_micros + held
            seconds += last.to_second - last.from_second
            call.segments.pop()
        call.segments.append(Segment(index, start, start + seconds, held))

    def _hold(self, purse: CreditsPurse, micros: int) -> None:
        account = self._account
        if self._is_post_paid(purse):
            account.post_paid_micros += micros
        else:
            assert account.available_micros is not None or purse.post_paid
            account.available_micros = (account.available_micros or 0) - micros
        account.reserved_micros += micros
        tally = self._spend_tally(purse)
        if tally is not None:
            tally.held += micros

    def _is_post_paid(self, purse: CreditsPurse) -> bool:
        return self._call.unfunded and purse.post_paid

    def use_up_to(self, used: int) -> None:
        """Fill the segments in order with the seconds used so far."""
        call, left, until = self._call, [], call_end(self._call)
        for segment in call.segments:
            seconds = min(segment.to_second, used) - segment.from_second
            held = segment.held_micros
            if seconds > 0:
                held -= self._use(segment, seconds)
            start = segment.from_second + max(0, seconds)
            if start < segment.to_second:
                left.append(Segment(segment.purse_index, start, segment.to_second, held))
        call.segments = left
        call.used_seconds = max(call.used_seconds, min(used, until))

    def _use(self, segment: Segment, seconds: int) -> int:
        call, index = self._call, segment.purse_index
        purse, paid, micros = call.purses[index], call.uses.get(index, Use(index, 0, 0)), 0
        if isinstance(purse, PoolPurse):
            tally = self._pool_tally(purse)
            tally.done += seconds
            tally.held -= seconds
        if isinstance(purse, CreditsPurse):
            micros = price_micros(purse.rate, paid.seconds + seconds)
            micros -= price_micros(purse.rate, paid.seconds)
            if segment.from_second == 0:
                micros += purse.rate.connection_fee_micros
            self._debit(purse, micros)
        call.uses[index] = Use(index, paid.seconds + seconds, paid.micros + micros)
        return micros

    def _debit(self, purse: CreditsPurse, micros: int) -> None:
        self._account.reserved_micros -= micros
        self._account.debited_micros += micros
        if not self._is_post_paid(purse):
            self._call.debit_micros += micros
        tally = self._spend_tally(purse)
        if tally is not None:
            tally.held -= micros
            tally.done += micros

    def _leave_unpaid(self, seconds: int) -> None:
        call = self._call
        for index, purse in call.paying():
            if isinstance(purse, CreditsPurse):
                had = call.granted_of(index) + call.unpaid_seconds
                call.unpaid_micros += price_micros(purse.rate, had + seconds)
                call.unpaid_micros -= price_micros(purse.rate, had)
                if call.used_seconds == 0:
                    call.unpaid_micros += purse.rate.connection_fee_micros
        call.unpaid_seconds += seconds

    def _own_held(self, index: int) -> int:
        is_pool = isinstance(self._call.purses[index], PoolPurse)
        return sum(
            s.to_second - s.from_second if is_pool else s.held_micros
            for s in self._call.segments
            if s.purse_index == index
        )

    def _others_hold(self, index: int) -> bool:
        purse = self._call.purses[index]
        if index in self._call.gone:
            return False
        if isinstance(purse, PoolPurse):
            return self._pool_tally(purse).held > self._own_held(index)
        return isinstance(purse, CreditsPurse) and self._account.reserved_micros > self._own_held(
            index
        )

    def _pool_tally(self, purse: PoolPurse) -> Tally:
        field, _ = tally_fields(purse, self._call.key.tenant_id)[0]
        return self._account.tallies[field]

    def _spend_tally(self, purse: CreditsPurse) -> Tally | None:
        fields = tally_fields(purse, self._call.key.tenant_id)
        return self._account.tallies[fields[0][0]] if fields else None


def call_end(call: ModelCall) -> int:
    """Say up to which second a call holds something."""
    return call.to_second
