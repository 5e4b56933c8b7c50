"""A clock that a test moves: the store's, and what was added to it."""

from __future__ import annotations

from typing_extensions import override

from server.storage.redis import Store, StoreClock


class Shift:
    """How far the clocks of one harness are ahead of the store's; never less than before."""

    def __init__(self) -> None:
        self.ms = 0

    def advance(self, span_ms: int) -> None:
        """Move all clocks that go by this."""
        assert span_ms >= 0, "a clock never runs back"
        self.ms += span_ms


class MovedClock(StoreClock):
    """The store's clock, as far ahead of it as a test has moved it. It never runs back."""

    def __init__(self, store: Store, tolerance_seconds: int, *, shift: Shift) -> None:
        super().__init__(store, tolerance_seconds)
        self._shift = shift
        self._last_ms = 0

    @override
    def now_ms(self) -> int:
        """Say the time."""
        self._last_ms = max(self._last_ms, super().now_ms() + self._shift.ms)
        return self._last_ms
