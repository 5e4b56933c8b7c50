"""Whether the ledger can be written: watched all the time, told to whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.ledger import LedgerUnavailable
from server.storage.redis import StoreRefused, StoreUnavailable

# Together they keep the promise to be back within 2 s of the store's return.
_INTERVAL_UP_SECONDS = 0.5
_INTERVAL_DOWN_SECONDS = 0.2
_PROBE_SECONDS = 1.0
# A probe that is told this much too late that its time is over says something of this process, not
# of the store: the answer may have been there for long.
_LATE_SECONDS = 0.05
# Reasons that are logged until the ledger answers again.
_MOST_LOGGED = 10

_log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]
Probe = Callable[[], Awaitable[tuple[str, ...]]]


class LedgerHealth:
    """Probes the ledger, prepares it when it first comes within reach, and tells changes.

    `prepare` runs until it succeeds once; then `probe` runs at a fixed interval, and says what of
    the ledger is away while the rest answers. Both raise `LedgerUnavailable`, `StoreUnavailable`,
    or `StoreRefused` for what an operator has to mend.
    """

    def __init__(self, prepare: Step, probe: Probe, tell: Callable[[bool], None]) -> None:
        self._prepare = prepare
        self._probe = probe
        self._tell = tell
        self._prepared = False
        self.up = False
        self._logged: set[str] = set()
        # Why it is not up, as it was last seen.
        self.trouble: Exception | None = None
        # The trouble of each primary that is away while others answer.
        self.away: tuple[str, ...] = ()

    async def look(self) -> None:
        """Look once, and tell if something changed."""
        self.trouble = await self._find_trouble()
        up = self.trouble is None
        self.away = self.away if up else ()
        if not up:
            self._log_trouble()
        if up == self.up:
            return
        self.up = up
        if up:
            self._logged.clear()
            _log.info("The ledger answers.")
        self._tell(up)

    def _log_trouble(self) -> None:
        """Log why it is away, each reason once until it answers again."""
        why = str(self.trouble)
        if why not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(why)
            _log.warning("The ledger is away: %s", why)

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
            if not await self._answers_in_time(again_if_late=True):
                return StoreUnavailable(f"no answer within {_PROBE_SECONDS:g} s")
        except (LedgerUnavailable, StoreUnavailable, StoreRefused) as error:
            return error
        return None

    def _note_away(self, away: tuple[str, ...]) -> None:
        if len(away) > len(self.away):
            _log.error(
                "%d primaries of the ledger are away, and their tenants with them: %s",
                *(len(away), away[0]),
            )
        elif self.away and not away:
            _log.info("Every primary of the ledger answers.")
        self.away = away

    async def _answers_in_time(self, *, again_if_late: bool) -> bool:
        """Probe, and once more if it was this process that took too long."""
        loop = asyncio.get_running_loop()
        due = loop.time() + _PROBE_SECONDS
        try:
            async with asyncio.timeout_at(due):
                self._note_away(await self._probe())
        except TimeoutError:
            was_late = loop.time() - due > _LATE_SECONDS
            return again_if_late and was_late and await self._answers_in_time(again_if_late=False)
        return True
