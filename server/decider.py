"""The path of one question: facts from memory, the rules, and one step of the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter_ns

from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import Call, Facts
from server.access import find_tenant
from server.catching_up import CatchingUp
from server.deadline import Deadline
from server.errors import AccountMissing, FactsBehind
from server.facts import FactsKeeper
from server.ledger import (
    AccountUnknown,
    Answer,
    CallKey,
    FactsStale,
    Ledger,
    LedgerUnavailable,
    Question,
    ReserveRequest,
)
from server.observation.decided import Decided
from server.observation.metrics import Metrics
from server.observation.records import Records
from server.translation.answer import explanation_bytes
from server.translation.context import CallContext, call_context, pack, unpack
from server.translation.fingerprint import fingerprint
from server.translation.question import CallQuestion

_NS_PER_US = 1_000

# The call with its tenant found, the answer, what it is told by, and whether it was given before.
_Told = tuple[Call, Answer, CallContext, bool]


def decision_ids() -> Callable[[], str]:
    """Make ids of decisions: a random start of this process' own, and a count."""
    start = secrets.token_hex(6)
    count = 0

    def next_id() -> str:
        nonlocal count
        count += 1
        return f"{start}{count:08x}"

    return next_id


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides about calls, counts and records it. Keeps nothing of any call."""

    facts: FactsKeeper
    catching_up: CatchingUp
    ledger: Ledger
    ledger_is_up: Callable[[], bool]
    # Whether the journal of a tenant takes no more calls, because the archive is away.
    journal_is_full: Callable[[str], bool]
    now_ms: Callable[[], int]
    deadline: Deadline
    slice_seconds: int
    store_name: str
    records: Records
    metrics: Metrics
    next_decision_id: Callable[[], str] = field(default_factory=decision_ids)

    async def decide(self, question: CallQuestion, remaining_seconds: float | None) -> Decided:
        """Decide, reserve or refuse, once per (call, sequence).

        Raises `TenantForbidden`, `AccountMissing`, `FactsBehind`, `RequestReused`, and
        `LedgerUnavailable` when the ledger is away or the time is over.
        """
        started_ns = perf_counter_ns()
        # Nobody waits for a ledger that is known to be away; it is asked again all the time.
        if not self.ledger_is_up():
            raise LedgerUnavailable("the ledger is away")
        try:
            async with self.deadline.timeout(remaining_seconds):
                call, answer, context, repeated = await self._decide(question)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
        decided = Decided(
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
        self.metrics.count_decision(answer, decided.duration_us)
        self.records.keep(decided)
        return decided

    async def _decide(self, question: CallQuestion) -> _Told:
        snapshot = self.facts.current
        call, tenant = find_tenant(question.call, snapshot.directory)
        if self.journal_is_full(tenant.tenant_id):
            raise LedgerUnavailable("the journal is full until the archive answers again")
        try:
            return await self._ask(question, call, Facts(snapshot.catalogue, tenant))
        except FactsStale as stale:
            self.metrics.facts_stale += 1
            wanted_digest = stale.wanted_digest
        wanted = await self.catching_up.find(tenant.tenant_id, wanted_digest)
        try:
            return await self._ask(question, call, Facts(self.facts.current.catalogue, wanted))
        except FactsStale as stale:
            raise FactsBehind(tenant.tenant_id) from stale

    async def _ask(self, question: CallQuestion, call: Call, facts: Facts) -> _Told:
        verdict = admit(call, facts, self.now_ms(), explain=question.explain)
        context = call_context(call, verdict, facts)
        asked = self._question(question, call, facts)
        request = self._request(question, asked, verdict, context=pack(context))
        try:
            answer = await self.ledger.reserve(request)
        except AccountUnknown as error:
            raise AccountMissing(call.tenant_id, self.store_name) from error
        repeated = answer.decision_id != asked.decision_id
        # Only a fresh answer is surely told by what was decided just now.
        return call, answer, unpack(answer.context) if repeated else context, repeated

    def _question(self, question: CallQuestion, call: Call, facts: Facts) -> Question:
        return Question(
            CallKey(call.tenant_id, question.gateway_id, question.call_id),
            question.sequence,
            fingerprint(call, facts.tenant, explain=question.explain),
            self.next_decision_id(),
            facts.tenant.digest,
        )

    def _request(
        self,
        question: CallQuestion,
        asked: Question,
        verdict: Admission | Refusal,
        *,
        context: tuple[str, ...],
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
