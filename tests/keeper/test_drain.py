"""What the ledger writes down reaches the archive exactly once."""

from __future__ import annotations

import pytest

from keepers import PARTITION, House, context_of, drained, sought
from ledgers import ask, by_the_second, credits_, pool
from server.archive import CallState
from server.archive.keeper.drain import ArchiveBehind, PartitionLost, following
from server.ledger import TopUp
from server.ledger.keys import partition_keys, partition_of


async def test_the_archive_knows_an_account_as_the_ledger_does(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, pool(45), credits_(), want=120)
    await house.settle("call-1", 2, 75)

    await drained(house)

    ledger, archive = await house.balance(), (await house.image()).account
    assert archive.debited_micros == ledger.debited_micros > 0
    assert archive.balance_micros == ledger.balance_micros
    assert (await house.image()).tallies == (("pool/2027-01/domestic/contoso/plan-1", 45),)


async def test_a_trimmed_journal_keeps_the_entry_it_is_joined_by(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())

    await drained(house)
    await house.settle("call-1", 2, 10)
    assert await house.journal.length(PARTITION) == 2
    await drained(house)

    (entry,) = await house.journal.read(PARTITION)
    assert entry.kind == "settled"
    assert (await house.image()).account.debited_micros == 10


async def test_nothing_is_drained_twice_by_two_keepers(house: House) -> None:
    await house.open()
    for number in range(20):
        await house.reserve(f"call-{number}", 1, by_the_second())
        await house.settle(f"call-{number}", 2, 10)
    one, two = house.keeper(), house.keeper()
    await one.discover()
    await two.discover()

    for _ in range(3):
        await one.drain()
        await two.drain()

    assert (await house.image()).account.debited_micros == 200


async def test_a_call_that_is_over_goes_a_while_after_its_end_was_archived(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    await house.reserve("call-2", 1, by_the_second())
    await house.settle("call-1", 2, 10)

    await drained(house)

    keys = await house.store.command("KEYS", "*:call:*")
    lifetimes = sorted([await house.store.command("PTTL", key) for key in keys])
    assert lifetimes[0] == -1
    assert 0 < lifetimes[1] <= 15 * 60 * 1_000


async def test_a_call_whose_id_another_gateway_took_goes_no_sooner(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    house.clock.pass_seconds(3_600)
    await house.ledger.expire(PARTITION, 10)
    other = ask("call-1", 1, by_the_second(), gateway="sbc-2")
    await house.ledger.reserve(other._replace(context=context_of(by_the_second())))
    (aside,) = await house.store.command("KEYS", "*:other:*")
    before = await house.store.command("PTTL", aside)

    await drained(house)

    assert before == -1
    assert 0 < await house.store.command("PTTL", aside) <= 15 * 60 * 1_000


async def test_a_usage_record_tells_who_called_where(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)

    await drained(house)

    (record,) = await house.archive.usage("contoso", from_ms=0, to_ms=2**53)
    assert (record["call_type"], record["call_direction"]) == ("user_out", "outbound")
    assert (record["caller_id"], record["destination_number"]) == ("+14255550100", "+390612345678")
    assert (record["domestic"], record["external_country"]) == ("International", "IT")
    assert (record["duration_seconds"], record["charge_micros"]) == (10, 10)
    assert (record["capability"], record["currency"]) == ("credits", "USD")


async def test_a_call_that_lapsed_can_be_found_with_what_it_paid(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    house.clock.pass_seconds(3_600)
    await house.ledger.expire(PARTITION, 10)

    await drained(house)

    call = await house.archive.find_call(sought())
    assert call is not None
    assert (call.state, call.used_seconds) == (CallState.EXPIRED, 0)


async def test_an_archive_from_an_old_copy_is_told_and_nothing_is_filled_from_it(
    house: House,
) -> None:
    await house.open()
    positions = await house.archive.positions()
    await house.reserve("call-1", 1, by_the_second())
    await house.settle("call-1", 2, 10)
    await drained(house)
    found = await house.journal.read(PARTITION)

    with pytest.raises(ArchiveBehind):
        following(positions[PARTITION], found, found[-1])
    with pytest.raises(ArchiveBehind):
        following(None, found, found[-1])


async def test_a_journal_that_does_not_join_is_lost(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    position = (await house.archive.positions())[PARTITION]
    found = await house.journal.read(PARTITION)

    with pytest.raises(PartitionLost):
        following(position, [found[0], found[2]], found[2])
    with pytest.raises(PartitionLost):
        following(position, [], None)


async def test_an_entry_that_cannot_be_read_is_told_and_stops_no_other_partition(
    house: House,
) -> None:
    await house.open()
    await house.open(tenant="fabrikam")
    keeper = await drained(house)
    last = await house.journal.last(PARTITION)
    assert last is not None
    meta = f"{last.epoch} strange {last.nonce} {last.time_ms} 0"
    fields = ("meta", meta, "kind", "from_the_future", "body", "")
    await house.store.command("XADD", f"{{p{PARTITION}}}:journal", f"{last.n + 1}-0", *fields)
    await house.ledger.top_up(TopUp("fabrikam", "lot-9", 9, house.clock.now_ms() + 1_000))

    await keeper.drain()

    assert list(keeper.figures.troubles) == [PARTITION]
    assert "from_the_future" in keeper.figures.troubles[PARTITION]
    (other,) = (await house.archive.preview(partition_of("fabrikam"), [])).accounts
    assert other.account.funded_micros == 6_000_009


async def test_a_partition_with_much_to_drain_keeps_no_other_one_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("drain", "keeper"):
        monkeypatch.setattr(f"server.archive.keeper.{module}.BATCH", 2)
    await house.open()
    await house.open(tenant="fabrikam")
    keeper = await drained(house)
    year = house.clock.now_ms() + 1_000
    for number in range(9):
        await house.ledger.top_up(TopUp("contoso", f"lot-{number}", 1, year))
    await house.ledger.top_up(TopUp("fabrikam", "lot-9", 9, year))
    monkeypatch.setattr("server.archive.keeper.keeper._MOST_PASSES", 1)

    await keeper.drain()
    (other,) = (await house.archive.preview(partition_of("fabrikam"), [])).accounts
    assert other.account.funded_micros == 6_000_009
    assert keeper.figures.waiting[PARTITION] == 7
    for _ in range(4):
        await keeper.drain()

    assert (await house.image()).account.funded_micros == 6_000_009
    assert keeper.figures.waiting[PARTITION] == 0


async def test_what_lapsed_beside_a_damaged_partition_is_given_back(house: House) -> None:
    await house.open()
    await house.reserve("call-1", 1, by_the_second())
    damaged = partition_keys((PARTITION - 1) % 256)
    await house.store.command("COPY", partition_keys(PARTITION).journal, damaged.journal)
    await house.store.command("SET", damaged.expiry, "x")
    house.clock.pass_seconds(3_600)
    keeper = house.keeper()
    await keeper.discover()

    await keeper.expire()

    assert keeper.figures.expired_reservations == 1


async def test_a_keeper_that_is_waited_for_gives_back_all_that_lapsed(house: House) -> None:
    """More of one partition than a round takes."""
    await house.open(balance=60_000_000)
    for number in range(250):
        await house.reserve(f"call-{number}", 1, by_the_second())
    house.clock.pass_seconds(86_400)

    await house.keeper().do_all()

    assert (await house.balance()).reserved_micros == 0
