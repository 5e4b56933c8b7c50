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
from functools import lru_cache
from operator import attrgetter
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from policy.emergency import is_beyond_emergency
from policy.facts import Call, CallKind, Tenant, User
from policy.numbering import read_number
from server.access import may_touch
from server.calls.verdicts import Verdict, Verdicts
from server.decider import Decider
from server.errors import InvalidRequest
from server.facts import Snapshot
from server.ledger import LedgerUnavailable
from server.ledger.keys import gateway_mark
from server.ledger.prepared import FreshAnswer, PreparedCall, fresh_answer
from server.ledger.redis_ledger import RedisLedger
from server.observation.alike import DecidedAlike
from server.store import StoreUnavailable
from server.translation import limits
from server.translation.advice import Advice
from server.translation.context import AskedCall
from server.translation.fingerprint import VERSION, hash_fields, meaning
from server.translation.kept_answer import Told
from server.transport.deadlines import Deadlines

_NS_PER_US = 1_000
_GATEWAYS_KEPT = 4_096

# By the name of the field in the oneof: the kind, and how whom it speaks of is read.
_KINDS: Final[dict[str, tuple[CallKind, Callable[[Any], str]]]] = {
    "user_call": (CallKind.USER, attrgetter("user_call.user_id")),
    "forwarded_call": (CallKind.FORWARDED, attrgetter("forwarded_call.user_id")),
    "transferred_call": (CallKind.TRANSFERRED, attrgetter("transferred_call.user_id")),
    "added_party_call": (CallKind.ADDED_PARTY, attrgetter("added_party_call.user_id")),
    "meeting_dial_out": (CallKind.MEETING_DIAL_OUT, attrgetter("meeting_dial_out.organizer_id")),
    "call_me": (CallKind.CALL_ME, attrgetter("call_me.organizer_id")),
}


class Gateway(NamedTuple):
    """A gateway as it is told, and its mark in keys."""

    gateway_id: str
    written: bytes
    mark: bytes


class Caller(NamedTuple):
    """Who calls, out of the facts in use."""

    snapshot: Snapshot
    tenant: Tenant
    user: User


class Asked(NamedTuple):
    """A question within every limit, its number read."""

    call: Call
    # As it was dialled; in `call` it is E.164.
    dialled: str
    gateway: Gateway
    call_id: str
    sequence: int


class Asking(ABC):
    """One question, from when it is asked until it is answered or left to the long way."""

    __slots__ = ("asked", "deadline", "decision_id", "number", "quick", "started_ns", "verdict")

    quick: Quick
    asked: Asked
    verdict: Verdict
    decision_id: bytes
    started_ns: int
    number: int
    # When it is too late, in the loop's time.
    deadline: float | None

    @abstractmethod
    def remaining_seconds(self) -> float | None:
        """Say what is left of the caller's deadline; None without one."""

    @abstractmethod
    def answer(self, response: bytes) -> None:
        """Give the answer, serialised."""

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


