"""Streams that are open, and their end when who opened them may no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from server.access.errors import IdentityEnded

# Between two looks at who has opened streams: expiry and revocation end them this much later.
LOOK_SECONDS = 1.0


class OpenStreams:
    """The streams of one process, each with what tells whether it may go on."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Timeout, Callable[[], bool]] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """End each stream that may not go on."""
        for patience, may_go_on in list(self._open.items()):
            if not may_go_on() and not patience.expired():
                patience.reschedule(asyncio.get_running_loop().time())

    async def serve(self, work: Awaitable[None], may_go_on: Callable[[], bool]) -> None:
        """Serve one stream. Raises `IdentityEnded` where it may not go on, and what `work` does."""
        patience = asyncio.timeout(None)
        try:
            async with patience:
                self._open[patience] = may_go_on
                try:
                    await work
                finally:
                    del self._open[patience]
        except TimeoutError as error:
            if patience.expired():
                raise IdentityEnded from error
            raise
