"""What is measured, how often and how long: the full run, and the quick one."""

from __future__ import annotations

from dataclasses import dataclass

IN_FLIGHT = 32
CONTROL_IN_FLIGHT = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. Passes are interleaved: each server once, then all again."""

    passes: int
    # How long each measurement of a pass lasts, about.
    seconds: float
    warm_up_calls: int
    straight_calls: int
    # Smallest and largest; without them growth is not measured.
    users: tuple[int, int] | None = None
    prefixes: tuple[int, int] | None = None
    running_calls: tuple[int, int] | None = None
    growth_calls: int = 0
    # Fewest and most processes behind one port, measured where there are cores enough.
    workers: tuple[int, int] | None = None


QUICK = Plan(passes=3, seconds=0.3, warm_up_calls=200, straight_calls=3_000)
FULL = Plan(
    passes=5,
    seconds=1.0,
    warm_up_calls=1_000,
    straight_calls=20_000,
    users=(1_000, 1_000_000),
    prefixes=(1_000, 250_000),
    running_calls=(1, 100_000),
    growth_calls=3_000,
    workers=(1, 4),
)
