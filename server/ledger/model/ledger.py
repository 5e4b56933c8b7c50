"""The ledger's reference model in plain Python: what Redis is compared with, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

from policy.rating import MAX_WHOLE_NUMBER
from policy.reasons import Reason
from server.ledger import codec as wire
from server.ledger.answers import Answer, Balance
from server.ledger.errors import (
    AccountUnknown,
    BalanceTooLarge,
    CallAnswered,
    CallOver,
    CallUnknown,
    CurrencyChanged,
    DebitUnknown,
    FactsStale,
    FundsMissing,
    LotDue,
    LotUnknown,
    PartitionAhead,
    RefundTooLarge,
    RequestReused,
    RuledOut,
    Superseded,
)
from server.ledger.keys import opening_lot, partition_of
from server.ledger.model.account import Account, Lot
from server.ledger.model.call import ModelCall, Purses
from server.ledger.model.step import RULED_OUT, Step, StepTime, Wish, last_wanted
from server.ledger.model.terms import Terms, terms_of
from server.ledger.requests import (
    CallKey,
    DirectDebit,
    ExtendRequest,
    OpenAccount,
    Question,
    Refund,
    ReserveRequest,
    TakeBack,
    TopUp,
    looking,
)
from server.storage.redis import Clock


class MemoryLedger:
    """Keeps everything in dictionaries of one process. See `Ledger`."""

    def __init__(self, clock: Clock, *, tolerance_seconds: int | None = None) -> None:
        self._clock = clock
        self._tolerance_seconds = tolerance_seconds
        self._accounts: dict[str, Account] = {}
        self._calls: dict[tuple[str, str], ModelCall] = {}
        # What gateways were answered about a call id that another one has by now.
        self._others: dict[CallKey, ModelCall] = {}
        self._partition_time_ms: dict[int, int] = {}
        self._small_until_ms: dict[int, int] = {}
        # (kind, tenant) of each change, the oldest first.
        self.journal: list[tuple[str, str]] = []

    async def open_account(self, account: OpenAccount) -> int:
        """Open or re-describe one account; say which version of what describes it that is."""
        tenant_id, opening = account.tenant_id, account.opening_balance_micros
        known = self._accounts.get(tenant_id)
        if known is not None and known.currency != account.currency:
            raise CurrencyChanged(tenant_id, known.currency, account.currency)
        draft = deepcopy(known) or Account(
            tenant_id, account.currency, account.facts_digest, prepaid=account.prepaid
        )
        step = Step(draft, self._time(tenant_id))
        if known is None:
            step.note("opened")
        elif (draft.digest, draft.prepaid) != (account.facts_digest, account.prepaid):
            draft.digest, draft.prepaid = account.facts_digest, account.prepaid
            draft.version += 1
            step.note("described")
        lot_id = opening_lot(tenant_id)
        is_due = account.opening_expire_ms <= step.now_ms
        fits = not is_due and draft.has_space(opening or 0)
        if opening is not None and lot_id not in draft.known and fits:
            wire.require_whole(opening_balance_micros=opening)
            step.top_up(Lot(lot_id, account.opening_expire_ms, step.now_ms, opening))
        self._commit(step)
        return draft.version

    async def reserve(self, request: ReserveRequest) -> Answer:
        """Take from the purses in order, once per (call, sequence)."""
        return self._reserve((request,), all_or_nothing=False, dry_run=request.dry_run)[0]

    async def reserve_many(
        self, requests: Sequence[ReserveRequest], *, all_or_nothing: bool
    ) -> tuple[Answer, ...]:
        """Take for several calls on one account, in one step."""
        return self._reserve(requests, all_or_nothing=all_or_nothing, dry_run=False)

    async def extend(self, request: ExtendRequest) -> Answer:
        """Debit what was used and take more, unless the rules now say no."""
        question = request.question

        def build() -> Step:
            step, call = self._open_report(question, question.facts_digest)
            was_live = step.resume(call)
            terms: Terms | None = None
            want, last = request.want_seconds, request.last and request.want_seconds > 0
            if last:
                want = last_wanted(call, want, request.floor_seconds)
            # A mere report leaves the grant as it is.
            if want:
                terms = terms_of(
                    call,
                    request.purses,
                    request.context,
                    contexts=(call.context, call.context),
                    keeps_rate=True,
                )
            used = step.believed(call, request.used_seconds)
            want = max(want, step.report(call, used, terms))
            limit = request.concurrency_limit if call.counted else None
            wish = Wish(
                want,
                request.floor_seconds,
                request.refusal,
                limit,
                in_use=step.aside,
                granted_before=True,
                last=last,
            )
            step.grant(question, call, wish, kind="extended", was_live=was_live)
            return step

        earlier = self._earlier(question)
        if earlier is not None:
            return earlier
        call = self._reported(question.call)
        if not call.purses:
            raise CallOver(call.state)
        return self._take(build, question)

    async def look(self, call: CallKey) -> Answer:
        """Read a call as it stands, changing nothing."""
        answer = self._earlier(looking(call))
        assert answer is not None
        return answer

    async def settle(self, question: Question, used_seconds: int) -> Answer:
        """Debit all that a call used and give back the rest."""

        def build() -> Step:
            step, call = self._open_report(question)
            step.resume(call)
            unpaid = call.unpaid_seconds
            Purses(step.account, call).report(step.believed(call, used_seconds))
            step.short = call.unpaid_seconds > unpaid
            step.end(question, call, "settled")
            return step

        return self._earlier(question) or self._take(build, question)

    async def release(self, question: Question) -> Answer:
        """Give back all a call holds: the called party never answered."""
        earlier = self._earlier(question)
        if earlier is not None:
            return earlier
        known = self._reported(question.call)
        if known.state != "live":
            raise CallOver(known.state)
        if known.used_seconds > 0:
            raise CallAnswered
        step, call = self._open_report(question)
        step.resume(call)
        step.end(question, call, "released")
        return self._commit(step)[0]

    async def expire(self, tenant_partition: int, limit: int) -> int:
        """Give back what lapsed in one partition, `limit` calls at most; say how many."""
        return self._expire(tenant_partition, limit)

    async def top_up(self, lot: TopUp) -> None:
        """Fund an account with a lot, once per lot id."""
        wire.require_money(lot.micros)
        what = ("lot", str(lot.micros), str(lot.expire_ms))
        step = self._open_money(lot.tenant_id, lot.lot_id, what)
        if step is None:
            return
        if lot.expire_ms <= step.asked_ms:
            raise LotDue
        if lot.expire_ms <= step.now_ms:
            raise PartitionAhead(str(step.now_ms))
        if not step.account.has_space(lot.micros):
            raise BalanceTooLarge
        step.top_up(Lot(lot.lot_id, lot.expire_ms, step.now_ms, lot.micros))
        self._commit(step)

    async def void_lot(self, tenant_id: str, lot_id: str) -> None:
        """Take a lot out of use."""
        step = self._open(tenant_id)
        if step.account.known.get(lot_id, ("",))[0] != "lot":
            raise LotUnknown
        if step.void(lot_id):
            self._commit(step)

    async def take_back(self, taking: TakeBack) -> int:
        """Void what a provider took back of a lot's price; say how much was there."""
        wire.require_money(taking.micros)
        what = ("taken", str(taking.micros), taking.lot_id)
        step = self._open_money(taking.tenant_id, taking.taking_id, what)
        if step is None:
            return int(self._accounts[taking.tenant_id].known[taking.taking_id][-1])
        if step.account.known.get(taking.lot_id, ("",))[0] != "lot":
            raise LotUnknown
        found = step.take_back(taking)
        self._commit(step)
        return found

    async def debit(self, debit: DirectDebit) -> None:
        """Take money that no call holds, once per debit id: all of it or nothing."""
        wire.require_money(debit.micros)
        what = ("debit", str(debit.micros))
        step = self._open_money(debit.tenant_id, debit.debit_id, what)
        if step is None:
            return
        available = step.account.available_micros
        below_zero = 0
        if debit.overdraft_micros is not None:
            below_zero = max(debit.overdraft_micros, step.account.credit_limit_micros)
        least = 0 if available is None else available + below_zero
        if debit.micros > least:
            self._commit(step)
            raise FundsMissing(min(debit.micros - least, MAX_WHOLE_NUMBER))
        step.debit(debit.debit_id, debit.micros)
        self._commit(step)

    async def refund(self, refund: Refund) -> None:
        """Give debited money back, once per refund id."""
        wire.require_money(refund.micros)
        what = ("refund", str(refund.micros), refund.lot_id)
        step = self._open_money(refund.tenant_id, refund.refund_id, what)
        if step is None:
            return
        account = step.account
        if refund.debit_id and account.known.get(refund.debit_id, ("",))[0] != "debit":
            raise DebitUnknown
        if refund.micros > account.debited_micros - account.refunded_micros:
            raise RefundTooLarge
        invoiced = refund.invoiced or account.available_micros is None
        if invoiced and refund.micros > account.post_paid_micros:
            raise RefundTooLarge
        if not invoiced and account.balance_micros + refund.micros > MAX_WHOLE_NUMBER:
            raise BalanceTooLarge
        step.refund(refund)
        self._commit(step)

    async def rule_out(self, tenant_id: str, change_id: str) -> bool:
        """Let no lot, debit or refund be made by an id any more; False where one was."""
        step = self._open(tenant_id)
        known = step.account.known.get(change_id)
        if known is None:
            step.rule_out(change_id)
            self._commit(step)
        return known is None or known == RULED_OUT

    async def freeze(self, tenant_id: str, *, frozen: bool, asked_ms: int | None = None) -> None:
        """Grant nothing more of an account, or again."""
        step, is_newer = self._open_setting(tenant_id, "freezing", asked_ms)
        if step.account.frozen != frozen or is_newer:
            step.account.frozen = frozen
            step.note("frozen")
        self._commit(step)

    async def set_credit_limit(
        self, tenant_id: str, micros: int, *, asked_ms: int | None = None
    ) -> None:
        """Let an account go so far below zero, where its facts allow less."""
        wire.require_whole(credit_limit_micros=micros)
        step, is_newer = self._open_setting(tenant_id, "limiting", asked_ms)
        account = step.account
        if account.credit_limit_micros != micros or is_newer:
            account.credit_limit_micros = micros
            if micros > 0:
                account.available_micros = account.available_micros or 0
            step.note("limit_set")
        self._commit(step)

    def _open_setting(self, tenant_id: str, kind: str, asked_ms: int | None) -> tuple[Step, bool]:
        # Says also whether it is newer than the last of its kind that is known.
        if tenant_id not in self._accounts:
            raise AccountUnknown(tenant_id)
        step = Step(deepcopy(self._accounts[tenant_id]), self._time(tenant_id))
        if asked_ms is None:
            return step, False
        last_ms = step.account.asked_ms.get(kind, 0)
        if asked_ms < last_ms:
            raise Superseded
        step.account.asked_ms[kind] = asked_ms
        return step, asked_ms > last_ms

    def _open_money(self, tenant_id: str, change_id: str, what: tuple[str, ...]) -> Step | None:
        # None where this very change was made before.
        account = self._accounts.get(tenant_id)
        if account is None:
            raise AccountUnknown(tenant_id)
        known = account.known.get(change_id)
        if known is None:
            return self._open(tenant_id)
        if known == RULED_OUT:
            raise RuledOut
        if known[: len(what)] != what:
            raise RequestReused
        return None

    def reopen(self, partition: int, small_until_ms: int) -> None:
        """Fill a partition anew as an archive knows it: of calls it knows only what was paid.

        Until then grants are as short as they may be.
        """
        for (tenant_id, call_id), call in list(self._calls.items()):
            if partition_of(tenant_id) == partition:
                if call.state == "live":
                    Purses(self._accounts[tenant_id], call).give_back()
                del self._calls[tenant_id, call_id]
        for key in [key for key in self._others if partition_of(key.tenant_id) == partition]:
            del self._others[key]
        for tenant_id, account in self._accounts.items():
            if partition_of(tenant_id) == partition:
                account.running.clear()
        self.journal = [one for one in self.journal if partition_of(one[1]) != partition]
        self._small_until_ms[partition] = small_until_ms
        self._partition_time_ms[partition] = self._clock.now_ms()

    async def read_balance(self, tenant_id: str) -> Balance:
        """Read one account. Raises `AccountUnknown`."""
        step = self._open(tenant_id)
        self._commit(step)
        account = step.account
        return Balance(
            tenant_id=tenant_id,
            currency=account.currency,
            available_micros=account.available_micros,
            reserved_micros=account.reserved_micros,
            funded_micros=account.funded_micros,
            debited_micros=account.debited_micros,
            expired_micros=account.expired_micros,
            refunded_micros=account.refunded_micros,
            voided_micros=account.voided_micros,
            post_paid_micros=account.post_paid_micros,
            owed_micros=account.owed_micros,
            version=account.version,
        )

    def _reserve(
        self, requests: Sequence[ReserveRequest], *, all_or_nothing: bool, dry_run: bool
    ) -> tuple[Answer, ...]:
        wire.require_legs(requests)
        first = requests[0].question
        earlier = [None if dry_run else self._answered(r.question) for r in requests]
        if all(answer is not None for answer in earlier):
            return tuple(answer for answer in earlier if answer is not None)

        def build(forced: tuple[Reason, int] | None = None) -> Step:
            step = self._open(first.call.tenant_id, first.facts_digest)
            for request in requests:
                answer = None if dry_run else self._answered(request.question)
                if answer is not None:
                    step.answers.append(answer)
                    continue
                found = self._found(request.question)
                step.reserve(request, found, forced, in_use=self._in_use(request.question))
            return step

        step = self._collected(build, first.call.tenant_id)
        if all_or_nothing and step.refused is not None:
            step = build(step.refused)
        return tuple(step.answers) if dry_run else self._commit(step)

    def _take(self, build: Callable[[], Step], question: Question) -> Answer:
        return self._commit(self._collected(build, question.call.tenant_id))[0]

    def _collected(self, build: Callable[[], Step], tenant_id: str) -> Step:
        # Nobody is refused over money that lapsed and only waits to be given back.
        step = build()
        partition = partition_of(tenant_id)
        if step.short and self._due(partition):
            self._expire(partition, len(self._calls))
            step = build()
        return step

    def _open(self, tenant_id: str, digest: str = "") -> Step:
        account = self._accounts.get(tenant_id)
        if account is None:
            raise AccountUnknown(tenant_id)
        if digest not in {"", account.digest}:
            raise FactsStale(account.digest)
        small_until_ms = self._small_until_ms.get(partition_of(tenant_id), 0)
        step = Step(deepcopy(account), self._time(tenant_id), small_until_ms)
        step.tolerance_seconds = self._tolerance_seconds
        step.take_from_due_lots()
        return step

    def _open_report(self, question: Question, digest: str = "") -> tuple[Step, ModelCall]:
        step = self._open(question.call.tenant_id, digest)
        call = self._reported(question.call)
        step.aside = call is self._others.get(question.call)
        return step, deepcopy(call)

    def _reported(self, key: CallKey) -> ModelCall:
        # A call that can be reported on: by the gateway that has its id, or had it before.
        call = self._calls.get((key.tenant_id, key.call_id))
        if call is not None and call.key == key:
            return call
        aside = self._others.get(key)
        if aside is None or aside.state == "refused":
            raise CallUnknown
        return aside

    def _earlier(self, question: Question) -> Answer | None:
        # Of a call that can be reported on: the answer given before, if there is one.
        call = self._reported(question.call)
        answer = call.answer_to(question)
        if answer is None and call.state in {"settled", "released", "refused"}:
            raise CallOver(call.state)
        return answer

    def _answered(self, question: Question) -> Answer | None:
        found = self._found(question)
        return None if found is None else found.answer_to(question)

    def _found(self, question: Question) -> ModelCall | None:
        call = self._calls.get((question.call.tenant_id, question.call.call_id))
        if call is None or call.key.gateway_id == question.call.gateway_id:
            return call
        return self._others.get(question.call)

    def _in_use(self, question: Question) -> bool:
        call = self._calls.get((question.call.tenant_id, question.call.call_id))
        return (
            call is not None
            and call.key.gateway_id != question.call.gateway_id
            and call.state == "live"
        )

    def _commit(self, step: Step) -> tuple[Answer, ...]:
        tenant_id = step.account.tenant_id
        self._accounts[tenant_id] = step.account
        for call, in_use in step.calls:
            if in_use or step.aside:
                self._others[call.key] = call
            else:
                self._take_id(call)
        if step.kinds:
            self._partition_time_ms[partition_of(tenant_id)] = step.now_ms
        self.journal += [(kind, tenant_id) for kind in step.kinds]
        return tuple(step.answers)

    def _take_id(self, call: ModelCall) -> None:
        before = self._calls.get((call.key.tenant_id, call.key.call_id))
        if before is not None and before.key != call.key:
            self._others[before.key] = before
            self._others.pop(call.key, None)
        self._calls[call.key.tenant_id, call.key.call_id] = call

    def _due(self, partition: int) -> list[ModelCall]:
        due = [
            call
            for (tenant_id, _), call in self._calls.items()
            if partition_of(tenant_id) == partition
            and call.state == "live"
            and call.expire_time_ms <= self._time(tenant_id).now_ms
        ]
        return sorted(due, key=lambda call: (call.expire_time_ms, call.member))

    def _expire(self, partition: int, limit: int) -> int:
        due = self._due(partition)[:limit]
        for call in due:
            tenant_id = call.key.tenant_id
            step = Step(deepcopy(self._accounts[tenant_id]), self._time(tenant_id))
            step.expire(deepcopy(call))
            self._commit(step)
        return len(due)

    def _time(self, tenant_id: str) -> StepTime:
        asked_ms = self._clock.now_ms()
        last_ms = self._partition_time_ms.get(partition_of(tenant_id), 0)
        return StepTime(max(asked_ms, last_ms), asked_ms)
