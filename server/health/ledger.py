"""Whether the ledger can be written: watched all the time, told to whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.ledger import LedgerUnavailable
from server.store import StoreRefused, StoreUnavailable

# Together they keep the promise to be back within 2 s of the store's return.
_INTERVAL_UP_SECONDS = 0.5
_INTERVAL_DOWN_SECONDS = 0.2
_PROBE_SECONDS = 1.0

_log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]


class LedgerHealth:
    """Probes the ledger, prepares it when it first comes within reach, and tells changes.

    `prepare` runs until it succeeds once; then `probe` runs at a fixed interval. Both raise
    `LedgerUnavailable`, `StoreUnavailable`, or `StoreRefused` for what an operator has to mend.
    """

    def __init__(self, prepare: Step, probe: Step, tell: Callable[[bool], None]) -> None:
        self._prepare = prepare
        self._probe = probe
        self._tell = tell
        self._prepared = False
        self.up = False
        # Why it is not up, as it was last seen.
        self.trouble: Exception | None = None

    async def look(self) -> None:
        """Look once, and tell if something changed."""
        self.trouble = await self._find_trouble()
        up = self.trouble is None
        if up == self.up:
            return
        self.up = up
        if up:
            _log.info("The ledger answers.")
        else:
            _log.warning("The ledger is away: %s", self.trouble)
        self._tell(up)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_UP_SECONDS if self.up else _INTERVAL_DOWN_SECONDS)
            await self.look()

    async def _find_trouble(self) -> Exception | None:
        try:
            if not self._prepared:
                await self._prepare()
                self._prepared = True
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe()
        except (LedgerUnavailable, StoreUnavailable, StoreRefused) as error:
            return error
        except TimeoutError:
            return StoreUnavailable(f"no answer within {_PROBE_SECONDS:g} s")
        return None
