"""Asking again: only what is safe to repeat, after a random while, and not for ever.

The numbers are those of `service_config.json`, which a gRPC client of any language can be given as
it is. Besides, a delay that the engine names in RetryInfo or as a push-back is honoured here.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from callgate.errors import CallgateError, NoAnswer

# One try is given up after this long: the engine answers or gives up itself within 500 ms, unless
# set otherwise, and another connection may lead to a process that is not hanging.
TRY_SECONDS = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long after, a question is asked again."""

    max_attempts: int
    initial_backoff_seconds: float
    max_backoff_seconds: float
    backoff_multiplier: float
    codes: frozenset[str]

    def backoff_seconds(self, attempt: int) -> float:
        """Draw how long to wait after this many tries: anything up to a bound that grows."""
        bound = self.initial_backoff_seconds * self.backoff_multiplier ** (attempt - 1)
        return random.uniform(0, min(bound, self.max_backoff_seconds))


@dataclass(slots=True)
class RetryBudget:
    """Holds retries back while most questions fail, so that they do not keep the engine down.

    gRPC's own throttle: a failure takes a token, an answer gives a part of one back, and questions
    are asked again only while more than half of the tokens are left.
    """

    max_tokens: float
    token_ratio: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self.max_tokens

    def failed(self) -> None:
        """Count a failure."""
        self.tokens = max(0.0, self.tokens - 1)

    def answered(self) -> None:
        """Count an answer."""
        self.tokens = min(self.max_tokens, self.tokens + self.token_ratio)

    @property
    def allows_another(self) -> bool:
        """Whether one more question may be asked again now."""
        return self.tokens > self.max_tokens / 2


class Retries:
    """Asks a question until it is answered, its time is over, or asking again is of no use."""

    def __init__(self) -> None:
        throttling = _service_config()["retryThrottling"]
        self._budget = RetryBudget(throttling["maxTokens"], throttling["tokenRatio"])

    async def ask(
        self,
        method: str,
        try_once: Callable[[int, float], Awaitable[Answer]],
        deadline_seconds: float,
    ) -> Answer:
        """Ask by `try_once`, which is given the number of the try and how long it may take.

        `method` ("AuthorizationService/AuthorizeCall") decides whether the question may be asked
        again at all. Raises what the last try raised.
        """
        policy = policy_of(method)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + deadline_seconds
        attempt = 0
        while True:
            attempt += 1
            left = give_up_at - loop.time()
            is_last = policy is None or attempt >= policy.max_attempts
            try:
                answer = await try_once(attempt, left if is_last else min(left, TRY_SECONDS))
            except CallgateError as error:
                self._count(error)
                pause_seconds = self._pause_seconds(error, policy, attempt)
                if pause_seconds is None or loop.time() + pause_seconds >= give_up_at:
                    raise
            else:
                self._budget.answered()
                return answer
            await asyncio.sleep(pause_seconds)

    def _count(self, error: CallgateError) -> None:
        # A mistake is an answer: the engine is there.
        if isinstance(error, NoAnswer):
            self._budget.failed()
        else:
            self._budget.answered()

    def _pause_seconds(
        self, error: CallgateError, policy: RetryPolicy | None, attempt: int
    ) -> float | None:
        """Say how long to wait before the next try, None where there is to be none."""
        if policy is None or attempt >= policy.max_attempts:
            return None
        if not error.is_retryable or error.code not in policy.codes:
            return None
        if not self._budget.allows_another:
            return None
        return policy.backoff_seconds(attempt) + (error.retry_after_seconds or 0)


def policy_of(method: str) -> RetryPolicy | None:
    """Return how a method is retried; None for one that is asked once."""
    return _policies().get(method)


def default_deadline_seconds() -> float:
    """Return how long a question may take in all, if nobody says otherwise."""
    return _seconds(_service_config()["methodConfig"][0]["timeout"])


@cache
def _policies() -> dict[str, RetryPolicy]:
    policies = {}
    for config in _service_config()["methodConfig"]:
        retry = config["retryPolicy"]
        policy = RetryPolicy(
            max_attempts=retry["maxAttempts"],
            initial_backoff_seconds=_seconds(retry["initialBackoff"]),
            max_backoff_seconds=_seconds(retry["maxBackoff"]),
            backoff_multiplier=retry["backoffMultiplier"],
            codes=frozenset(retry["retryableStatusCodes"]),
        )
        for name in config["name"]:
            service = name["service"].removeprefix("callgate.v1.")
            policies[f"{service}/{name['method']}"] = policy
    return policies


@cache
def _service_config() -> Any:
    return json.loads(files("callgate").joinpath("service_config.json").read_text("utf-8"))


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))
