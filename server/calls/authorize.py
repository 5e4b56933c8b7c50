"""The path of one question: facts from memory, the rules, and one step of the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter_ns
from typing import TypeVar

from policy.admission import admit
from policy.decision import Admission, FreePurse, Purse, Refusal
from policy.facts import Call, Facts, Tenant
from server.access import find_tenant
from server.calls.announced import NOTHING_DEBITED, Debited, debited_uses
from server.calls.decision_record import DecisionRecord
from server.calls.fingerprint import fingerprint
from server.calls.messages.answer import explanation_bytes
from server.calls.messages.question import CallQuestion
from server.calls.opening import Opening
from server.facts import FactsInUse
from server.facts.catching_up import CatchingUp
from server.facts.errors import FactsBehind
from server.ledger import (
    AccountUnknown,
    Answer,
    CallKey,
    FactsStale,
    Ledger,
    LedgerDamaged,
    LedgerUnavailable,
    Question,
    ReserveRequest,
)
from server.ledger.deadline import Deadline
from server.ledger.decision_context import DecisionContext, call_context, pack, unpack
from server.observability.metrics import Metrics
from server.observability.records import Records

_NS_PER_US = 1_000
# Is no account's digest: the ledger looks for a stored answer first, and then stops.
_NO_FACTS = "-"

T = TypeVar("T")

# The call with its tenant found, the answer, what it is told by, and whether it was given before.
_Told = tuple[Call, Answer, DecisionContext, bool]


def decision_ids() -> Callable[[], str]:
    """Make ids of decisions: a random start of this process' own, and a count."""
    return map((secrets.token_hex(6) + "{:08x}").format, count(1)).__next__


def to_repeat(question: Question) -> Question:
    """Ask for what was answered before, and nothing else: as if by facts that no account has."""
    return question._replace(facts_digest=_NO_FACTS)


