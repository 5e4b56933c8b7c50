"""A bridge as small as it can be, and not quite right."""

from __future__ import annotations

import os
from dataclasses import dataclass

from callgate import AuthorizeCallRequest, Mistake, UserCall
from callgate.connection import Connection
from callgate.v1.authorization_pb2 import SettleCallRequest

# Set by whoever wants to see the harness catch it.
HAS_BUG = os.environ.get("TOY_BRIDGE_BUG") == "1"


@dataclass
class Leg:
    """One call of the bridge."""

    call_id: str
    sequence: int = 1
    talked_seconds: int = 0


class ToyBridge:
    """Calls people, and settles when they hang up."""

    def __init__(self, address: str) -> None:
        self._engine = Connection(address)

    def dial(self, call_id: str, number: str, seconds: int = 60) -> Leg | None:
        """Call somebody; None where it may not be."""
        question = AuthorizeCallRequest(
            tenant_id="acme",
            gateway_id="toy",
            call_id=call_id,
            sequence=1,
            called_number=number,
            user_call=UserCall(user_id="olga"),
        )
        question.requested_duration.seconds = seconds
        answer = self._engine.authorize_call(question)
        return Leg(call_id) if answer.HasField("grant") else None

    def hang_up(self, leg: Leg, talked_seconds: int) -> None:
        """End a call."""
        leg.talked_seconds = talked_seconds
        self._settle(leg)
        if HAS_BUG:
            # The media server says it as well, a second later, and nobody remembers the first time.
            leg.talked_seconds += 1
            self._settle(leg)

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.close()

    def _settle(self, leg: Leg) -> None:
        leg.sequence += 1
        report = SettleCallRequest(
            tenant_id="acme", gateway_id="toy", call_id=leg.call_id, sequence=leg.sequence
        )
        report.used_duration.seconds = leg.talked_seconds
        try:
            self._engine.settle_call(report)
        except Mistake:
            return
