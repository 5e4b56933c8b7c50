"""Calls whose purses changed while they ran: the archive adds up as the ledger does."""

from __future__ import annotations

from random import Random

import pytest

from keepers import House, context_of, drained, sought
from ledgers import a_rate, credits_, extend, pool
from policy.decision import Purse
from server.ledger import CallOver, CallUnknown, ExtendRequest
from server.ledger.decision_context import unpack
from server.ledger.keys import call_key, partition_of
from server.storage.redis.references import call_reference

MINUTE = 100_000


def extend_by(call: str, sequence: int, used: int, *purses: Purse) -> ExtendRequest:
    request = extend(call, sequence, used, want=60)
    return request._replace(purses=purses, context=context_of(*purses))


async def records(house: House) -> list[tuple[str, int, int]]:
    rows = await house.archive.usage("contoso", from_ms=0, to_ms=2**53)
    return [(row["purse"], row["duration_seconds"], row["charge_micros"]) for row in rows]


async def test_each_purse_of_a_call_whose_plan_was_taken_away_has_its_record(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, pool(600), credits_(), want=300)
    await house.ledger.extend(extend_by("call-1", 2, 250, credits_()))
    await house.settle("call-1", 3, 310)

    await drained(house)

    assert sorted(await records(house)) == [("credits", 60, MINUTE), ("pool", 250, 0)]
    image = await house.image()
    assert image.account.debited_micros == MINUTE
    assert dict(image.tallies)["pool/2027-01/domestic/contoso/plan-1"] == 250


async def test_what_a_call_paid_before_its_purses_changed_can_be_found(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, pool(600), credits_(), want=300)
    await house.ledger.extend(extend_by("call-1", 2, 250, credits_()))

    await drained(house)

    found = await house.archive.find_call(sought())
    assert found is not None
    assert found.used_seconds == 250
    assert sum(use.seconds for use in found.uses) == 250


@pytest.mark.parametrize("seed", range(4))
async def test_calls_asked_anew_by_other_facts_add_up_in_the_archive(
    house: House, seed: int
) -> None:
    chance = Random(seed)
    plans = [pool(size) for size in (0, 100, 700)]
    rates = [credits_(a_rate(micros)) for micros in (60_000, MINUTE)]
    await house.open()
    used: dict[str, int] = {}
    for sequence in range(1, 60):
        call = chance.choice(("call-1", "call-2", "call-3"))
        purses = chance.choice(
            ([chance.choice(plans), chance.choice(rates)], rates[:1], plans[1:2])
        )
        used[call] = used.get(call, 0) + chance.choice((0, 10, 45))
        try:
            match chance.choice(("reserve", "extend", "extend", "expire", "settle")):
                case "reserve":
                    announced = chance.choice((0, used[call]))
                    await house.reserve(call, sequence, *purses, used=announced)
                case "extend":
                    await house.ledger.extend(extend_by(call, sequence, used[call], *purses))
                case "expire":
                    house.clock.pass_seconds(chance.choice((0, 0, 900)))
                    await house.ledger.expire(partition_of("contoso"), 10)
                case _ if chance.random() < 0.3:
                    await house.settle(call, sequence, used[call])
                    used[call] = 0
        except (CallUnknown, CallOver):
            continue

    await drained(house)

    ledger, image = await house.balance(), await house.image()
    assert image.account.debited_micros == ledger.debited_micros
    assert image.account.balance_micros == ledger.balance_micros
    name = "pool/2027-01/domestic/contoso/plan-1"
    tally = await house.store.command("HGET", f"{{p{partition_of('contoso')}}}:accounts", name)
    assert dict(image.tallies).get(name, 0) == int((tally or b"0 0").split(b" ")[0])


async def test_a_call_whose_record_is_of_the_past_goes_on_by_todays_purses(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, pool(600), credits_(), want=300)
    key = call_key("contoso", call_reference("contoso", "call-1"))
    record = (await house.store.command("GET", key)).decode()
    # What was decided was kept in pieces.
    former = record.replace("user_out|IT", "user_out\x1f|IT").replace("|facts-1", "|fac\x1fts-1")
    await house.store.command("SET", key, former)

    gone_on = await house.ledger.extend(extend_by("call-1", 2, 250, credits_()))
    await house.settle("call-1", 3, 310)

    await drained(house)
    assert record != former
    assert [purse.kind for purse in unpack(gone_on.context).purses] == ["credits", "pool"]
    assert sorted(await records(house)) == [("credits", 60, MINUTE), ("pool", 250, 0)]
