"""The reserve of calls that are decided alike: written once, sent for each, answered in one step.

It is the same question as `RedisLedger.reserve` asks, and the same to the last byte, but nobody
awaits it: whoever sends it is told the reply. What is not a fresh answer is left to the long way,
which asks again and gets what this one got.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from policy.decision import Admission, Refusal
from server.ledger import keys, wire
from server.ledger.library import RESERVE
from server.ledger.questions import FLOOR_SECONDS
from server.store import Store, StoreUnavailable, Template

# "OK" and the parts of one answer; nothing is told of facts, for they are those just sent.
_FRESH = b"OK"

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
        "_facts_end",
        "_facts_middle",
        "_other_stem",
        "_template",
        "tenant_id",
    )

    def __init__(
        self,
        tenant_id: str,
        facts_digest: str,
        said: Admission | Refusal,
        *,
        context_end: tuple[str, ...],
    ) -> None:
        """Write what follows from what the rules said; `context_end` is the end of the context."""
        if isinstance(said, Admission):
            purses, concurrency, refusal = said.purses, said.concurrency, ""
        else:
            purses, concurrency, refusal = (), None, str(int(said.reason))
        of_partition = keys.keys_of(tenant_id).all()
        self.tenant_id = tenant_id
        self._accounts_key = of_partition[0]
        self._facts_middle = f"{wire.GROUP}{wire.purses_text(purses, tenant_id)}{wire.GROUP}"
        self._facts_end = wire.UNIT.join(("", *context_end))
        wire.refuse_control_characters(*context_end)
        self._call_stem = keys.call_key_stem(tenant_id).encode()
        self._other_stem = keys.other_key_stem(tenant_id).encode()
        self._template = Template(
            *("FCALL", RESERVE, len(of_partition) + 2, *of_partition, None, None),
            *(None, keys.tenant_name(tenant_id), facts_digest, ""),
            *(None, None, None, refusal),
            *(None, FLOOR_SECONDS, wire.running_text(tenant_id, concurrency), None, "", ""),
        )

    def command(self, call: PreparedCall) -> bytes:
        """Write the reserve for one call."""
        reference = keys.reference_bytes(self.tenant_id, call.call_id)
        call_key = self._call_stem + reference
        other_key = self._other_stem + reference + call.gateway_mark
        now, want = b"%d" % call.now_ms, b"%d" % call.want_seconds
        context = wire.UNIT.join(call.context)
        text = f"{call.call_id}{self._facts_middle}{context}{self._facts_end}"
        facts = text.encode()
        gateway, asked, decision_id = call.gateway, call.asked, call.decision_id
        # Each by its place, without a list of its own: this is for every call.
        # fmt: off
        return self._template.fill(
            len(call_key), call_key, len(other_key), other_key, len(now), now,
            len(gateway), gateway, len(asked), asked, len(decision_id), decision_id,
            len(want), want, len(facts), facts,
        )
        # fmt: on

    def is_sent(self, store: Store, call: PreparedCall, listener: Listener) -> bool:
        """Send it, unless there is no connection to send it on now. See `Lane.tell`."""
        lane = store.lane_of(self._accounts_key)
        if lane is None:
            return False
        try:
            lane.tell(self.command(call), listener)
        except StoreUnavailable:
            return False
        return True


class PreparedCall(NamedTuple):
    """What of a reserve is the call's own; `asked` is its sequence and fingerprint."""

    call_id: str
    gateway: bytes
    gateway_mark: bytes
    now_ms: int
    asked: bytes
    decision_id: bytes
    want_seconds: int
    # Of its answer, without control characters; less what is the same for all that are alike.
    context: tuple[str, ...]


def fresh_answer(reply: Any) -> FreshAnswer | None:
    """Read the reply to a new question; None where the long way has to deal with it."""
    if type(reply) is not list or reply[0] != _FRESH:
        return None
    status, _, figures, held, state, told, _ = reply[1]
    return FreshAnswer(figures, held, state) if status == _FRESH and not told else None
