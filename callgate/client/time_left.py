"""How long one call may still last, and when it is to be reported on, by its gateway's clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from callgate.client.clock import Clock
from callgate.v1 import authorization_pb2 as pb

# More time is asked for when this part of what was granted is used.
ASKED_AT = 2 / 3
# A last grant is asked about again, for money may have come in, until less than this is left.
LEAST_FINAL_SECONDS = 10


class Allowance:
    """What was granted, set against what was used, in seconds since the called party's answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answered_at: float | None = None
        self._ended_at: float | None = None
        self.granted_seconds = 0
        self.is_final = False
        self.redirect_to = ""
        # How long past the granted time the call may go on without an answer.
        self._beyond_seconds = 0
        # What the gateway's own rules allow, as long as the engine never answered.
        self._own_seconds = 0
        self._report_at_used = 0.0
        self._ring_report_at = math.inf

    def answered(self) -> None:
        """Begin to count; the first time counts."""
        if self._answered_at is None:
            self._answered_at = self._clock.now()

    def hung_up(self) -> None:
        """Stop counting; the first time counts."""
        if self._ended_at is None:
            self._ended_at = self._clock.now()

    @property
    def used_seconds(self) -> int:
        """Seconds since the answer, rounded up."""
        return math.ceil(self._used())

    def take(
        self, grant: pb.Grant, answer: pb.AuthorizeCallResponse | pb.ExtendCallResponse
    ) -> None:
        """Take over a grant."""
        self.granted_seconds = grant.granted_duration.seconds
        self.is_final = grant.final
        self.redirect_to = grant.redirect_to if _redirects(grant) else ""
        handling = answer.failure_handling
        goes_on = handling.action == pb.FAILURE_ACTION_CONTINUE
        self._beyond_seconds = handling.max_duration.seconds if goes_on else 0
        self._own_seconds = 0
        used = self._used()
        self._report_at_used = used + (self.granted_seconds - used) * ASKED_AT
        self._ring_report_at = math.inf
        if grant.HasField("report_by_time"):
            ring = grant.report_by_time.ToMilliseconds() - answer.decide_time.ToMilliseconds()
            self._ring_report_at = self._clock.now() + ring / 1_000 * ASKED_AT

    def allow_unanswered(self, seconds: int) -> None:
        """Let the call last that long by the gateway's own rules, until the engine grants it."""
        self._own_seconds = seconds

    def move(self, deadline: pb.CallDeadline) -> None:
        """Take over a deadline that the engine moved; if it is not final, ask for more."""
        self.granted_seconds = max(self.granted_seconds, deadline.granted_duration.seconds)
        self.is_final = deadline.final
        if not deadline.final:
            self.report_now()

    def report_now(self) -> None:
        """Let the next report be due at once."""
        self._report_at_used = 0.0
        self._ring_report_at = -math.inf

    def report_in_seconds(self) -> float:
        """Return how long until the next report is due; infinite where none is."""
        if self._answered_at is None:
            return self._ring_report_at - self._clock.now()
        if self.is_final and self.granted_seconds - self._report_at_used < LEAST_FINAL_SECONDS:
            return math.inf
        return self._report_at_used - self._used()

    def left_seconds(self) -> float:
        """Return how long the call may go on, as things are; infinite while it rings."""
        if self._answered_at is None:
            return math.inf
        beyond_seconds = 0 if self.is_final else self._beyond_seconds
        limit = max(self.granted_seconds + beyond_seconds, self._own_seconds)
        return limit - self._used()

    def _used(self) -> float:
        if self._answered_at is None:
            return 0.0
        ended_at = self._clock.now() if self._ended_at is None else self._ended_at
        return max(0.0, ended_at - self._answered_at)


class Pulse:
    """Tells everybody who waits that something changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self._next.set_result(None)
        self._next = asyncio.get_running_loop().create_future()

    def next_beat(self) -> asyncio.Future[None]:
        """Return what is done when something changes next; not to be cancelled."""
        return self._next

    async def until(self, seconds_left: Callable[[], float]) -> None:
        """Wait until nothing is left of a time, looking again whenever something changed."""
        while True:
            changed, left = self._next, seconds_left()
            if left <= 0:
                return
            if math.isinf(left):
                await asyncio.shield(changed)
                continue
            sleeping = asyncio.ensure_future(self._clock.sleep(left))
            try:
                await asyncio.wait({changed, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()


def _redirects(grant: pb.Grant) -> bool:
    return grant.final_action == pb.FINAL_ACTION_REDIRECT
