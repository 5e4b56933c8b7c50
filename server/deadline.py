"""How long a question may take: the caller's deadline, cut to ours, less a margin to answer in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.ledger import LedgerUnavailable

# What is kept back, so that the answer is there before the caller has given up.
_MARGIN_SHARE = 0.2
_MOST_MARGIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Deadline:
    """The engine's own limit, in seconds."""

    limit_seconds: float

    @asynccontextmanager
    async def keep(self, remaining_seconds: float | None) -> AsyncIterator[None]:
        """Raise `LedgerUnavailable` in what takes longer than the caller has left, or than ours."""
        limit = self.limit_seconds
        if remaining_seconds is not None and remaining_seconds < limit:
            limit = remaining_seconds
        seconds = limit - min(_MOST_MARGIN_SECONDS, limit * _MARGIN_SHARE)
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise LedgerUnavailable(f"no answer within {seconds:.3f} s") from error
