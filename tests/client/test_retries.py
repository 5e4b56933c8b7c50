"""Asking again: what, when, how often, and when not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from callgate.client.retries import TRY_SECONDS, Retries, RetryBudget, policy_of
from callgate.errors import CallgateError, Mistake, NoAnswer, Overloaded

SAFE, ONCE = "AuthorizationService/SettleCall", "CreditService/Unlisted"


def silence(retry_after_seconds: float | None = None) -> NoAnswer:
    return NoAnswer(
        "away", code="UNAVAILABLE", is_retryable=True, retry_after_seconds=retry_after_seconds
    )


class Engine:
    """Fails with each of these in turn, then answers."""

    def __init__(self, *failures: CallgateError) -> None:
        self.failures = list(failures)
        self.tries: list[int] = []

    async def try_once(self, attempt: int, seconds: float) -> str:
        self.tries.append(attempt)
        if self.failures:
            raise self.failures.pop(0)
        return "answered"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def pause(seconds: float) -> None:
        made.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    return made


async def test_trouble_is_asked_again_until_it_is_answered(pauses: list[float]) -> None:
    engine = Engine(silence(), silence())

    answer = await Retries().ask(SAFE, engine.try_once, 2.0)

    assert answer == "answered"
    assert engine.tries == [1, 2, 3]
    assert 0 <= pauses[0] <= 0.05
    assert 0 <= pauses[1] <= 0.1


async def test_a_mistake_is_asked_once(pauses: list[float]) -> None:
    engine = Engine(Mistake("wrong", code="INVALID_ARGUMENT"))

    with pytest.raises(Mistake):
        await Retries().ask(SAFE, engine.try_once, 2.0)

    assert engine.tries == [1]


async def test_what_is_not_known_to_be_safe_is_asked_once(pauses: list[float]) -> None:
    engine = Engine(silence())

    with pytest.raises(NoAnswer):
        await Retries().ask(ONCE, engine.try_once, 2.0)

    assert engine.tries == [1]


async def test_trouble_is_not_asked_for_ever(pauses: list[float]) -> None:
    engine = Engine(*[silence() for _ in range(9)])

    with pytest.raises(NoAnswer):
        await Retries().ask(SAFE, engine.try_once, 60.0)

    assert engine.tries == [1, 2, 3, 4]


async def test_the_engine_says_when_to_come_back(pauses: list[float]) -> None:
    engine = Engine(Overloaded("full", code="RESOURCE_EXHAUSTED", is_retryable=True))
    engine.failures[0].retry_after_seconds = 0.7

    await Retries().ask(SAFE, engine.try_once, 2.0)

    assert 0.7 <= pauses[0] <= 0.75


async def test_nobody_waits_for_a_try_that_would_come_too_late(pauses: list[float]) -> None:
    engine = Engine(silence(retry_after_seconds=3.0))

    with pytest.raises(NoAnswer):
        await Retries().ask(SAFE, engine.try_once, 2.0)

    assert engine.tries == [1]
    assert pauses == []


async def test_an_engine_that_wants_no_retries_gets_none(pauses: list[float]) -> None:
    engine = Engine(Overloaded("go away", code="RESOURCE_EXHAUSTED", is_retryable=False))

    with pytest.raises(Overloaded):
        await Retries().ask(SAFE, engine.try_once, 2.0)

    assert engine.tries == [1]


async def test_while_most_questions_fail_each_is_asked_once(pauses: list[float]) -> None:
    retries = Retries()
    for _ in range(40):
        with pytest.raises(NoAnswer):
            await retries.ask(SAFE, Engine(*[silence() for _ in range(9)]).try_once, 60.0)
    engine = Engine(silence())

    with pytest.raises(NoAnswer):
        await retries.ask(SAFE, engine.try_once, 60.0)

    assert engine.tries == [1]


def test_answers_earn_retries_back() -> None:
    budget = RetryBudget(max_tokens=10, token_ratio=0.5)
    for _ in range(5):
        budget.failed()
    spent = budget.allows_another
    budget.answered()

    assert not spent
    assert budget.allows_another


async def test_a_hanging_try_leaves_time_for_another() -> None:
    given: list[float] = []

    async def try_once(_: int, seconds: float) -> str:
        given.append(seconds)
        if len(given) == 1:
            raise silence()
        return "answered"

    await Retries().ask(SAFE, try_once, 2.0)

    assert given[0] == TRY_SECONDS


def test_every_method_that_changes_something_is_safe_to_repeat_by_its_sequence() -> None:
    changing = ("AuthorizeCall", "AuthorizeCalls", "ExtendCall", "SettleCall", "ReleaseCall")

    assert all(policy_of(f"AuthorizationService/{one}") for one in changing)
