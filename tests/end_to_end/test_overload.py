"""More questions than can be answered: the rest is told so at once, emergencies first of all."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest

from engines import OwnRedis, running_engine
from open_load import Load, Outcome
from slow_store import slowed

# What the store answers, so that five times as much is still little for the transport itself.
BYTES_PER_SECOND = 7_500
ONE_MINUTE_CALL, EMERGENCY = "+14255550123", "911"
TIMES = 5
SECONDS = 4.0
DEADLINE_SECONDS = 2.0


def percentile(outcomes: Sequence[Outcome], share: float) -> float:
    """Say within how many milliseconds this share of them was answered."""
    times = sorted(one.seconds for one in outcomes)
    return times[min(len(times) - 1, int(len(times) * share))] * 1_000


@pytest.mark.parametrize("transport", ["grpcio", "nghttp2"])
def test_five_times_what_can_be_answered_is_shed_and_the_rest_keeps_its_pace(
    tmp_path: Path, redis: OwnRedis, transport: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """J6: beyond capacity: RESOURCE_EXHAUSTED at once, with a hint; who is taken is answered."""
    settings = {"transport": transport, "deadline_ms": int(DEADLINE_SECONDS * 1_000)}
    with (
        slowed(redis.socket, tmp_path / "slow.sock", BYTES_PER_SECOND) as url,
        running_engine(tmp_path / "engine", redis_url=url, run_keeper=False, **settings) as engine,
    ):
        load = Load(engine.address)
        capacity = load.in_turn(itertools.repeat(ONE_MINUTE_CALL), in_flight=8, seconds=2.0)
        usual = [one for one in load.outcomes if one.code == 0]
        load.outcomes.clear()
        # One in twenty is an emergency.
        numbers = itertools.cycle([EMERGENCY, *[ONE_MINUTE_CALL] * 19])
        load.at_a_rate(numbers, per_second=TIMES * capacity, seconds=SECONDS)
        load.close()

    emergencies = [one for one in load.outcomes if one.response and one.response.grant.emergency]
    accepted = [one for one in load.outcomes if one.code == 0 and one not in emergencies]
    shed = [one for one in load.outcomes if one.code != 0]
    half = load.outcomes[0].asked_at + SECONDS / 2
    later = [one for one in accepted if one.asked_at > half]
    with capsys.disabled():
        sys.stdout.write(
            f"\nJ6 on {transport}: {capacity:.0f} a second can be answered, "
            f"{TIMES * capacity:.0f} are asked: {len(accepted) / SECONDS:.0f} a second accepted, "
            f"{len(shed) / SECONDS:.0f} shed\n"
            f"  p50 and p99 in ms: {percentile(usual, 0.5):.1f} {percentile(usual, 0.99):.1f} at "
            f"capacity; accepted {percentile(accepted, 0.5):.1f} {percentile(accepted, 0.99):.1f}, "
            f"in the second half {percentile(later, 0.99):.1f}; "
            f"shed {percentile(shed, 0.5):.1f} {percentile(shed, 0.99):.1f}; "
            f"emergencies {percentile(emergencies, 0.5):.1f} {percentile(emergencies, 0.99):.1f}\n"
        )

    reasons = Counter(one.reason for one in shed)
    codes = {one.code for one in shed if one.reason == "OVERLOADED"}
    # Nearly all that was not taken was shed, and did not wait in vain. A machine that is busy with
    # other things may be late for some that were taken.
    assert reasons["OVERLOADED"] > 0.95 * len(shed), reasons
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}
    assert {one.trailers.get("grpc-retry-pushback-ms") for one in shed} <= {"250", None}
    # What can be answered is: no more is shed than has to be, and those taken are in time.
    assert len(accepted) / SECONDS > capacity / 3
    assert percentile(later, 0.5) < DEADLINE_SECONDS * 1_000 / 2
    # Who is shed, and who is in an emergency, does not wait with those that are taken.
    assert percentile(shed, 0.25) < percentile(accepted, 0.25) / 3
    assert percentile(emergencies, 0.25) < percentile(accepted, 0.25) / 3
    assert len(emergencies) == -(-len(load.outcomes) // 20)
