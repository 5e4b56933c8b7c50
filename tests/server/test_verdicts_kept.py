"""A verdict that is kept is what the rules would say anew, down to the ledger's question."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from both_ways import BothWays, NobodyAsks
from callgate.v1 import authorization_pb2 as pb
from facts import DESTINATIONS, NOW_MS, a_catalogue, a_resource_account, a_tenant, a_user
from policy.destination import Destination, NumberClass, sized_prefix, with_sized
from policy.equivalence import likeness
from policy.facts import DatedRate, PremiumRule, Rate, Tenant, Treatment, User
from policy.reasons import Reason
from server.facts.from_files import FactsFolders, read_facts
from server.ledger.codec import GROUP

DATA = Path(__file__).parents[2] / "data"
QUARTER_MS = 15 * 60 * 1000
KINDS: dict[str, Any] = {
    "user_call": pb.UserCall,
    "forwarded_call": pb.ForwardedCall,
    "transferred_call": pb.TransferredCall,
    "added_party_call": pb.AddedPartyCall,
    "meeting_dial_out": pb.MeetingDialOut,
    "call_me": pb.CallMe,
}
OF_ORGANIZER = {"meeting_dial_out", "call_me"}


def question(
    user_id: str, number: str, kind: str = "user_call", **more: Any
) -> pb.AuthorizeCallRequest:
    person = {"organizer_id" if kind in OF_ORGANIZER else "user_id": user_id}
    fields: dict[str, Any] = {
        "tenant_id": "contoso",
        "gateway_id": "sbc-1",
        "call_id": "call-1",
        "sequence": 1,
        "called_number": number,
        kind: KINDS[kind](**person),
    }
    return pb.AuthorizeCallRequest(**(fields | more))


def numbers(chance: random.Random, prefixes: list[str]) -> Iterator[str]:
    """Dial by chance: mostly where somebody is, nationally and wrongly too."""
    while True:
        prefix = chance.choice(prefixes)
        digits = "".join(chance.choices("0123456789", k=chance.randint(2, 9)))
        spelling = chance.choice(["+", "+", "+", "+", "00", "011", ""])
        yield f"{spelling}{prefix}{digits}"[:20]


@pytest.fixture(scope="module")
def sample() -> BothWays:
    catalogue, tenants = read_facts(FactsFolders(DATA / "catalogue", DATA / "directory"))
    return BothWays(catalogue, *tenants.values(), now_ms=NOW_MS)


@pytest.mark.parametrize("seed", range(6))
async def test_the_ledger_is_asked_the_same_either_way(sample: BothWays, seed: int) -> None:
    """Every kind, all people of the sample, numbers of every class, over months and years."""
    chance = random.Random(seed)
    snapshot = sample.facts.current
    people = [
        (tenant, user) for tenant in snapshot.directory.tenants.values() for user in tenant.users
    ]
    dialled = numbers(chance, sorted(snapshot.catalogue.destinations))
    quick = 0

    for number in range(350):
        tenant, user_id = chance.choice(people)
        kind = chance.choice(sorted(KINDS))
        asked = question(user_id, next(dialled), kind, tenant_id=tenant.tenant_id,
            call_id=f"call-{number}@gw", sequence=chance.choice([1, 1, 1, 7]),
            calling_number=chance.choice(["", "", "+14255550199", "0612345678", "anonymous"]),
            location=chance.choice(["", "", "it", "US"]),
            requested_duration=chance.choice([None, None, Duration(seconds=90)]))  # fmt: skip
        for _ in range(2):
            quickly, long = await sample.ask(asked)
            assert quickly in {None, long}
            assert asked.sequence == 1 or quickly is None, "of a later one the archive may know"
            quick += quickly is not None
            # Once more about a neighbour, by the verdict that was kept.
            asked.called_number = f"{asked.called_number[:-1]}{chance.randrange(10)}"
        sample.now_ms += chance.choice([0, 0, 0, 1, 60_000, QUARTER_MS, 11 * 86_400_000])

    assert quick > 120


def a_rate(name: str, micros: int) -> Rate:
    return Rate(name, "USD", micros, 0, 60, 60)


def both_ways(*accounts: Any, **changes: Any) -> BothWays:
    catalogue = a_catalogue(**changes.pop("catalogue", {}))
    return BothWays(catalogue, a_tenant(*accounts, **changes), now_ms=NOW_MS)


ADELE = a_user("adele", "MCOEV", "MCOPSTN1", "MCOPSTNPP")


async def test_a_rate_holds_until_the_next_one_and_no_longer() -> None:
    turn_ms = NOW_MS + 1_234
    rows = (DatedRate(0, a_rate("old", 100_000)), DatedRate(turn_ms, a_rate("new", 300_000)))
    ways = both_ways(ADELE, catalogue={"rates": {"USD": {"39": rows}}})
    told = []

    for now_ms in (NOW_MS, turn_ms - 1, turn_ms, turn_ms + 1, turn_ms - 1, NOW_MS + QUARTER_MS):
        ways.now_ms = now_ms
        quickly, long = await ways.ask(question("adele", "+390612345678"))
        assert quickly == long
        told.append(b"|new|" in long)

    assert told == [False, False, True, True, False, True]


async def test_a_pool_is_of_the_month_in_the_tenants_own_time_zone() -> None:
    turn = dt.datetime(2026, 12, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45)))
    turn_ms = int(turn.timestamp() * 1000)
    ways = both_ways(ADELE, time_zone="Asia/Kathmandu")
    told = []

    for now_ms in (turn_ms - QUARTER_MS, turn_ms - 1, turn_ms, turn_ms + 1, turn_ms - 1):
        ways.now_ms = now_ms
        quickly, long = await ways.ask(question("adele", "+14255550123"))
        assert quickly == long
        told.append(b"pool/2026-12/" in long)

    assert told == [False, False, True, True, False]


async def test_rates_finer_than_a_destination_tell_its_numbers_apart() -> None:
    rates = {
        "39": (DatedRate(0, a_rate("all", 100_000)),),
        "390612": (DatedRate(0, a_rate("dear", 900_000)),),
    }
    ways = both_ways(ADELE, catalogue={"rates": {"USD": rates}, "finest_rate_prefix": 6})

    for number, rate in (("+390612345678", b"dear"), ("+390699345678", b"all")):
        quickly, long = await ways.ask(question("adele", number))
        assert quickly == long
        assert b"|%b|" % rate in long


async def test_a_blocked_prefix_blocks_its_numbers_and_no_neighbour() -> None:
    ways = both_ways(ADELE, blocked_prefixes=("390666",))
    blocked = f"{GROUP}{int(Reason.DESTINATION_BLOCKED)}{GROUP}".encode()

    for number in ("+390612345678", "+390666345678", "+390612345679"):
        quickly, long = await ways.ask(question("adele", number))
        assert quickly == long
        assert (blocked in long) is (number == "+390666345678")


async def test_a_rule_about_a_length_holds_for_no_other_length() -> None:
    rules = {"US": (PremiumRule("US", "3906", Treatment.BLOCKED, length=12),)}
    ways = both_ways(ADELE, catalogue={"premium_rules": rules})
    blocked = f"{GROUP}{int(Reason.DESTINATION_BLOCKED)}{GROUP}".encode()

    for number in ("+390612345678", "+39061234567", "+390699345678", "+39069934567"):
        quickly, long = await ways.ask(question("adele", number))
        assert quickly == long
        assert (blocked in long) is (len(number) == 13)


async def test_a_length_that_leads_elsewhere_is_no_other_numbers() -> None:
    destinations = dict(DESTINATIONS)
    dear = sized_prefix("3906", 12)
    with_sized(destinations, {dear: Destination(dear, "IT", NumberClass.PREMIUM, "Dear")})
    ways = both_ways(ADELE, catalogue={"destinations": destinations})
    unrated = f"{GROUP}{int(Reason.DESTINATION_UNRATED)}{GROUP}".encode()

    for number in ("+390612345678", "+39061234567", "+390699345678", "+39069934567"):
        quickly, long = await ways.ask(question("adele", number))
        assert quickly == long
        assert (unrated in long) is (len(number) == 13)


async def test_new_facts_of_a_tenant_decide_from_then_on() -> None:
    ways = both_ways(ADELE)
    before, _ = await ways.ask(question("adele", "+14255550123"))
    directory = ways.facts.current.directory
    old: Tenant = directory.tenants["contoso"]

    directory.put(dataclasses.replace(old, frozen=True, digest="another"))
    after, long = await ways.ask(question("adele", "+14255550123"))

    assert before is not None
    assert after == long
    assert b"another" in long


async def test_what_is_a_persons_own_is_never_told_of_another() -> None:
    shared = a_resource_account("bank", "PHONESYSTEM_VIRTUALUSER", "MCOPSTN1")
    people = [
        ADELE,
        dataclasses.replace(ADELE, user_id="bob", number="+14255550177"),
        dataclasses.replace(ADELE, user_id="capped", spend_limit_micros=5_000_000),
        dataclasses.replace(ADELE, user_id="capped-too", spend_limit_micros=5_000_000),
        dataclasses.replace(ADELE, user_id="two-calls", concurrent_calls_limit=2),
        dataclasses.replace(ADELE, user_id="frozen", frozen=True),
        dataclasses.replace(ADELE, user_id="italian", usage_location="IT"),
        a_user("ed", "MCOEV", shared_calling_account_id="bank"),
        a_user("flo", "MCOEV", shared_calling_account_id="bank"),
    ]
    ways = both_ways(*people, shared)

    for _ in range(2):
        for person in people:
            for number in ("+14255550123", "+390612345678"):
                asked = question(person.user_id, number)
                quickly, long = await ways.ask(asked)
                assert quickly == long, person.user_id


def test_everything_about_a_person_is_looked_at_or_known_not_to_matter() -> None:
    """A field that is new to a person has to be put into the likeness, or into this list."""
    told_apart_by_their_own = {"user_id", "number"}
    of_arrivals_alone = {"allow_toll_free_dial_in"}
    others: dict[str, Any] = {
        "usage_location": "IT",
        "capabilities": frozenset(),
        "plan": None,
        "connectivity": "other",
        "restriction": "other",
        "shared_calling_account_id": "bank",
        "spend_limit_micros": 1,
        "concurrent_calls_limit": 1,
        "frozen": True,
    }

    for field in dataclasses.fields(User):
        if field.name in told_apart_by_their_own | of_arrivals_alone:
            continue
        other = dataclasses.replace(ADELE, **{field.name: others[field.name]})
        assert likeness(other) != likeness(ADELE), field.name


@pytest.mark.parametrize(
    "more",
    [
        {"called_number": "911"},
        {"called_number": "+39 06 1234 5678"},
        {"dry_run": True},
        {"explain": True},
        {"running_call": pb.RunningCall(used_duration=Duration(seconds=5))},
        {"gateway_id": "no gateway"},
        {"call_id": ""},
        {"sequence": 0},
        {"location": "Italy"},
        {"requested_duration": Duration(seconds=0)},
        {"tenant_id": "nobody"},
        {"user_call": pb.UserCall(user_id="nobody")},
        {"inbound_call": pb.InboundCall(user_id="adele")},
    ],
)
def test_what_is_out_of_the_ordinary_goes_the_long_way(more: dict[str, Any]) -> None:
    ways = both_ways(ADELE)

    asked = question("adele", "+390612345678", **more)

    assert not ways.quick.ask(asked, NobodyAsks())
    assert not ways.sent.commands
