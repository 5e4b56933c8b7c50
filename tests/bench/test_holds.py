"""What `bench.holds` counts: collections by their length, and how late its watcher was."""

from __future__ import annotations

import gc

from bench.holds import Holds


def test_collections_are_counted_by_generation_with_the_longest_of_each() -> None:
    holds = Holds()
    gc.callbacks.append(holds.collected)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(holds.collected)

    assert holds.collections[2] >= 1
    assert holds.longest_collection[2] > 0


def test_the_latest_looks_are_told_by_their_share() -> None:
    holds = Holds(late=[5.0, *[0.1] * 98, 1.0])

    assert (holds.late_ms(0.5), holds.late_ms(0.01), holds.late_ms(0.0)) == (0.1, 1.0, 5.0)
