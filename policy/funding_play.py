"""Playing what was spent against settings of auto-recharge: would the balance have lasted?

The same rules as recharges have, over spending that is known: strictly below the trigger one charge
begins, one at a time, and arrives later; credits are spent in the order in which they expire, and
what is left of them then is forfeited. Calls go on at zero, so that a balance below it says how
much would have been refused.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

# After a refusal by a limit that no time is named for.
_REST_MS = 86_400_000


class _Kind(IntEnum):
    """What happens at a time, in the order in which it happens at the same one."""

    DAY_ENDS = 0
    EXPIRY = 1
    ARRIVAL = 2
    DEPOSIT = 3
    SPENDING = 4
    LOOK = 5


class _Event(NamedTuple):
    """Something that happens at a time."""

    time_ms: int
    kind: _Kind
    micros: int = 0
    expire_ms: int = 0


@dataclass(frozen=True, slots=True)
class Recharge:
    """Settings of auto-recharge, and the limits it keeps to. Money in micros, None is no limit."""

    trigger_micros: int
    amount_micros: int
    enabled: bool = True
    monthly_limit_micros: int | None = None
    max_balance_micros: int | None = None
    burst_most: int = 3
    burst_within_ms: int = 3_600_000
    arrival_ms: int = 0


@dataclass(frozen=True, slots=True)
class PlayedLot:
    """Credits that come in at a time, and when they expire."""

    time_ms: int
    micros: int
    expire_ms: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What happened, whatever the settings: from the start of the first day to the end of the last.

    `days` are the times at which days begin, and the end of the last one. `spending` is (time,
    micros). `deposits` came in by hand. `lot_expires` and `month_of` say when a lot bought at a
    time expires, and which month a time is of and when that ends.
    """

    days: Sequence[int]
    opening: Sequence[PlayedLot]
    spending: Iterable[tuple[int, int]]
    deposits: Sequence[PlayedLot]
    lot_expires: Callable[[int], int]
    month_of: Callable[[int], tuple[str, int]]


@dataclass(slots=True)
class PlayedDay:
    """How a day went."""

    start_ms: int
    lowest_micros: int
    closing_micros: int = 0
    recharged_micros: int = 0


@dataclass(slots=True)
class Played:
    """How it went. `at_zero_ms` is how long nothing was there, `refused` how often a limit held."""

    opening_micros: int = 0
    lowest_micros: int = 0
    lowest_ms: int = 0
    recharges: int = 0
    recharged_micros: int = 0
    refused: int = 0
    at_zero_ms: int = 0
    forfeited_micros: int = 0
    days: list[PlayedDay] = field(default_factory=list)


def play(stage: Stage, settings: Recharge) -> Played:
    """Play it to its end.

    It begins with the balance that there was; where that is below the trigger, with as much as
    that, as if the settings had been in force before.
    """
    return _Play(stage, settings).run()


