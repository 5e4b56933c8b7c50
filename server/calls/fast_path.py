"""Questions like one decided before: answered without a task, mostly from what is kept.

A question comes here before it goes the long way, through `Verbs`. What is new or out of the
ordinary is left to that way, before the ledger is asked or after: the ledger gives the same
question the same answer, however often it is asked. So nothing is decided here that is not decided
there in the same way, and what is refused here as a mistake is refused there, with its status.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import attrgetter
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from policy.emergency import is_beyond_emergency
from policy.facts import Call, CallKind, Facts, Tenant, User
from policy.numbering import read_number
from server.access import may_touch
from server.calls.announced import FIRST_SEQUENCE
from server.calls.authorize import Authorizer
from server.calls.cached_record import CachedDecisionRecord
from server.calls.decision_cache import DecisionCache, Verdict
from server.calls.fingerprint import fingerprint_of, meaning
from server.calls.messages import fields as limits
from server.calls.messages.advice import Advice
from server.calls.messages.answer import authorize_response
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.lenient import serialize_answer
from server.calls.messages.question import CallQuestion
from server.ledger import LedgerUnavailable
from server.ledger.decision_context import unpack
from server.ledger.prepared_reserve import fresh_answer, read_fresh
from server.ledger.redis_ledger import RedisLedger
from server.storage.redis import StoreUnavailable
from server.transport.deadlines import Deadlines

_NS_PER_US = 1_000


class Kind(NamedTuple):
    """A kind of call that a user makes, and how that user is read."""

    kind: CallKind
    name: str
    user_of: Callable[[AuthorizeCallRequest], str]


# By the name of the field in the oneof.
_KINDS: Final = {
    field: Kind(kind, kind.value, attrgetter(f"{field}.{user}"))
    for field, kind, user in (
        ("user_call", CallKind.USER, "user_id"),
        ("forwarded_call", CallKind.FORWARDED, "user_id"),
        ("transferred_call", CallKind.TRANSFERRED, "user_id"),
        ("added_party_call", CallKind.ADDED_PARTY, "user_id"),
        ("meeting_dial_out", CallKind.MEETING_DIAL_OUT, "organizer_id"),
        ("call_me", CallKind.CALL_ME, "organizer_id"),
    )
}


class PendingReserve(CachedDecisionRecord, ABC):
    """One question, from when it is asked until it is answered or left to the long way.

    Attributes:
        deadline: When it is too late, in the loop's time.
        number: Its number among those that wait.
        packed: The context of its answer, but for what its verdict has of it.
    """

    __slots__ = ("deadline", "number", "packed", "quick", "started_ns", "verdict")

    quick: FastPath
    verdict: Verdict
    started_ns: int
    number: int
    packed: str
    deadline: float | None

    @abstractmethod
    def remaining_seconds(self) -> float | None:
        """Say what is left of the caller's deadline; None without one."""

    @abstractmethod
    def answer(self, response: bytes) -> None:
        """Give the answer, serialised. Whatever ends a question lets go of who asked."""

    @abstractmethod
    def leave(self) -> None:
        """Go the long way."""

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Give the status of an error."""

    def told(self, reply: Any) -> None:
        """Take what the ledger says, or why it says nothing."""
        quick = self.quick
        if quick.pending.pop(self.number, None) is None:
            # It was too late; who asked has been told so.
            return
        try:
            quick.finish(self, reply)
        except Exception as error:  # noqa: BLE001 -- what others wait for comes behind it
            self.fail(error)

    def expire(self) -> None:
        """Give up waiting."""
        self.deadline = None
        del self.quick.pending[self.number]
        self.fail(LedgerUnavailable("no answer in time"))


class FastPath:
    """Answers what it can, and says of the rest that it cannot."""

    def __init__(self, authorizer: Authorizer, ledger: RedisLedger, advice: Advice) -> None:
        self._decider = authorizer
        self._ledger = ledger
        self._advice = advice
        self._verdicts = DecisionCache(advice)
        self.pending: dict[int, PendingReserve] = {}
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines | None = None

    def ask(self, request: AuthorizeCallRequest, asking: PendingReserve) -> bool:
        """Ask the ledger, if that can be done at once; else the question goes the long way."""
        asking.started_ns = perf_counter_ns()
        tenant_id = request.tenant_id
        current = self._decider.facts.current
        tenant = current.directory.tenants.get(tenant_id)
        kind = _KINDS.get(request.WhichOneof("kind") or "")
        if tenant is None or kind is None or not may_touch(tenant_id):
            return False
        user = tenant.users.get(kind.user_of(request))
        try:
            if user is None or not _reads(asking, request, tenant=tenant, user=user):
                return False
        except InvalidRequest:
            return False
        asking.tenant_id, asking.user_id, asking.kind = tenant_id, user.user_id, kind.name
        return self._decide(asking, Facts(current.catalogue, tenant), user, kind=kind)

    def finish(self, asking: PendingReserve, reply: Any) -> None:
        """Answer what the ledger answered afresh; leave all else to the long way."""
        if isinstance(reply, StoreUnavailable):
            asking.fail(LedgerUnavailable(str(reply)))
            return
        fresh = fresh_answer(reply)
        if fresh is None:
            asking.leave()
            return
        figures, verdict = fresh.figures.split(b" "), asking.verdict
        if fresh.state == verdict.usual_state and figures[3:6] == verdict.usual_figures:
            asking.answer(self._usual(asking, figures, fresh.held))
        else:
            asking.answer(self._unusual(asking, reply))

    def _decide(self, asking: PendingReserve, facts: Facts, user: User, *, kind: Kind) -> bool:
        """Find the verdict and ask the ledger by it."""
        authorizer, tenant = self._decider, facts.tenant
        if not authorizer.ledger_is_up():
            return False
        now_ms = authorizer.now_ms()
        verdict = self._verdicts.find(
            facts, user, kind=kind.kind, e164=asking.called_number, now_ms=now_ms
        )
        if verdict is None or (verdict.is_metered and authorizer.journal_is_full(tenant.tenant_id)):
            return False
        asking.quick, asking.verdict, asking.decision_id = (
            self,
            verdict,
            authorizer.next_decision_id(),
        )
        asking.account_id = user.user_id if verdict.is_callers else verdict.context.account_id
        context = verdict.context_of(asking, user)
        if context is None:
            return False
        asking.packed = context
        slice_seconds = authorizer.slice_seconds
        command = verdict.reserve.command(
            asking,
            now_ms,
            asked=f"{asking.sequence} {_fingerprint(asking, tenant, user)}",
            want_seconds=min(asking.requested_seconds or slice_seconds, slice_seconds),
            context=context,
        )
        if not self._ledger.begin_reserve(verdict.reserve, command, asking.told):
            return False
        self._watch(asking)
        return True

    def _watch(self, asking: PendingReserve) -> None:
        """Give up on a question when it is too late: one timer for all of them."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._deadlines is None:
            self._deadlines = Deadlines(self._loop, self.pending)
        self._count = asking.number = self._count + 1
        seconds = self._decider.deadline.seconds(asking.remaining_seconds())
        asking.deadline = deadline = self._loop.time() + seconds
        self.pending[asking.number] = asking
        self._deadlines.watch(deadline)

    def _usual(self, asking: PendingReserve, figures: list[bytes], held: bytes) -> bytes:
        """Write the answer, and keep a record of it."""
        verdict = asking.verdict
        kept = verdict.answer
        of_call = kept.of_call(asking.decision_id, asking.account_id, asking.called_number)
        asking.decided_ms = decided_ms = int(figures[0])
        if verdict.reason is None:
            asking.hold = hold = kept.hold(held)
            response = kept.granted(of_call, decided_ms, hold, figures=figures)
        else:
            asking.hold = None
            response = kept.refused(of_call, decided_ms)
        asking.reason, asking.context = verdict.reason, verdict.context
        asking.duration_us = (perf_counter_ns() - asking.started_ns) // _NS_PER_US
        self._decider.metrics.count_decision(verdict.reason, asking.duration_us)
        self._decider.records.keep(asking)
        return response

    def _unusual(self, asking: PendingReserve, reply: bytes) -> bytes:
        """Write a last grant, or what the ledger refused, as the long way does."""
        call = Call(
            CallKind(asking.kind),
            asking.tenant_id,
            asking.dialled,
            asking.calling_number,
            (asking.user_id,),
            "",
            asking.location,
            asking.requested_seconds,
        )
        context = asking.packed + asking.verdict.paying
        told = read_fresh(reply, context), unpack(context), False
        question = CallQuestion(
            call, asking.gateway_id, asking.call_id, asking.sequence, dry_run=False, explain=False
        )
        decided = self._decider.keep(question, call, told, started_ns=asking.started_ns)
        return serialize_answer(
            authorize_response(
                decided.answer, decided.context, asking.tenant_id, advice=self._advice
            )
        )


