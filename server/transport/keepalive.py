"""Is the client still there?"""

import asyncio
from collections.abc import Callable

from server.transport.options import TransportOptions


class Keepalive:
    """Pings a silent client and gives up on one that does not answer, or never greeted."""

    def __init__(
        self,
        options: TransportOptions,
        *,
        ping: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._options = options
        self._ping = ping
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._pinged_at = self._heard_at
        self._awaiting_answer = False
        self._greeted = False
        self._timer = self._loop.call_later(options.handshake_timeout_seconds, self._check_greeting)

    def heard(self) -> None:
        """Note that something arrived."""
        self._heard_at = self._loop.time()
        self._awaiting_answer = False

    @property
    def has_greeted(self) -> bool:
        """Whether the client has shown that it speaks HTTP/2."""
        return self._greeted

    def greeted(self) -> None:
        """Note that the client speaks HTTP/2."""
        self._greeted = True

    def stop(self) -> None:
        """Check no more."""
        self._timer.cancel()
        self._ping = self._give_up = _nothing  # They keep the connection.

    def _check_greeting(self) -> None:
        if self._greeted:
            self._check_silence()
        else:
            self._give_up()

    def _check_silence(self) -> None:
        now = self._loop.time()
        patience_seconds = self._heard_at + self._options.keepalive_time_seconds - now
        if patience_seconds > 0:
            self._timer = self._loop.call_later(patience_seconds, self._check_silence)
            return
        self._pinged_at = now
        self._awaiting_answer = True
        self._ping()
        self._check_answer()

    def _check_answer(self) -> None:
        now = self._loop.time()
        patience_seconds = self._pinged_at + self._options.keepalive_timeout_seconds - now
        if not self._awaiting_answer:
            self._check_silence()
        elif patience_seconds <= 0:
            self._give_up()
        else:
            # Looked at as often as silence is, so that an answered ping is followed by the next.
            wait_seconds = min(patience_seconds, self._options.keepalive_time_seconds)
            self._timer = self._loop.call_later(wait_seconds, self._check_answer)


def _nothing() -> None:
    pass
