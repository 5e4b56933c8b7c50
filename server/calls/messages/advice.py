"""What answers advise a gateway to do: the same for all calls, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from callgate.v1 import authorization_pb2 as pb
from policy.reasons import Reason, Suggestion


@dataclass(frozen=True, slots=True)
class Advice:
    """What every answer tells a gateway to do; the same for all calls, from the settings."""

    failure_handling: pb.FailureHandling
    final_action: pb.FinalAction.ValueType
    redirect_to: str
    suggestions: Mapping[Reason, Suggestion]
    # The least purchase that closes a gap: micros and currency -> micros.
    purchase_micros: Callable[[int, str], int]