def _reads(
    asking: PendingReserve, request: AuthorizeCallRequest, *, tenant: Tenant, user: User
) -> bool:
    """Read a question within the limits of `call_question`; False where it is not a usual one.

    Raises `InvalidRequest`.
    """
    if request.dry_run or request.explain or request.HasField("running_call"):
        return False
    if request.sequence > FIRST_SEQUENCE:
        # The ledger may have forgotten what was paid of it.
        return False
    asking.dialled = dialled = request.called_number
    # Emergencies come first, and are none of this.
    if len(dialled) > limits.LONGEST_NUMBER or not is_beyond_emergency(dialled):
        return False
    called_number = read_number(dialled, user.usage_location, tenant.dial_plan)
    if called_number is None:
        return False
    asking.called_number = called_number
    calling_number = request.calling_number
    asking.calling_number = (
        limits.a_number("calling_number", calling_number) if calling_number else ""
    )
    location = request.location
    asking.location = limits.location(location) if location else ""
    asking.requested_seconds = 0
    if request.HasField("requested_duration"):
        asking.requested_seconds = limits.requested_seconds(request.requested_duration)
    asking.gateway_id = limits.gateway_id(request.gateway_id)
    asking.call_id = limits.call_id(request.call_id)
    asking.sequence = limits.sequence(request.sequence)
    return True


def _fingerprint(asking: PendingReserve, tenant: Tenant, user: User) -> str:
    calling_number = asking.calling_number
    if calling_number:
        calling_number = meaning(calling_number, user.usage_location or tenant.country, tenant)
    return fingerprint_of(
        (
            asking.kind,
            asking.tenant_id,
            asking.called_number,
            calling_number,
            asking.user_id,
            "",
            asking.location,
            str(asking.requested_seconds),
            "",
            "",
        )
    )