@contextmanager
def repeating_only() -> Iterator[None]:
    """Raise `LedgerUnavailable` where the ledger has no answer to repeat."""
    try:
        yield
    except FactsStale as error:
        raise LedgerUnavailable("the journal is full until the archive answers again") from error


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Decides about calls, counts and records it. Keeps nothing of any call."""

    facts: FactsInUse
    catching_up: CatchingUp
    ledger: Ledger
    ledger_is_up: Callable[[], bool]
    # Whether the journal of a tenant takes no more metered calls, because the archive is away.
    journal_is_full: Callable[[str], bool]
    now_ms: Callable[[], int]
    deadline: Deadline
    slice_seconds: int
    opening: Opening
    records: Records
    metrics: Metrics
    next_decision_id: Callable[[], str] = field(default_factory=decision_ids)

    async def decide(
        self,
        question: CallQuestion,
        remaining_seconds: float | None,
        debited: Debited = NOTHING_DEBITED,
    ) -> DecisionRecord:
        """Decide, reserve or refuse, once per (call, sequence).

        `debited` is what a call that is announced as running had paid before it was forgotten.

        Raises `TenantForbidden`, `AccountMissing`, `FactsBehind`, `RequestReused`, `CallUnknown`
        where a call may go on, the ledger has forgotten it and nobody asked the archive,
        and `LedgerUnavailable` when the ledger is away or the time is over.
        """
        started_ns = perf_counter_ns()
        # Nobody waits for a ledger that is known to be away; it is asked again all the time.
        if not self.ledger_is_up():
            raise LedgerUnavailable("the ledger is away")
        try:
            async with self.deadline.timeout(remaining_seconds):
                call, answer, context, repeated = await self._decide(question, debited)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
        return self.keep(question, call, (answer, context, repeated), started_ns=started_ns)

    def keep(
        self,
        question: CallQuestion,
        call: Call,
        told: tuple[Answer, DecisionContext, bool],
        *,
        started_ns: int,
    ) -> DecisionRecord:
        """Count and record one decision, and hand it on."""
        answer, context, repeated = told
        decided = DecisionRecord(
            call,
            question.gateway_id,
            question.call_id,
            question.sequence,
            question.dry_run,
            answer,
            context,
            repeated,
            (perf_counter_ns() - started_ns) // _NS_PER_US,
        )
        self.metrics.count_decision(answer.reason, decided.duration_us)
        self.metrics.implausible_reports += answer.implausible_seconds > 0
        self.records.keep(decided)
        return decided

    async def with_facts(self, tenant: Tenant, ask: Callable[[Facts], Awaitable[T]]) -> T:
        """Ask by the facts of a tenant; once more, by those the ledger wants, if it has newer ones.

        Raises `FactsBehind`, `AccountMissing`, and what `ask` raises.
        """
        try:
            return await ask(Facts(self.facts.current.catalogue, tenant))
        except FactsStale as stale:
            self.metrics.facts_stale += 1
            hurried = await self.opening.hurry(tenant.tenant_id)
            told = hurried or await self.opening.describe_lost(tenant.tenant_id)
            wanted_digest = tenant.digest if told else stale.wanted_digest
        except AccountUnknown:
            await self.opening.hurry(tenant.tenant_id)
            wanted_digest = tenant.digest
        except LedgerDamaged:
            # If it is the account, opening it mends what archive and journal know.
            self.opening.want([tenant.tenant_id])
            raise
        wanted = await self.catching_up.find(tenant.tenant_id, wanted_digest)
        try:
            return await ask(Facts(self.facts.current.catalogue, wanted))
        except FactsStale as stale:
            raise FactsBehind(tenant.tenant_id) from stale
        except AccountUnknown as error:
            raise self.opening.missing(tenant.tenant_id) from error

    def takes(self, tenant_id: str, purses: Iterable[Purse]) -> bool:
        """Tell whether a tenant's journal takes a call that these purses pay: a free one always."""
        metered = any(not isinstance(purse, FreePurse) for purse in purses)
        return not (metered and self.journal_is_full(tenant_id))

    async def _decide(self, question: CallQuestion, debited: Debited) -> _Told:
        call, tenant = find_tenant(question.call, self.facts.current.directory)

        async def ask(facts: Facts) -> _Told:
            request, context = self.prepare(question, call, facts, debited=debited)
            answer = await self._reserve(request, tenant.tenant_id)
            repeated = answer.decision_id != request.question.decision_id
            # Not every answer is told by what was decided just now.
            decided = answer.context == request.context
            return call, answer, context if decided else unpack(answer.context), repeated

        return await self.with_facts(tenant, ask)

    async def _reserve(self, request: ReserveRequest, tenant_id: str) -> Answer:
        if request.dry_run or self.takes(tenant_id, request.purses):
            return await self.ledger.reserve(request)
        if request.used_seconds:
            return await self.ledger.reserve(request._replace(last=True))
        with repeating_only():
            return await self.ledger.reserve(request._replace(question=to_repeat(request.question)))

    def prepare(
        self,
        question: CallQuestion,
        call: Call,
        facts: Facts,
        *,
        debited: Debited = NOTHING_DEBITED,
    ) -> tuple[ReserveRequest, DecisionContext]:
        """Ask the rules, and put what they say into a question to the ledger."""
        verdict = admit(call, facts, self.now_ms(), explain=question.explain)
        context = call_context(call, verdict, facts)
        asked = self._question(question, call, facts)
        request = self._request(question, asked, verdict, context=pack(context))
        if debited is not NOTHING_DEBITED or question.used_seconds:
            uses = debited_uses(debited, request.purses)
            request = request._replace(
                used_seconds=question.used_seconds or 0,
                uses=uses,
                opened_id="" if question.dry_run else debited.opened_id,
                began_ms=debited.began_ms,
            )
        return request, context

    def _question(self, question: CallQuestion, call: Call, facts: Facts) -> Question:
        return Question(
            CallKey(call.tenant_id, question.gateway_id, question.call_id),
            question.sequence,
            fingerprint(
                call, facts.tenant, explain=question.explain, used_seconds=question.used_seconds
            ),
            self.next_decision_id(),
            facts.tenant.digest,
        )

    def _request(
        self,
        question: CallQuestion,
        asked: Question,
        verdict: Admission | Refusal,
        *,
        context: str,
    ) -> ReserveRequest:
        explain = question.explain
        want_seconds = min(
            question.call.requested_seconds or self.slice_seconds, self.slice_seconds
        )
        if isinstance(verdict, Refusal):
            return ReserveRequest(
                question=asked,
                purses=(),
                refusal=verdict.reason,
                want_seconds=want_seconds,
                context=context,
                explanation=explanation_bytes(verdict.checks, verdict.remedy) if explain else b"",
                dry_run=question.dry_run,
            )
        return ReserveRequest(
            question=asked,
            purses=verdict.purses,
            refusal=None,
            want_seconds=want_seconds,
            context=context,
            concurrency=verdict.concurrency,
            explanation=explanation_bytes(verdict.checks, "") if explain else b"",
            dry_run=question.dry_run,
        )
