"""Frames that are cheap to send and lead nowhere: how many of them are borne."""

from __future__ import annotations

import math

from server.transport.options import TransportOptions

# WINDOW_UPDATE, SETTINGS, empty DATA and answers to pings nobody sent. What was sent to a client
# earns it more: that many bytes, one such frame.
IDLE_FRAMES_BURST = 2_000
IDLE_FRAMES_PER_SECOND = 100
BYTES_AN_IDLE_FRAME = 32


class Allowance:
    """So many at once, so many a second, and more for what is earned meanwhile."""

    __slots__ = ("_at", "_earned", "_left", "_most", "_per_second")

    def __init__(self, now: float, *, first: float, most: float, per_second: float) -> None:
        """Begin with *first*; no more than *most* ever stand ready."""
        self._left = min(first, most)
        self._most = most
        self._per_second = per_second
        self._at = now
        self._earned = 0

    def is_overdrawn(self, now: float, *, earned: int = 0) -> bool:
        """Take one at *now* (seconds); *earned* is all that ever was. Tell if it was too many."""
        grown = self._left + (now - self._at) * self._per_second + earned - self._earned
        self._at, self._earned = now, earned
        self._left = min(self._most, grown) - 1
        return self._left < 0


def idle_frames(now: float) -> Allowance:
    """Make the allowance of frames that carry nothing; earned by bytes sent to the client."""
    return Allowance(
        now,
        first=IDLE_FRAMES_BURST,
        most=IDLE_FRAMES_BURST,
        per_second=IDLE_FRAMES_PER_SECOND,
    )


def resets(now: float, options: TransportOptions) -> Allowance:
    """Make the allowance of resets: small for who was answered nothing yet, earned by answers."""
    return Allowance(
        now,
        first=options.young_stream_resets,
        most=options.stream_resets_burst,
        per_second=options.stream_resets_per_second,
    )


class PingPolice:
    """Counts pings that come too soon after the others with nothing sent between them.

    What counts is how many come in a time, not how far two are apart: pings sent ten seconds apart
    may arrive together.
    """

    def __init__(self, options: TransportOptions) -> None:
        interval_seconds = options.min_ping_interval_seconds
        self._strikes = options.max_ping_strikes + 1 if interval_seconds else math.inf
        self._per_second = 1 / interval_seconds if interval_seconds else 0
        self._allowance: Allowance | None = None

    def is_too_much(self, now: float, *, has_answered: bool) -> bool:
        """Take one ping at *now* (seconds); tell whether the client has gone too far.

        *has_answered* says that something was sent to a call since the last ping: a client that
        measures its bandwidth pings while data comes, and that is no abuse.
        """
        if has_answered or self._allowance is None:
            self._allowance = Allowance(
                now, first=self._strikes, most=self._strikes, per_second=self._per_second
            )
        return self._allowance.is_overdrawn(now)
