"""The reserve of calls that are decided alike: written once, sent for each, answered in one step.

It is the same question as `RedisLedger.reserve` asks, and the same to the last byte, but nobody
awaits it: whoever sends it is told the reply. What is not a fresh answer is left to the long way,
which asks again and gets what this one got.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from policy.decision import Admission, Refusal
from server.ledger import codec as wire
from server.ledger import keys
from server.ledger.answers import Answer
from server.ledger.library import LIBRARY, RESERVE_FIRST
from server.ledger.requests import PAYING, CallKey, Question, ReserveRequest
from server.storage.redis import Store, StoreUnavailable, Template
from server.storage.redis.references import reference_bytes_of

# The status of a fresh answer; nothing is told of facts, for they are those just sent.
_FRESH = b"OK"
_GATEWAYS_KEPT = 4_096

Listener = Callable[[Any], None]


class FreshAnswer(NamedTuple):
    """A reply that answers a new question: `figures` and `held` as the ledger writes them."""

    figures: bytes
    held: bytes
    state: bytes


class PreparedReserve:
    """All of a reserve but what differs from call to call."""

    __slots__ = (
        "_accounts_key",
        "_call_stem",
        "_context_end",
        "_named",
        "_template",
    )

    def __init__(
        self,
        tenant_id: str,
        facts_digest: str,
        said: Admission | Refusal,
        *,
        context_end: str,
    ) -> None:
        """Write what follows from what the rules said; `context_end` is the end of the context."""
        if isinstance(said, Admission):
            purses, concurrency, refusal = said.purses, said.concurrency, None
        else:
            purses, concurrency, refusal = (), None, said.reason
        of_partition = keys.keys_of(tenant_id)
        self._named = f"{len(tenant_id)}:{tenant_id}"
        self._accounts_key = of_partition[0]
        self._context_end = context_end
        wire.refuse_control_characters(context_end.removeprefix(PAYING))
        self._call_stem = keys.call_key_stem(tenant_id).encode()
        nothing = Question(CallKey(tenant_id, "", ""), 0, "", "", facts_digest)
        alike = wire.alike_text(ReserveRequest(nothing, purses, refusal, 0, "", concurrency))
        self._template = Template(
            *("FCALL", f"{LIBRARY}_{RESERVE_FIRST}", len(of_partition) + 1, *of_partition, None),
            *(None, alike, None, None, None, None, None, None),
        )

    def command(
        self, call: Named, now_ms: int, *, asked: str, want_seconds: int, context: str
    ) -> bytes:
        """Write the reserve for one call; `asked` is its sequence and fingerprint.

        `context` is that of its answer, without control characters, less the end given before.
        """
        call_id = call.call_id
        named = f"{self._named}{len(call_id)}:{call_id}"
        call_key = self._call_stem + reference_bytes_of(named)
        gateway = _gateway(call.gateway_id)
        now, want, asked_bytes = b"%d" % now_ms, b"%d" % want_seconds, asked.encode()
        decision, id_bytes = call.decision_id.encode(), call_id.encode()
        told = f"{context}{self._context_end}".encode()
        # Each by its place, without a list of its own: this is for every call.
        # fmt: off
        return self._template.fill(
            len(call_key), call_key, len(now), now, len(gateway), gateway,
            len(asked_bytes), asked_bytes, len(decision), decision, len(want), want,
            len(id_bytes), id_bytes, len(told), told,
        )
        # fmt: on

    def is_sent(self, store: Store, command: bytes, listener: Listener) -> bool:
        """Send it, unless there is no connection to send it on now. See `Lane.tell`."""
        lane = store.lane_of(self._accounts_key)
        if lane is None:
            return False
        try:
            lane.tell(command, listener)
        except StoreUnavailable:
            return False
        return True


class Named(Protocol):
    """What a call and its decision are named by."""

    call_id: str
    gateway_id: str
    decision_id: str


@lru_cache(maxsize=_GATEWAYS_KEPT)
def _gateway(gateway_id: str) -> bytes:
    return gateway_id.encode()


def fresh_answer(reply: Any) -> FreshAnswer | None:
    """Read the reply to a new question; None where the long way has to deal with it."""
    if type(reply) is not bytes:
        return None
    status, _, figures, held, state, told, _ = reply.split(wire.FILE, 6)
    return FreshAnswer(figures, held, state) if status == _FRESH and not told else None


def read_fresh(reply: bytes, context: str) -> Answer:
    """Read the whole of an answer that is fresh; `context` is what was sent with the question."""
    nothing = Question(CallKey("", "", ""), 0, "", "", "")
    return wire.read_answer(reply, ReserveRequest(nothing, (), None, 0, context))
