"""Reports about running calls: more time, the end, nobody answered. One step of the ledger each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter_ns

from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import Facts
from server.access import check_tenant, find_tenant_by_id
from server.access.errors import TenantForbidden
from server.calls.announced import Announcing
from server.calls.authorize import Authorizer
from server.calls.decision_record import Reported
from server.calls.messages.question import CallQuestion
from server.calls.messages.report import Report
from server.ledger import (
    AccountUnknown,
    Answer,
    CallUnknown,
    ExtendRequest,
    LedgerUnavailable,
    Question,
)
from server.ledger.decision_context import call_again, call_context, pack, unpack

_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class CallReports:
    """Takes reports, counts and records them. Keeps nothing of any call.

    All methods raise `CallUnknown`, `CallOver`, `RequestReused`, `TenantForbidden`,
    `LedgerUnavailable` and, where the ledger does not know a call, `ArchiveUnavailable`.
    """

    authorizer: Authorizer
    announcing: Announcing
    charge_unknown_calls: bool

    def extend(self, report: Report, remaining_seconds: float | None) -> Awaitable[Reported]:
        """Debit what was used and take more, if the rules still agree. Raises `FactsBehind` too."""
        return self._take("extend", report, self._extend, remaining_seconds=remaining_seconds)

    def settle(self, report: Report, remaining_seconds: float | None) -> Awaitable[Reported]:
        """Debit all that was used and give back the rest."""
        return self._take("settle", report, self._settle, remaining_seconds=remaining_seconds)

    def release(self, report: Report, remaining_seconds: float | None) -> Awaitable[Reported]:
        """Give back all a call holds. Raises `CallAnswered` where use was reported."""
        return self._take("release", report, self._release, remaining_seconds=remaining_seconds)

    async def _take(
        self,
        verb: str,
        report: Report,
        work: Callable[[Report, Question], Awaitable[Answer]],
        *,
        remaining_seconds: float | None,
    ) -> Reported:
        authorizer, call = self.authorizer, report.call
        started_ns = perf_counter_ns()
        check_tenant(call.tenant_id)
        if not authorizer.ledger_is_up():
            raise LedgerUnavailable("the ledger is away")
        decision_id = authorizer.next_decision_id()
        question = Question(call, report.sequence, report.fingerprint, decision_id, "")
        try:
            async with authorizer.deadline.timeout(remaining_seconds):
                try:
                    answer = await work(report, question)
                except CallUnknown:
                    answer = await self._answer_unknown(report, question)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
        except AccountUnknown as error:
            raise authorizer.opening.missing(call.tenant_id) from error
        reported = Reported(
            verb,
            *(call.tenant_id, call.gateway_id, call.call_id, report.sequence),
            answer=answer,
            context=unpack(answer.context),
            repeated=answer.decision_id != decision_id,
            duration_us=(perf_counter_ns() - started_ns) // _NS_PER_US,
        )
        authorizer.metrics.count_report(verb, answer, reported.duration_us)
        authorizer.records.keep(reported)
        return reported

    async def _answer_unknown(self, report: Report, question: Question) -> Answer:
        """Answer about a call that the ledger does not know."""
        unknown = report.unknown_call
        if unknown is not None and self.charge_unknown_calls and report.used_seconds:
            with suppress(CallUnknown):
                return await self._charge(report, question, unknown)
        # Which tenants there are is told to nobody.
        if report.call.tenant_id not in self.authorizer.facts.current.directory.tenants:
            raise TenantForbidden from None
        return await self.announcing.told_before(question)

    async def _extend(self, report: Report, question: Question) -> Answer:
        authorizer = self.authorizer
        # What the call was is known to the ledger alone; it is read, and nothing is decided on it.
        before = await authorizer.ledger.look(report.call)
        tenant = find_tenant_by_id(report.call.tenant_id, authorizer.facts.current.directory)
        call = call_again(tenant.tenant_id, unpack(before.context))

        async def ask(facts: Facts) -> Answer:
            verdict = admit(call, facts, authorizer.now_ms())
            request = self._request(report, question, verdict, facts=facts)
            if isinstance(verdict, Admission):
                context = pack(call_context(call, verdict, facts))
                request = request._replace(purses=verdict.purses, context=context)
            # What was talked is always taken; a full journal only ends what is granted.
            takes = authorizer.takes(tenant.tenant_id, request.purses)
            return await authorizer.ledger.extend(request._replace(last=not takes))

        return await authorizer.with_facts(tenant, ask)

    def _request(
        self,
        report: Report,
        question: Question,
        verdict: Admission | Refusal,
        *,
        facts: Facts,
    ) -> ExtendRequest:
        slice_seconds = self.authorizer.slice_seconds
        wanted = slice_seconds if report.wanted_seconds is None else report.wanted_seconds
        asked = Question(
            question.call,
            question.sequence,
            question.fingerprint,
            question.decision_id,
            facts.tenant.digest,
        )
        refusal = verdict.reason if isinstance(verdict, Refusal) else None
        concurrency = None if isinstance(verdict, Refusal) else verdict.concurrency
        return ExtendRequest(
            question=asked,
            used_seconds=report.used_seconds,
            want_seconds=min(wanted, slice_seconds),
            refusal=refusal,
            concurrency_limit=None if concurrency is None else concurrency.limit,
        )

    def _settle(self, report: Report, question: Question) -> Awaitable[Answer]:
        return self.authorizer.ledger.settle(question, report.used_seconds)

    async def _charge(self, report: Report, question: Question, unknown: CallQuestion) -> Answer:
        with suppress(CallUnknown):
            return await self.announcing.told_before(question)
        # It is asked about as it would have been at its beginning, then ends as any other.
        debited = await self.announcing.debited(unknown, unknown.call.tenant_id)
        await self.authorizer.decide(unknown._replace(sequence=report.sequence - 1), None, debited)
        return await self._settle(report, question)

    def _release(self, _: Report, question: Question) -> Awaitable[Answer]:
        return self.authorizer.ledger.release(question)
