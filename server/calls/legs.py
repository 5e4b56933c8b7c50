"""Several legs that one tenant pays for: one step of the ledger for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns

from policy.facts import Call, Facts
from server.access import find_tenant
from server.calls.announced import NOTHING_DEBITED, Announcing, Debited, before_asking
from server.calls.authorize import Authorizer, repeating_only, to_repeat
from server.calls.decision_record import DecisionRecord
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.question import CallQuestion
from server.ledger import Answer, CallUnknown, LedgerUnavailable, ReserveRequest
from server.ledger.decision_context import DecisionContext, unpack

_Told = tuple[Answer, DecisionContext, bool]


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg and what was found of it before the ledger is asked."""

    question: CallQuestion
    call: Call
    debited: Debited


@dataclass(frozen=True, slots=True)
class Legs:
    """Decides about several calls at once, counts and records each."""

    authorizer: Authorizer
    announcing: Announcing

    async def decide(
        self,
        questions: Mapping[int, CallQuestion],
        remaining_seconds: float | None,
        *,
        all_or_nothing: bool,
    ) -> dict[int, DecisionRecord]:
        """Decide about legs, by their places in the question.

        Raises `InvalidRequest` where they are not legs of one tenant, and what `Decider.decide`
        raises, then for all of them.
        """
        authorizer = self.authorizer
        started_ns = perf_counter_ns()
        if not authorizer.ledger_is_up():
            raise LedgerUnavailable("the ledger is away")
        try:
            async with authorizer.deadline.timeout(remaining_seconds):
                legs, told = await self._decide(questions, all_or_nothing=all_or_nothing)
        except TimeoutError as error:
            raise LedgerUnavailable("no answer in time") from error
        return {
            place: authorizer.keep(leg.question, leg.call, one, started_ns=started_ns)
            for (place, leg), one in zip(legs.items(), told, strict=True)
        }

    async def _decide(
        self, questions: Mapping[int, CallQuestion], *, all_or_nothing: bool
    ) -> tuple[dict[int, Leg], list[_Told]]:
        authorizer = self.authorizer
        directory = authorizer.facts.current.directory
        found = {place: find_tenant(one.call, directory) for place, one in questions.items()}
        tenants = [tenant for _, tenant in found.values()]
        for place, (_, tenant) in found.items():
            if tenant is not tenants[0]:
                raise InvalidRequest(f"legs[{place}].tenant_id", "one tenant pays for all legs")
        legs = {
            place: Leg(questions[place], call, before_asking(questions[place]))
            for place, (call, _) in found.items()
        }

        async def ask(facts: Facts) -> list[_Told]:
            return await self._ask(list(legs.values()), facts, all_or_nothing=all_or_nothing)

        try:
            return legs, await authorizer.with_facts(tenants[0], ask)
        except CallUnknown:
            for place, leg in legs.items():
                legs[place] = await self._with_debited(leg)
        return legs, await authorizer.with_facts(tenants[0], ask)

    async def _with_debited(self, leg: Leg) -> Leg:
        if leg.debited is NOTHING_DEBITED:
            return leg
        return replace(leg, debited=await self.announcing.debited(leg.question, leg.call.tenant_id))

    async def _ask(self, legs: list[Leg], facts: Facts, *, all_or_nothing: bool) -> list[_Told]:
        prepared = [
            self.authorizer.prepare(leg.question, leg.call, facts, debited=leg.debited)
            for leg in legs
        ]
        answers = await self._reserve(
            [request for request, _ in prepared], all_or_nothing=all_or_nothing
        )
        told = []
        for (request, context), answer in zip(prepared, answers, strict=True):
            repeated = answer.decision_id != request.question.decision_id
            decided = answer.context == request.context
            told.append((answer, context if decided else unpack(answer.context), repeated))
        return told

    async def _reserve(
        self, requests: Sequence[ReserveRequest], *, all_or_nothing: bool
    ) -> Sequence[Answer]:
        authorizer = self.authorizer
        ask = authorizer.ledger.reserve_many
        tenant_id = requests[0].question.call.tenant_id
        if authorizer.takes(tenant_id, [purse for one in requests for purse in one.purses]):
            return await ask(requests, all_or_nothing=all_or_nothing)
        if all(one.used_seconds for one in requests):
            last = [one._replace(last=True) for one in requests]
            return await ask(last, all_or_nothing=all_or_nothing)
        repeats = [one._replace(question=to_repeat(one.question)) for one in requests]
        with repeating_only():
            return await ask(repeats, all_or_nothing=all_or_nothing)
