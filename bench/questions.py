"""The load: questions that nobody asked before, and what a right answer to each of them says."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.facts import (
    CREDITS,
    HOME_ONLY,
    POOL,
    WITHOUT,
    Shape,
    country_of,
    profile_of,
    tenant_id,
    user_id,
)
from callgate.v1 import authorization_pb2 as pb

GATEWAY_ID = "sbc-bench-1"
NATIONAL_SHARE = 0.2

# Where each profile calls, by the country of its users: the area with the country code, how the
# same is dialled at home, and how many digits follow.
_AREAS = {
    "US": ("+1425", "425", 7),
    "IT": ("+3902", "02", 8),
    "GB": ("+44207", "0207", 7),
    "DE": ("+4930", "030", 8),
}
_ABROAD = {"US": "IT", "IT": "GB", "GB": "DE", "DE": "US"}
# How the users of each country dial abroad.
_EXIT = {"US": "011", "IT": "00", "GB": "00", "DE": "00"}
_REFUSED = {
    WITHOUT: pb.REASON_LICENCE_MISSING,
    HOME_ONLY: pb.REASON_DESTINATION_RESTRICTED,
}


class WrongAnswer(Exception):
    """A server answered something else than it should have; a benchmark of it means nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what its answer has to say."""

    tenant_id: str
    user_id: str
    call_id: str
    # As dialled, and as E.164.
    dialled: str
    called_number: str
    profile: str

    @property
    def kind(self) -> str:
        """Name questions that are decided alike: who calls, from where, and where to."""
        country = country_of(int(self.tenant_id[-3:]))
        return f"{self.profile}-{country}"

    @property
    def is_refused(self) -> bool:
        """Say whether the rules say no."""
        return self.profile in _REFUSED

    def message(self) -> pb.AuthorizeCallRequest:
        """Write it as a gateway does."""
        return pb.AuthorizeCallRequest(
            tenant_id=self.tenant_id,
            gateway_id=GATEWAY_ID,
            call_id=self.call_id,
            sequence=1,
            called_number=self.dialled,
            user_call=pb.UserCall(user_id=self.user_id),
        )


def questions(shape: Shape, seed: str, *, national: bool = False) -> Iterator[Asked]:
    """Ask without end: a new call id and a new callee each time, users picked by chance.

    `seed` is part of every call id, so that two loads never ask the same.
    """
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        tenant = chance.randrange(shape.tenants)
        user = chance.randrange(shape.users_per_tenant)
        spelled = national and chance.random() < NATIONAL_SHARE
        yield _asked(f"{seed}-{number:08d}@gw.example", (tenant, user), chance, national=spelled)


def one_of_each_kind(shape: Shape, seed: str) -> list[Asked]:
    """Ask one question of each kind that `questions` asks."""
    found: dict[str, Asked] = {}
    for asked in questions(shape, seed):
        found.setdefault(asked.kind, asked)
        if len(found) == len(_AREAS) * len({POOL, CREDITS, WITHOUT, HOME_ONLY}):
            return list(found.values())
    raise AssertionError("questions never end")


def check_answers(
    asked: Iterable[Asked], answers: Iterable[pb.AuthorizeCallResponse], *, decides: bool = True
) -> None:
    """Raise `WrongAnswer` unless each answer belongs to its question and decides it rightly."""
    decisions: set[str] = set()
    for question, answer in zip(asked, answers, strict=True):
        belongs = _belongs(answer, question)
        if not belongs or (decides and not _decides(answer, question)):
            raise WrongAnswer(f"{question} was answered {answer}")
        if answer.decision_id in decisions:
            raise WrongAnswer(f"two questions share the decision {answer.decision_id}")
        decisions.add(answer.decision_id)


def _belongs(answer: pb.AuthorizeCallResponse, question: Asked) -> bool:
    told = (answer.payer.tenant_id, answer.payer.account_id, answer.called_number)
    return told == (question.tenant_id, question.user_id, question.called_number)


def _decides(answer: pb.AuthorizeCallResponse, question: Asked) -> bool:
    reason = _REFUSED.get(question.profile)
    if reason is not None:
        return answer.refusal.reason == reason
    purse = pb.PURSE_KIND_POOL if question.profile == POOL else pb.PURSE_KIND_CREDITS
    return answer.grant.purse.kind == purse and answer.grant.granted_duration.seconds > 0


def _asked(
    call_id: str, caller: tuple[int, int], chance: random.Random, *, national: bool
) -> Asked:
    tenant, user = caller
    profile, home = profile_of(user), country_of(tenant)
    country = home if profile == POOL else _ABROAD[home]
    international, at_home, digits = _AREAS[country]
    # None begins with 0, 1 or 5: those are service numbers here and there.
    subscriber = f"{chance.choice('2346789')}{chance.randrange(10 ** (digits - 1)):0{digits - 1}d}"
    called_number = international + subscriber
    dialled = called_number
    if national:
        outside = f"{_EXIT[home]}{international[1:]}{subscriber}"
        dialled = f"{at_home}{subscriber}" if country == home else outside
    return Asked(tenant_id(tenant), user_id(tenant, user), call_id, dialled, called_number, profile)
