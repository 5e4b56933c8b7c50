"""One step of the reference model: a draft of an account and of calls, kept only if it succeeds."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import NamedTuple

from policy.rating import MAX_INCREMENT_SECONDS
from policy.reasons import Reason
from server.ledger.answers import Answer
from server.ledger.errors import CallUnknown
from server.ledger.keys import running_field
from server.ledger.model.account import Account, Lot
from server.ledger.model.call import ModelCall, Purses
from server.ledger.model.terms import Terms, far_end, terms_of
from server.ledger.requests import (
    EXPIRE_VALIDITIES,
    LONG_DUE_MS,
    LONGEST_UNKNOWN_SECONDS,
    NOT_ASKED,
    REFUND_LIFETIME_MS,
    Question,
    Refund,
    ReserveRequest,
    TakeBack,
    paid_as_it_began,
)

# "lot", its micros and its expiry; a voided one has one part more.
_LOT_PARTS = 3
# Stands for an id by which nothing is made any more.
RULED_OUT = ("ruled_out", "0")
# What is told only where the number of calls and the call id are in order.
_TOLD_LAST = (
    Reason.ALLOWANCE_EXHAUSTED,
    Reason.TOLL_FREE_NEEDS_CREDIT,
    Reason.CREDITS_EXHAUSTED,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of the purses, and what stands against it."""

    want_seconds: int
    floor_seconds: int
    refusal: Reason | None = None
    running_limit: int | None = None
    in_use: bool = False
    forced: tuple[Reason, int] | None = None
    # What the call was until now, where it was running.
    running: ModelCall | None = None
    # It was granted before: what it used may yet be settled.
    granted_before: bool = False
    # Nothing more can follow for now.
    last: bool = False


class StepTime(NamedTuple):
    """The time of a step, which never runs back, and that of who asks: lots go by that."""

    now_ms: int
    asked_ms: int