class Quick:
    """Answers what it can, and says of the rest that it cannot."""

    def __init__(self, decider: Decider, ledger: RedisLedger, advice: Advice) -> None:
        self._decider = decider
        self._ledger = ledger
        self._verdicts = Verdicts(advice)
        self.pending: dict[int, Asking] = {}
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadlines: Deadlines | None = None

    def ask(self, request: AuthorizeCallRequest, asking: Asking) -> bool:
        """Ask the ledger, if that can be done at once; else the question goes the long way."""
        started_ns = perf_counter_ns()
        decider = self._decider
        if not decider.ledger_is_up():
            return False
        try:
            caller = self._caller(request)
            asked = None if caller is None else _read(request, caller)
        except InvalidRequest:
            return False
        if caller is None or asked is None:
            return False
        now_ms = decider.now_ms()
        verdict = self._verdicts.find(
            caller.snapshot, caller.tenant, caller.user, call=asked.call, now_ms=now_ms
        )
        if verdict is None or (
            verdict.is_metered and decider.journal_is_full(caller.tenant.tenant_id)
        ):
            return False
        asking.quick, asking.asked, asking.verdict = self, asked, verdict
        asking.started_ns = started_ns
        return self._send(asking, caller, now_ms)

    def finish(self, asking: Asking, reply: Any) -> None:
        """Answer what the ledger answered afresh; leave all else to the long way."""
        if isinstance(reply, StoreUnavailable):
            asking.fail(LedgerUnavailable(str(reply)))
            return
        fresh = fresh_answer(reply)
        response = None if fresh is None else self._response(asking, fresh)
        if response is None:
            asking.leave()
        else:
            asking.answer(response)

    def _caller(self, request: AuthorizeCallRequest) -> Caller | None:
        tenant_id = request.tenant_id
        snapshot = self._decider.facts.current
        tenant = snapshot.directory.tenants.get(tenant_id)
        if tenant is None or not may_touch(tenant_id):
            return None
        known = _KINDS.get(request.WhichOneof("kind") or "")
        user = None if known is None else tenant.users.get(known[1](request))
        return None if user is None else Caller(snapshot, tenant, user)

    def _send(self, asking: Asking, caller: Caller, now_ms: int) -> bool:
        decider, asked, verdict = self._decider, asking.asked, asking.verdict
        call, user = asked.call, caller.user
        context = _context(verdict, asked, user)
        if context is None:
            return False
        want_seconds = min(call.requested_seconds or decider.slice_seconds, decider.slice_seconds)
        asking.decision_id = decider.next_decision_id().encode()
        prepared = PreparedCall(
            asked.call_id,
            asked.gateway.written,
            asked.gateway.mark,
            now_ms,
            _fingerprint(asked, caller.tenant),
            asking.decision_id,
            want_seconds,
            context,
        )
        if not self._ledger.begin_reserve(verdict.reserve, prepared, asking.told):
            return False
        self._watch(asking)
        return True

    def _watch(self, asking: Asking) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if self._deadlines is None:
            self._deadlines = Deadlines(self._loop, self.pending)
        self._count += 1
        asking.number = self._count
        seconds = self._decider.deadline.seconds(asking.remaining_seconds())
        asking.deadline = deadline = self._loop.time() + seconds
        self.pending[self._count] = asking
        self._deadlines.watch(deadline)

    def _response(self, asking: Asking, fresh: FreshAnswer) -> bytes | None:
        """Write the answer, and keep a record of it; None for one out of the ordinary."""
        verdict, asked = asking.verdict, asking.asked
        figures = fresh.figures.split(b" ")
        if fresh.state != verdict.usual_state or figures[3:6] != verdict.usual_figures:
            return None
        decided_ms = int(figures[0])
        account_id = asked.call.account_ids[0] if verdict.is_callers else verdict.context.account_id
        told = Told(asking.decision_id, account_id.encode(), asked.call.called_number.encode())
        hold = None
        if verdict.reason is None:
            hold = verdict.answer.hold(fresh.held)
            response = verdict.answer.granted(told, decided_ms, hold, figures=figures)
        else:
            response = verdict.answer.refused(told, decided_ms)
        duration_us = (perf_counter_ns() - asking.started_ns) // _NS_PER_US
        decider = self._decider
        decider.metrics.count_decision(verdict.reason, duration_us)
        decider.records.keep_alike(
            DecidedAlike(
                asked.call,
                asked.dialled,
                asked.gateway.gateway_id,
                asked.call_id,
                asked.sequence,
                told,
                decided_ms,
                verdict.reason,
                verdict.context,
                hold,
                duration_us,
            )
        )
        return response


def _read(request: AuthorizeCallRequest, caller: Caller) -> Asked | None:
    """Read a question as `call_question` does; None where it is none of the usual ones.

    Raises `InvalidRequest`.
    """
    dialled, calling_number = request.called_number, request.calling_number
    if request.dry_run or request.explain or request.HasField("running_call"):
        return None
    # Emergencies come first, and are none of this.
    if len(dialled) > limits.LONGEST_NUMBER or not is_beyond_emergency(dialled):
        return None
    tenant, user = caller.tenant, caller.user
    e164 = read_number(dialled, user.usage_location, tenant.dial_plan)
    if e164 is None:
        return None
    requested_seconds = 0
    if request.HasField("requested_duration"):
        requested_seconds = limits.requested_seconds(request.requested_duration)
    kind = request.WhichOneof("kind")
    assert kind is not None
    call = Call(
        _KINDS[kind][0],
        tenant.tenant_id,
        e164,
        limits.a_number("calling_number", calling_number) if calling_number else "",
        (user.user_id,),
        "",
        limits.location(request.location),
        requested_seconds,
    )
    sequence = limits.sequence(request.sequence)
    return Asked(
        call, dialled, _gateway(request.gateway_id), limits.call_id(request.call_id), sequence
    )


@lru_cache(maxsize=_GATEWAYS_KEPT)
def _gateway(gateway_id: str) -> Gateway:
    limits.an_id("gateway_id", gateway_id)
    return Gateway(gateway_id, gateway_id.encode(), gateway_mark(gateway_id).encode())


def _fingerprint(asked: Asked, tenant: Tenant) -> bytes:
    """Write sequence and fingerprint, the same as `fingerprint` makes of the question."""
    call = asked.call
    user_id = call.account_ids[0]
    calling = ""
    if call.calling_number:
        country = tenant.users[user_id].usage_location
        calling = meaning(call.calling_number, country, tenant)
    fields = (
        *(VERSION, call.kind, call.tenant_id, call.called_number, calling, user_id, ""),
        *(call.location, str(call.requested_seconds), "", ""),
    )
    return f"{asked.sequence} {hash_fields(fields)}".encode()


def _context(verdict: Verdict, asked: Asked, user: User) -> tuple[str, ...] | None:
    call = asked.call
    dialled = "" if asked.dialled == call.called_number else asked.dialled
    if verdict.is_callers:
        about = AskedCall(call.kind.value, dialled, call.calling_number, "", call.location)
        return verdict.kept_context.of_call(
            user.user_id, call.called_number, user.number, asked=about
        )
    kept = verdict.context
    about = AskedCall(call.kind.value, dialled, call.calling_number, user.user_id, call.location)
    return verdict.kept_context.of_call(
        kept.account_id, call.called_number, kept.own_number, asked=about
    )
