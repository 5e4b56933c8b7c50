"""What says how an account is: the newest request counts, however late an older one is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from keepers import Gate, drained
from server.funding.applying import Kind
from server.funding.errors import FundingBusy, FundingRefused, Why
from server.funding.requests import Asked
from server.ledger.keys import partition_keys, partition_of
from till_victims import Victim
from tills import TENANT, UNIT, Till, a_top_up

# Longer than any claim on what somebody was working on when it died.
FORGOTTEN_SECONDS = 60
MOST_STEPS = 20


def a_setting(request_id: str, kind: Kind, body: dict[str, Any]) -> Asked:
    content = {name: str(value) for name, value in body.items()}
    return a_top_up(request_id, 1, kind=kind, settle=lambda _c, _row: body, content=content)


def renamed(asked: Asked, request_id: str) -> Asked:
    """The same by another id, so that it is asked anew."""
    return replace(asked, request_id=request_id)


def a_freeze(request_id: str, *, frozen: bool, kind: Kind = Kind.FREEZE) -> Asked:
    return a_setting(request_id, kind, {"frozen": frozen})


def a_limit(request_id: str, micros: int) -> Asked:
    return a_setting(request_id, Kind.CREDIT_LIMIT, {"micros": micros})


OLDER_AND_NEWER = {
    "unfreeze, freeze": (a_freeze("old", frozen=False), a_freeze("new", frozen=True)),
    "freeze, unfreeze": (a_freeze("old", frozen=True), a_freeze("new", frozen=False)),
    "unfreeze, close": (
        a_freeze("old", frozen=False),
        a_freeze("new", frozen=True, kind=Kind.CLOSE),
    ),
    "limits": (a_limit("old", 50 * UNIT), a_limit("new", 2 * UNIT)),
}


async def standing(till: Till) -> tuple[bool, int]:
    await drained(till.house)
    account = (await till.house.image()).account
    return account.frozen, account.credit_limit_micros


@pytest.mark.parametrize("which", OLDER_AND_NEWER)
@pytest.mark.parametrize("fate", ["dies", "sleeps"])
async def test_what_stopped_at_any_step_is_not_done_after_what_was_asked_since(
    till: Till, doomed: Callable[[Gate], Till], which: str, fate: str
) -> None:
    older, newer = OLDER_AND_NEWER[which]
    wanted = newer.content.get("frozen") == "True", int(newer.content.get("micros", 0))
    # The first step accepts it; before that nothing was asked.
    for step in range(2, MOST_STEPS):
        gate = Gate(step)
        victim = Victim(doomed(gate).funding_requests.ask(renamed(older, f"old-{step}")), gate)
        stopped = await victim.reached()
        await till.funding_requests.ask(renamed(newer, f"new-{step}"))
        with suppress(FundingRefused):
            await (victim.die() if fate == "dies" else victim.wake())
        till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
        await till.work()

        assert await standing(till) == wanted, step
        if not stopped:
            break
    assert step > 3


async def test_who_asks_again_for_what_was_set_otherwise_since_is_told(
    till: Till, doomed: Callable[[Gate], Till]
) -> None:
    gate = Gate(2)
    victim = Victim(doomed(gate).funding_requests.ask(a_freeze("old", frozen=False)), gate)
    assert await victim.reached()
    await victim.die()
    await till.funding_requests.ask(a_freeze("new", frozen=True))
    till.house.clock.pass_seconds(FORGOTTEN_SECONDS)

    for _ in range(2):
        with pytest.raises(FundingRefused) as refused:
            await till.funding_requests.ask(a_freeze("old", frozen=False))

        assert refused.value.why is Why.SUPERSEDED


@pytest.mark.parametrize(
    ("which", "journal_first"),
    [("unfreeze, freeze", False), ("limits", True), ("freeze, freeze", False)],
)
async def test_what_slept_through_a_lost_store_is_not_done_after_what_was_asked_since(
    till: Till, doomed: Callable[[Gate], Till], which: str, journal_first: bool
) -> None:
    if which == "freeze, freeze":
        # The newer one finds the account as it wants it already.
        await till.funding_requests.ask(a_freeze("first", frozen=True))
        older, newer = OLDER_AND_NEWER["unfreeze, freeze"]
    else:
        older, newer = OLDER_AND_NEWER[which]
    wanted = newer.content.get("frozen") == "True", int(newer.content.get("micros", 0))
    await drained(till.house)
    for step in range(2, MOST_STEPS):
        gate = Gate(step)
        victim = Victim(doomed(gate).funding_requests.ask(renamed(older, f"old-{step}")), gate)
        stopped = await victim.reached()
        await till.funding_requests.ask(renamed(newer, f"new-{step}"))
        if journal_first:
            journal = partition_keys(partition_of(TENANT)).journal
            await till.house.store.command("DEL", journal)
        till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
        await till.work()
        await till.work()
        await till.house.store.command("FLUSHALL")
        await drained(till.house)
        with suppress(FundingRefused, FundingBusy):
            await victim.wake()
        till.house.clock.pass_seconds(FORGOTTEN_SECONDS)
        await till.work()

        assert await standing(till) == wanted, step
        if not stopped:
            break
    assert step > 3
