"""What the makers of the toy bridge test with the harness."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from toy_bridge import ToyBridge  # type: ignore[import-not-found] # Beside this file.

from callgate.testing import Engine

ROME = "+390612345678"


@pytest.fixture
def bridge(engine: Engine) -> Iterator[ToyBridge]:
    bridge = ToyBridge(engine.address)
    yield bridge
    bridge.close()


def test_a_minute_costs_what_the_rate_says(engine: Engine, bridge: ToyBridge) -> None:
    leg = bridge.dial("one", ROME)
    assert leg is not None

    engine.advance(seconds=42)
    bridge.hang_up(leg, talked_seconds=42)

    engine.expect_debit("acme", "one", "0.10")
    engine.expect_balance("acme", available="0.15", reserved=0)


def test_a_call_is_settled_once(engine: Engine, bridge: ToyBridge) -> None:
    leg = bridge.dial("one", ROME)
    assert leg is not None

    bridge.hang_up(leg, talked_seconds=42)

    engine.expect_one_settlement("one")


def test_without_money_nobody_is_called(engine: Engine, bridge: ToyBridge) -> None:
    for number in ("one", "two"):
        assert bridge.dial(number, ROME) is not None

    assert bridge.dial("three", ROME) is None
    engine.expect_refused("three", "CREDITS_EXHAUSTED")


def test_what_the_bridge_forgets_is_given_back(engine: Engine, bridge: ToyBridge) -> None:
    bridge.dial("one", ROME)

    engine.advance(minutes=15)

    engine.expect_nothing_reserved("acme")


def test_start_up(engine: Engine) -> None:
    print(f"an engine started in {engine.start_seconds:.2f} s")  # noqa: T201 -- To be seen with -s.
