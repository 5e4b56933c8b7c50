"""One key or field of a partition is lost: it is noticed, mended, and nobody is richer for it."""

from __future__ import annotations

import pytest

from keepers import PARTITION, House, drained
from ledgers import by_the_second, pool
from server.archive.keeper.doctor import Doctor
from server.ledger import AccountUnknown, Balance
from server.ledger.partition_audit import Auditor

KEYS = f"{{p{PARTITION}}}"
ACCOUNTS, JOURNAL, EXPIRY = f"{KEYS}:accounts", f"{KEYS}:journal", f"{KEYS}:expiry"
FIELDS = ("flags", "money", "totals", "about", "lots", "known")


async def busy(house: House) -> Balance:
    """Leave a call that was paid, one that runs, and entries that wait for the archive."""
    await house.open(balance=6_000)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    await house.settle("call-1", 2, 75)
    await drained(house)
    await house.reserve("call-2", 1, by_the_second(), want=90)
    await house.reserve("call-3", 1, by_the_second(), want=90)
    await house.settle("call-3", 2, 5)
    return await house.balance()


async def require_mended(house: House, before: Balance) -> None:
    """See that the running call was forgotten, that nothing else changed, and all is in order."""
    now = await house.balance()
    held = before.reserved_micros
    assert before.available_micros is not None
    assert now.available_micros == before.available_micros + held
    assert (now.funded_micros, now.debited_micros) == (before.funded_micros, before.debited_micros)
    assert now.reserved_micros == 0
    assert await Doctor(Auditor(house.store), house.parts).examine() == []


async def lose_fields(house: House, kind: str) -> None:
    names = await house.store.command("HKEYS", ACCOUNTS)
    gone = [name for name in names if name.decode().startswith(f"{kind}/contoso")]
    assert gone
    await house.store.command("HDEL", ACCOUNTS, *gone)


@pytest.mark.parametrize("opened_by", ["keeper", "server"])
async def test_lost_accounts_are_filled_from_journal_and_archive(
    house: House, opened_by: str
) -> None:
    before = await busy(house)
    await house.store.command("DEL", ACCOUNTS)
    with pytest.raises(AccountUnknown):
        await house.balance()

    if opened_by == "keeper":
        await drained(house)
    else:
        await house.open(balance=6_000)

    await require_mended(house, before)


@pytest.mark.parametrize("kind", [kind for kind in FIELDS if kind != "lots"])
async def test_a_start_mends_an_account_that_lost_fields_and_gives_nothing_twice(
    house: House, kind: str
) -> None:
    before = await busy(house)
    await lose_fields(house, kind)

    await house.open(balance=6_000)

    await require_mended(house, before)


async def test_a_start_opens_no_account_anew_of_which_nothing_is_left(house: House) -> None:
    before = await busy(house)
    for kind in FIELDS:
        await lose_fields(house, kind)

    await house.open(balance=6_000)

    await require_mended(house, before)


async def test_an_account_lost_in_its_first_seconds_is_given_its_balance_once(
    house: House,
) -> None:
    """Nothing of it is archived yet, but its journal is there."""
    await house.open(balance=6_000)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    await house.settle("call-1", 2, 75)
    before = await house.balance()
    for kind in FIELDS:
        await lose_fields(house, kind)

    await house.open(balance=6_000)

    await require_mended(house, before)


async def test_a_partition_emptied_in_its_first_seconds_opens_again(house: House) -> None:
    await house.open(balance=6_000)
    await house.store.command("FLUSHALL")

    await house.open(balance=6_000)

    assert (await house.balance()).available_micros == 6_000
    assert (await house.balance()).funded_micros == 6_000


@pytest.mark.parametrize("kind", FIELDS)
async def test_the_keeper_notices_an_account_that_lost_fields(house: House, kind: str) -> None:
    before = await busy(house)
    await lose_fields(house, kind)

    keeper = await drained(house)

    await require_mended(house, before)
    assert keeper.figures.partitions_rebuilt == 1


async def test_minutes_that_were_used_are_not_there_again(house: House) -> None:
    await house.open(balance=6_000)
    await house.reserve("call-1", 1, pool(600), want=90)
    await house.settle("call-1", 2, 75)
    await drained(house)
    await house.store.command("HDEL", ACCOUNTS, "pool/2027-01/domestic/contoso/plan-1")

    keeper = await drained(house)

    assert keeper.figures.partitions_rebuilt == 1
    assert await Doctor(Auditor(house.store), house.parts).examine() == []


async def test_a_lost_index_of_expiries_is_noticed(house: House) -> None:
    before = await busy(house)
    await house.store.command("DEL", EXPIRY)

    await drained(house)

    await require_mended(house, before)


async def test_a_partition_in_order_is_left_alone(house: House) -> None:
    before = await busy(house)
    await house.open(balance=6_000)
    await house.open(balance=9_000)

    keeper = await drained(house)

    assert await house.balance() == before
    assert keeper.figures.partitions_rebuilt == 0
