"""Playing cases and judging what came of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceResponse
from server.facts.files.problems import InvalidFacts
from server.testing.cases import answers
from server.testing.cases.files import Case, Step
from server.testing.cases.questions import Questions


class QuestionFailed(Exception):
    """There was no answer; `reason` is the one that a program would read."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class World(Protocol):
    """Where a case is asked; all but `pass_time` raise `QuestionFailed`."""

    async def pass_time(self, span_ms: int) -> None:
        """Let time pass."""

    async def authorize(self, question: pb.AuthorizeCallRequest) -> pb.AuthorizeCallResponse:
        """Answer."""

    async def extend(self, question: pb.ExtendCallRequest) -> pb.ExtendCallResponse:
        """Answer."""

    async def settle(self, question: pb.SettleCallRequest) -> pb.SettleCallResponse:
        """Answer."""

    async def release(self, question: pb.ReleaseCallRequest) -> pb.ReleaseCallResponse:
        """Answer."""

    async def balance(self, tenant_id: str) -> GetBalanceResponse:
        """Answer."""


class Worlds(Protocol):
    """Makes the world of each case."""

    async def set_up(self, case: Case) -> World | None:
        """Make it; None where this case cannot be asked here. Raises `InvalidFacts`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One check that failed: at which step, which word, what it was to be and what it was."""

    step: Step
    number: int
    text: str


@dataclass(slots=True)
class Played:
    """What became of one case. `trouble` is why it could not be played at all."""

    case: Case
    skipped: bool = False
    trouble: str = ""
    differences: list[Difference] = field(default_factory=list)
    # The rules that were asked, and whether each let the call pass.
    rules: set[tuple[str, bool]] = field(default_factory=set)
    refusals: set[str] = field(default_factory=set)

    @property
    def failed(self) -> bool:
        """Whether it is not as it should be."""
        return bool(self.trouble or self.differences)


async def play(cases: Sequence[Case], worlds: Worlds, *, prefix: str) -> AsyncIterator[Played]:
    """Play cases one after the other. `prefix` begins the ids of all calls."""
    for number, case in enumerate(cases):
        played = Played(case)
        try:
            world = await worlds.set_up(case)
        except InvalidFacts as error:
            played.trouble = str(error)
        else:
            played.skipped = world is None
            if world is not None:
                await _Play(played, world, f"{prefix}{number}-").run()
        yield played


class _Play:
    """One case while it is played."""

    def __init__(self, played: Played, world: World, prefix: str) -> None:
        self._played = played
        self._world = world
        self._questions = Questions(played.case.tenant_id, prefix)

    async def run(self) -> None:
        for number, step in enumerate(self._played.case.steps, start=1):
            if step.after_ms:
                await self._world.pass_time(step.after_ms)
            told = await self._ask(step)
            for text in _differences(step.expected, told):
                self._played.differences.append(Difference(step, number, text))

    async def _ask(self, step: Step) -> answers.Words:
        asks = {
            "authorize": self._authorize,
            "extend": self._extend,
            "settle": self._settle,
            "release": self._release,
            "balance": self._balance,
        }
        try:
            return await asks[step.verb](step.asked)
        except QuestionFailed as failed:
            return answers.tell_error(failed.reason)

    async def _authorize(self, words: Any) -> answers.Words:
        answer = await self._world.authorize(self._questions.authorize(words))
        self._played.rules.update(answers.checks_of(answer))
        told = answers.tell_authorized(answer)
        if "refused" in told:
            self._played.refusals.add(told["refused"])
        return told

    async def _extend(self, words: Any) -> answers.Words:
        return answers.tell_extended(await self._world.extend(self._questions.extend(words)))

    async def _settle(self, words: Any) -> answers.Words:
        return answers.tell_settled(await self._world.settle(self._questions.settle(words)))

    async def _release(self, words: Any) -> answers.Words:
        return answers.tell_released(await self._world.release(self._questions.release(words)))

    async def _balance(self, _: Any) -> answers.Words:
        return answers.tell_balance(await self._world.balance(self._played.case.tenant_id))


def _differences(expected: Mapping[str, Any], told: answers.Words) -> Iterator[str]:
    """Say what is not as expected. Where nothing is, an error or a refusal is not."""
    for word, wanted in expected.items():
        if word not in told:
            yield f"{word}: expected {wanted!r}, but {_instead(told)}"
        elif told[word] != wanted:
            yield f"{word}: expected {wanted!r}, was {told[word]!r}"
    if not expected and {"error", "refused"} & told.keys():
        yield f"expected an answer that is no refusal, but {_instead(told)}"


def _instead(told: answers.Words) -> str:
    if "error" in told:
        return f"there was no answer: {told['error']}"
    if "refused" in told:
        return f"it was refused: {told['refused']}"
    if "granted" in told:
        return f"the answer tells none: granted {told['granted']} s, {told['pays']} pays"
    return "the answer tells none"
