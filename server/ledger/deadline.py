"""How long a question may take: the caller's deadline, cut to ours, less a margin to answer in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

# What is kept back, so that the answer is there before the caller has given up.
_MARGIN_SHARE = 0.2
_MOST_MARGIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    """The engine's own limit, in seconds."""

    limit_seconds: float

    def seconds(self, remaining_seconds: float | None) -> float:
        """Say how long the ledger may take: what is left to the caller, or ours if shorter."""
        limit = self.limit_seconds
        if remaining_seconds is not None and remaining_seconds < limit:
            limit = remaining_seconds
        return limit - min(_MOST_MARGIN_SECONDS, limit * _MARGIN_SHARE)

    def timeout(self, remaining_seconds: float | None) -> asyncio.Timeout:
        """Make the timeout to ask the ledger in.

        What takes longer ends with `TimeoutError`, as of a ledger that does not answer.
        """
        return asyncio.timeout(self.seconds(remaining_seconds))