def closing_charge_micros(
    balance_micros: int, trigger_micros: int, amount_micros: int, *, most_micros: int | None = None
) -> int:
    """Say how much one recharge takes: whole amounts, as many as lift the balance to the trigger.

    One amount closes an ordinary gap. A balance far below, overdrawn say, takes several in one
    charge, so that no second one has to follow at once; never more than may be charged at once.
    """
    gap_micros = trigger_micros - balance_micros
    times = max(1, -(-gap_micros // amount_micros))  # Rounds up.
    if most_micros is not None:
        times = max(1, min(times, most_micros // amount_micros))
    return times * amount_micros


class _Play:
    """The balance while it is played."""

    def __init__(self, stage: Stage, settings: Recharge) -> None:
        self._stage = stage
        self._settings = settings
        self._now_ms = stage.days[0]
        # By expiry; what was spent and is not paid by any of them is owed.
        self._lots: list[list[int]] = []
        self._balance = 0
        self._in_flight = False
        self._begun: list[tuple[int, int, str]] = []
        self._rest_until_ms = 0
        self._coming: list[_Event] = []
        self.played = Played()

    def run(self) -> Played:
        """Play each thing at its time."""
        stage, played = self._stage, self.played
        self._open()
        played.opening_micros = played.lowest_micros = self._balance
        played.lowest_ms = self._now_ms
        played.days.append(PlayedDay(stage.days[0], self._balance))
        self._coming += [_Event(ms, _Kind.SPENDING, micros) for ms, micros in stage.spending]
        self._coming += [
            _Event(lot.time_ms, _Kind.DEPOSIT, lot.micros, lot.expire_ms) for lot in stage.deposits
        ]
        self._coming += [_Event(ms, _Kind.DAY_ENDS) for ms in stage.days[1:]]
        heapq.heapify(self._coming)
        self._look()
        end = (stage.days[-1], _Kind.DAY_ENDS)
        while self._coming and self._coming[0][:2] <= end:
            self._happen(heapq.heappop(self._coming))
        return played

    def _open(self) -> None:
        for lot in self._stage.opening:
            self._put(lot.micros, lot.expire_ms)
        missing = self._settings.trigger_micros - self._balance
        if self._settings.enabled and missing > 0:
            self._put(missing, self._stage.lot_expires(self._now_ms))

    def _happen(self, event: _Event) -> None:
        if self._balance <= 0:
            self.played.at_zero_ms += event.time_ms - self._now_ms
        self._now_ms = event.time_ms
        match event.kind:
            case _Kind.SPENDING:
                self._spend(event.micros)
            case _Kind.DEPOSIT | _Kind.ARRIVAL:
                self._put(event.micros, event.expire_ms)
            case _Kind.EXPIRY:
                self._expire()
            case _Kind.DAY_ENDS:
                self._end_day()
            case _Kind.LOOK:
                pass
        if event.kind is _Kind.ARRIVAL:
            self._in_flight = False
            self.played.days[-1].recharged_micros += event.micros
        self._note()
        self._look()

    def _end_day(self) -> None:
        self.played.days[-1].closing_micros = self._balance
        if self._now_ms < self._stage.days[-1]:
            self.played.days.append(PlayedDay(self._now_ms, self._balance))

    def _put(self, micros: int, expire_ms: int) -> None:
        owed = max(0, -self._balance)
        self._balance += micros
        left = micros - min(owed, micros)
        if left:
            heapq.heappush(self._lots, [expire_ms, left])
            heapq.heappush(self._coming, _Event(expire_ms, _Kind.EXPIRY))

    def _spend(self, micros: int) -> None:
        if micros < 0:
            # A correction gives back: into what is spent next, as a refund mostly does.
            expires = self._lots[0][0] if self._lots else self._stage.lot_expires(self._now_ms)
            self._put(-micros, expires)
            return
        self._balance -= micros
        while micros > 0 and self._lots:
            taken = min(micros, self._lots[0][1])
            micros -= taken
            self._lots[0][1] -= taken
            if not self._lots[0][1]:
                heapq.heappop(self._lots)

    def _expire(self) -> None:
        while self._lots and self._lots[0][0] <= self._now_ms:
            _, left = heapq.heappop(self._lots)
            self._balance -= left
            self.played.forfeited_micros += left

    def _note(self) -> None:
        played, day = self.played, self.played.days[-1]
        day.lowest_micros = min(day.lowest_micros, self._balance)
        if self._balance < played.lowest_micros:
            played.lowest_micros, played.lowest_ms = self._balance, self._now_ms

    def _look(self) -> None:
        """Begin a recharge, if one is due and no limit holds it back."""
        settings = self._settings
        if not settings.enabled or self._in_flight or self._balance >= settings.trigger_micros:
            return
        if self._now_ms < self._rest_until_ms:
            return
        micros = closing_charge_micros(
            self._balance, settings.trigger_micros, settings.amount_micros
        )
        month, month_ends_ms = self._stage.month_of(self._now_ms)
        until_ms = self._refused_until(micros, month, month_ends_ms)
        if until_ms:
            self.played.refused += 1
            self._rest_until_ms = until_ms
            heapq.heappush(self._coming, _Event(until_ms, _Kind.LOOK))
            return
        self._in_flight = True
        self._begun.append((self._now_ms, micros, month))
        self.played.recharges += 1
        self.played.recharged_micros += micros
        expire_ms = self._stage.lot_expires(self._now_ms)
        arrival = _Event(self._now_ms + settings.arrival_ms, _Kind.ARRIVAL, micros, expire_ms)
        heapq.heappush(self._coming, arrival)

    def _refused_until(self, micros: int, month: str, month_ends_ms: int) -> int:
        """Say until when a limit holds a recharge back; 0 where none does."""
        settings = self._settings
        most = settings.max_balance_micros
        if most is not None and self._balance + micros > most:
            return self._now_ms + _REST_MS
        lately = [at for at, _, _ in self._begun if at >= self._now_ms - settings.burst_within_ms]
        if len(lately) >= settings.burst_most:
            return lately[-settings.burst_most] + settings.burst_within_ms + 1
        limit = settings.monthly_limit_micros
        this_month = sum(each for _, each, of in self._begun if of == month)
        if limit is not None and this_month + micros > limit:
            return month_ends_ms
        return 0