class Step:
    """What one verb changes: made on copies, and thrown away where it raises."""

    def __init__(self, account: Account, time: StepTime, small_until_ms: int = 0) -> None:
        self.account = account
        self.now_ms = time.now_ms
        self.asked_ms = time.asked_ms
        self._grants_are_small = time.now_ms < small_until_ms
        self.kinds: list[str] = []
        # Calls with their new state; True for a refusal because another gateway has the call id.
        self.calls: list[tuple[ModelCall, bool]] = []
        # The call is over and another gateway's has its id: it is answered, and never runs again.
        self.aside = False
        self.answers: list[Answer] = []
        # Something was refused, or left unpaid, for lack of what a lapsed call may still hold.
        self.short = False
        # By which terms the call that is asked about goes on, and how it was paid until then.
        self._as_granted: tuple[Terms, ModelCall] | None = None
        # By how much a report may be ahead of time; None: whatever it says is believed.
        self.tolerance_seconds: int | None = None
        # When a lot expires while what is granted may last: from when on that is counted.
        self._ends_from_ms: int | None = None
        self.refused: tuple[Reason, int] | None = None

    def note(self, kind: str) -> None:
        """Write a journal entry."""
        self.kinds.append(kind)

    def top_up(self, lot: Lot) -> None:
        """Fund the account with a lot nobody knew yet."""
        self.account.known[lot.lot_id] = ("lot", str(lot.left_micros), str(lot.expire_ms))
        self.account.add_lot(lot)
        self.note("topped_up")

    def void(self, lot_id: str) -> bool:
        """Take a lot out of use; False where it was before."""
        what = self.account.known[lot_id]
        if what[-1] == "voided":
            return False
        lot = self.account.lots.get(lot_id)
        if lot is not None and lot.left_micros > 0:
            lot.voided, lot.expire_ms = True, LONG_DUE_MS
        self.account.known[lot_id] = (*what, "voided")
        self.note("lot_voided")
        self.take_from_due_lots()
        return True

    def take_back(self, taking: TakeBack) -> int:
        """Set apart what is there of a lot, voided; say how much that is."""
        account, lot = self.account, self.account.lots.get(taking.lot_id)
        usable = lot is not None and not lot.voided and lot.expire_ms > self.asked_ms
        found = min(lot.left_micros, taking.micros) if lot is not None and usable else 0
        if lot is not None and found > 0:
            lot.left_micros -= found
            account.lots[taking.apart_id] = Lot(
                taking.apart_id, LONG_DUE_MS, self.now_ms, found, voided=True
            )
            account.known[taking.apart_id] = ("lot", str(found), str(LONG_DUE_MS), "voided")
        what = ("taken", str(taking.micros), taking.lot_id, str(found))
        account.known[taking.taking_id] = what
        self.note("taken_back")
        self.take_from_due_lots()
        return found

    def debit(self, debit_id: str, micros: int) -> None:
        """Take money that no call holds."""
        account = self.account
        account.available_micros = (account.available_micros or 0) - micros
        account.debited_micros += micros
        account.pay_from_lots(micros)
        account.known[debit_id] = ("debit", str(micros))
        self.note("debited")

    def refund(self, refund: Refund) -> None:
        """Give debited money back, into its lot while that lasts."""
        account = self.account
        account.refunded_micros += refund.micros
        account.known[refund.refund_id] = ("refund", str(refund.micros), refund.lot_id)
        if refund.spend_field:
            tally = account.tallies[refund.spend_field]
            tally.done -= min(tally.done, refund.micros)
        if account.available_micros is None or refund.invoiced:
            account.post_paid_micros -= refund.micros
        else:
            account.available_micros += refund.micros
            account.fill_lot(self._lot_for(refund), refund.micros)
        self.note("refunded")

    def rule_out(self, change_id: str) -> None:
        """Let nothing be made by an id any more."""
        self.account.known[change_id] = RULED_OUT
        self.note("ruled_out")

    def _lot_for(self, refund: Refund) -> Lot:
        account = self.account
        lot = account.lots.get(refund.lot_id)
        has_something = lot is not None and lot.left_micros > 0
        if lot is not None and has_something and not lot.voided and lot.expire_ms > self.asked_ms:
            return lot
        known = account.known.get(refund.lot_id, ())
        is_lot = len(known) == _LOT_PARTS and known[0] == "lot"
        if is_lot and not has_something and int(known[2]) > self.asked_ms:
            lot = Lot(refund.lot_id, int(known[2]), self.now_ms, 0)
        else:
            lot_id = f"refund:{refund.refund_id}"
            lot = Lot(lot_id, self.asked_ms + REFUND_LIFETIME_MS, self.now_ms, 0)
            account.known[lot_id] = ("lot", str(refund.micros), str(lot.expire_ms))
        account.lots[lot.lot_id] = lot
        return lot

    def take_from_due_lots(self) -> None:
        """Let due lots expire as far as no running call holds them."""
        if self.account.take_from_due_lots(self.asked_ms):
            self.note("lots_expired")

    def reserve(
        self,
        request: ReserveRequest,
        found: ModelCall | None,
        forced: tuple[Reason, int] | None,
        *,
        in_use: bool,
    ) -> None:
        """Answer a question for a reservation; `found` is what is known of the call."""
        self._as_granted = None
        before = _before(found, in_use=in_use)
        live = before is not None and before.state == "live"
        aside = in_use and before is not None and bool(before.purses)
        running: ModelCall | None = None
        terms: Terms | None = None
        if before is not None and _goes_on(before, request, aside=aside):
            call, terms = before, self._go_on(before, request, aside=aside)
        else:
            if request.opened_id == NOT_ASKED and before is None and not in_use:
                raise CallUnknown
            call = self._begin(request, before, known_uses=not in_use)
            running = before if before is not None and live and before.purses else None
        want, used = _wanted(request, found), request.used_seconds
        if used:
            used = self.believed(call, used, is_new=call is not before)
        if aside or not in_use:
            want = max(want, self.report(call, used, terms))
        limit = None if request.concurrency is None else request.concurrency.limit
        wish = Wish(
            want,
            request.floor_seconds,
            request.refusal,
            limit,
            in_use,
            forced,
            running,
            granted_before=call is before,
            last=request.last,
        )
        self.grant(request.question, call, wish, kind="reserved", was_live=live)
        call, _ = self.calls[-1]
        self.answers[-1] = call.answer = self.answers[-1]._replace(explanation=request.explanation)

    def _go_on(self, call: ModelCall, request: ReserveRequest, *, aside: bool) -> Terms | None:
        # The call is asked about as it stands; says by which other terms it goes on.
        late, began = call.late, call.context
        self.resume(call)
        call.context = paid_as_it_began(began, request.context)
        if aside:
            return None
        if not request.used_seconds:
            call.late = late
            Purses(self.account, call).give_back()
        if request.concurrency is not None:
            call.counted = running_field(call.key.tenant_id, request.concurrency.account_id)
        return terms_of(
            call,
            request.purses,
            request.context,
            contexts=(began, call.context),
            keeps_rate=request.used_seconds > 0 or far_end(began) == far_end(request.context),
        )

    def _begin(
        self, request: ReserveRequest, before: ModelCall | None, *, known_uses: bool
    ) -> ModelCall:
        # A new call, or one that runs and used nothing so far.
        call = _begin(request, known_uses=known_uses)
        call.unfunded = self.account.available_micros is None
        if before is not None and before.state in {"live", "expired", "ended"}:
            # It may have been answered at its first grant, though no report said so yet.
            call.began_ms = before.began_ms
        if before is not None and before.state == "live":
            self._count(before, -1)
            Purses(self.account, before).give_back()
            call.opened, call.late = before.opened, before.late
        return call

    def believed(self, call: ModelCall, used: int, *, is_new: bool = False) -> int:
        """Say how much of a report is believed; the rest is held apart."""
        call.implausible_seconds = 0
        most = LONGEST_UNKNOWN_SECONDS
        if call.began_ms is not None:
            most = -(-max(0, self.now_ms - call.began_ms) // 1_000)
        if self.tolerance_seconds is None or (call.began_ms is None and not is_new):
            return used
        taken = min(used, max(most + self.tolerance_seconds, call.used_seconds))
        call.implausible_seconds = used - taken
        return taken

    def report(self, call: ModelCall, used: int, terms: Terms | None) -> int:
        """Take a cumulative report: what was granted is used as it was, the rest by the terms.

        Returns how many seconds the call held and has to ask for anew.
        """
        purses, held = Purses(self.account, call), 0
        if terms is not None:
            uses = dict(call.uses)
            purses.use_up_to(used)
            if call.uses != uses:
                self._pay(call)
                self.note("extended")
            held = call.to_second - call.used_seconds
            purses.give_back()
            self._as_granted = terms, replace(call)
            terms.take(call)
        purses.report(used)
        return held

    def resume(self, call: ModelCall) -> bool:
        """Take a call up again where it was left; say whether it was running."""
        was_live = call.state == "live"
        call.granted_until = call.to_second
        if was_live:
            self._count(call, -1)
        else:
            # What is over holds nothing; its segments were those of its last answer.
            call.segments = []
            call.late = call.late or call.state == "expired"
        return was_live

    def grant(
        self, question: Question, call: ModelCall, wish: Wish, *, kind: str, was_live: bool
    ) -> None:
        """Take what is wanted of the purses and answer; what is refused ends the call.

        One that was running by an earlier grant ends as it was granted: its use is yet to be paid.
        """
        purses = Purses(self.account, call)
        self._ends_from_ms = self.asked_ms if self._lots_end(wish.want_seconds) else None
        reason, shortfall = wish.forced or self._try(call, wish)
        if reason is not None:
            purses.give_back()
            if self._as_granted is not None:
                terms, before = self._as_granted
                terms.end(call, before)
            if wish.running is not None:
                context = paid_as_it_began(wish.running.context, call.context)
                wish.running.context, call = context, wish.running
            self.refused = self.refused or (reason, shortfall)
            self.short = self.short or (wish.refusal is None and not self.account.frozen)
            may_be_settled = was_live or wish.granted_before or call.used_seconds > 0
            call.state = "ended" if may_be_settled else "refused"
        else:
            call.state = "live"
            self._count(call, 1)
        if reason is None:
            self.note(kind)
        elif call.state == "ended":
            self.note("ended")
        self._answer(question, call, (reason, shortfall), last=wish.last)
        self.calls.append((call, wish.in_use))

    def end(self, question: Question, call: ModelCall, state: str) -> None:
        """End a call: nothing is held any more."""
        held = call.segments
        Purses(self.account, call).give_back()
        call.state = state
        self.note(state)
        if state == "released":
            # The answer to a release tells what was given back.
            call.segments = held
        self._answer(question, call, (None, 0))
        self.calls.append((call, False))

    def expire(self, call: ModelCall) -> None:
        """Give back what a lapsed call holds; the answer it got stays."""
        segments = call.segments
        self._count(call, -1)
        Purses(self.account, call).give_back()
        call.segments, call.state = segments, "expired"
        self.note("expired")
        self.calls.append((call, False))

    def _try(self, call: ModelCall, wish: Wish) -> tuple[Reason | None, int]:
        if wish.refusal is not None:
            return wish.refusal, 0
        if self.account.frozen:
            return Reason.ACCOUNT_FROZEN, 0
        objection = self._objection(call, wish)
        purses = Purses(self.account, call, self._ends_from_ms)
        if self._grants_are_small:
            wanted = min(wish.want_seconds, wish.floor_seconds)
        else:
            wanted = purses.slice(wish.want_seconds, wish.floor_seconds)
        purses.walk(call.used_seconds + wanted - call.to_second)
        # A mere report needs no more than it has.
        if call.to_second > call.used_seconds or wish.want_seconds == 0:
            return objection, 0
        reason, shortfall = purses.refusal()
        if objection is not None and reason in _TOLD_LAST:
            return objection, 0
        return reason, shortfall

    def _lots_end(self, wanted: int) -> bool:
        lots = self.account.oldest_lots()
        reach_ms = (wanted + MAX_INCREMENT_SECONDS) * 1_000
        return bool(lots) and lots[0].expire_ms <= self.asked_ms + reach_ms

    def _objection(self, call: ModelCall, wish: Wish) -> Reason | None:
        running = self.account.running[call.counted]
        if call.counted and wish.running_limit is not None and running >= wish.running_limit:
            return Reason.CONCURRENT_CALLS
        return Reason.CALL_ID_IN_USE if wish.in_use else None

    def _answer(
        self,
        question: Question,
        call: ModelCall,
        why_not: tuple[Reason | None, int],
        *,
        last: bool = False,
    ) -> None:
        reason, shortfall = why_not
        purses = Purses(self.account, call, self._ends_from_ms)
        self._pay(call)
        live = call.state == "live"
        if call.began_ms is None:
            call.began_ms = max(0, self.now_ms - call.used_seconds * 1_000)
        validity_ms = call.validity_ms() if live else 0
        available, pool_left = purses.left()
        call.sequence, call.fingerprint = question.sequence, question.fingerprint
        call.answer = Answer(
            decision_id=question.decision_id,
            decide_time_ms=self.now_ms,
            segments=tuple(call.segments),
            final=live and (last or purses.is_final()),
            reason=reason,
            shortfall_micros=shortfall,
            available_micros=available,
            pool_left_seconds=pool_left,
            report_by_ms=self.now_ms + validity_ms if live else 0,
            expire_time_ms=self.now_ms + EXPIRE_VALIDITIES * validity_ms if live else 0,
            context=call.context,
            state=call.state,
            used_seconds=call.used_seconds,
            uses=tuple(call.uses[index] for index in sorted(call.uses)),
            overrun_seconds=call.overrun_seconds,
            unpaid_seconds=call.unpaid_seconds,
            unpaid_micros=call.unpaid_micros,
            late=call.late,
            implausible_seconds=call.implausible_seconds,
        )
        self.answers.append(call.answer)

    def _pay(self, call: ModelCall) -> None:
        if call.debit_micros:
            self.account.pay_from_lots(call.debit_micros)
            call.debit_micros = 0

    def _count(self, call: ModelCall, by: int) -> None:
        if call.counted:
            self.account.running[call.counted] = max(0, self.account.running[call.counted] + by)


def _wanted(request: ReserveRequest, found: ModelCall | None) -> int:
    if not request.last:
        return request.want_seconds
    return last_wanted(found, request.want_seconds, request.floor_seconds)


def last_wanted(found: ModelCall | None, wanted: int, floor: int) -> int:
    """Say how much to grant where nothing more can follow, after a final grant nothing."""
    was_final = found is not None and found.answer is not None and found.answer.final
    return 0 if was_final else min(wanted, floor)


def _before(found: ModelCall | None, *, in_use: bool) -> ModelCall | None:
    # What a question goes on from. Of a call id that another gateway has, only what may yet be
    # settled: no question may do away with it.
    if found is None or found.state == "refused":
        return None
    if in_use and found.state not in {"expired", "ended"}:
        return None
    return deepcopy(found)


def _goes_on(before: ModelCall, request: ReserveRequest, *, aside: bool) -> bool:
    # Whether a question is about a call as it stands, not about a new one: use is cumulative, also
    # where the reservation lapsed or a refusal ended it.
    if not before.purses:
        return False
    may_go_on = before.state in {"live", "expired", "ended"}
    return aside or request.used_seconds > 0 or (before.used_seconds > 0 and may_go_on)


def _begin(request: ReserveRequest, *, known_uses: bool) -> ModelCall:
    concurrency, uses = request.concurrency, request.uses if known_uses else ()
    opened_id = request.opened_id if known_uses and request.opened_id != NOT_ASKED else ""
    call = ModelCall(
        key=request.question.call,
        purses=request.purses,
        context=request.context,
        opened=opened_id or request.question.decision_id,
        counted=""
        if concurrency is None
        else running_field(request.question.call.tenant_id, concurrency.account_id),
        uses={use.purse_index: use for use in uses},
    )
    call.used_seconds = sum(use.seconds for use in uses)
    call.granted_until = request.used_seconds
    call.began_ms = request.began_ms or None
    return call
