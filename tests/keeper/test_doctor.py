"""The doctor finds what ledger, archive and reservations tell differently, and mends it."""

from __future__ import annotations

import pytest

from keepers import PARTITION, House, drained, go_back
from ledgers import by_the_second, credits_, pool
from server.archive import Position
from server.archive.keeper.doctor import Difference, Doctor, Repair
from server.ledger.partition_audit import Auditor, PartitionAudit

ACCOUNTS = f"{{p{PARTITION}}}:accounts"
POOL = "pool/2027-01/domestic/contoso/plan-1"


def doctor_of(house: House) -> Doctor:
    return Doctor(Auditor(house.store), house.parts)


def told(found: list[Difference]) -> list[str]:
    return [each.text for each in found]


async def busy(house: House) -> None:
    """Leave calls that run, calls that are over, and entries that wait."""
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, pool(45), credits_(), want=120)
    await house.settle("call-1", 2, 75)
    await drained(house)
    await house.reserve("call-2", 1, pool(100), by_the_second(), want=90)
    await house.reserve("call-3", 1, by_the_second())
    await house.settle("call-3", 2, 5)


async def test_a_house_in_order_has_no_differences_though_entries_wait(house: House) -> None:
    await busy(house)

    assert await doctor_of(house).examine() == []


async def test_a_post_paid_house_in_order_has_no_differences(house: House) -> None:
    await house.open(balance=None)
    await house.reserve("call-1", 1, credits_(post_paid=True))
    await house.reserve("call-2", 1, credits_(post_paid=True))
    await house.settle("call-2", 2, 30)

    assert await doctor_of(house).examine() == []


class ArchivingAuditor(Auditor):
    """While it reads a partition, the keeper archives what waits, and trims the journal."""

    def __init__(self, house: House) -> None:
        super().__init__(house.store)
        self._house = house

    async def read(self, partition: int) -> PartitionAudit | None:
        await drained(self._house)
        return await super().read(partition)


async def test_what_is_archived_while_the_doctor_looks_is_no_difference(house: House) -> None:
    await busy(house)

    assert await Doctor(ArchivingAuditor(house), house.parts).examine() == []


@pytest.mark.parametrize(
    ("field", "text", "finding"),
    [
        (
            "totals/contoso",
            "6000000 7 0 0 0 0",
            "debited is 7 in the ledger, 100005 in the archive",
        ),
        ("money/contoso", "5899995 1 0", "reserved is 1, the calls that run hold 35"),
        (POOL, "44 55", f"{POOL} is 44 in the ledger, 45 in the archive"),
        (POOL, "45 54", f"{POOL} holds 54, the calls that run hold 55"),
        ("lots/contoso", "", "lots hold 0, owed is 0, the balance is 5899995"),
    ],
)
async def test_a_figure_that_was_changed_is_found_and_mended(
    house: House, field: str, text: str, finding: str
) -> None:
    await busy(house)
    # What was there is of the same kind, so that this test cannot go blind.
    assert await house.store.command("HEXISTS", ACCOUNTS, field) == 1
    await house.store.command("HSET", ACCOUNTS, field, text)
    doctor = doctor_of(house)

    found = await doctor.examine()
    assert finding in told(found)
    assert {each.repair for each in found} == {Repair.REBUILD}
    assert await doctor.repair(found) == [PARTITION]

    assert await doctor.examine() == []
    assert (await house.balance()).debited_micros == 100_005


async def test_a_call_that_would_be_debited_again_is_found_and_mended(house: House) -> None:
    await house.open(balance=6_000_000)
    await house.reserve("call-1", 1, by_the_second(), want=90)
    house.clock.pass_seconds(3_600)
    await house.ledger.expire(PARTITION, 10)
    (key,) = await house.store.command("KEYS", f"{{p{PARTITION}}}:call:*")
    lapsed = await house.store.command("GET", key)
    await house.settle("call-1", 2, 60)
    await drained(house)
    # As if the store had gone back to an older snapshot, and only this record of it were left.
    await house.store.command("SET", key, lapsed)
    doctor = doctor_of(house)

    found = await doctor.examine()
    assert told(found) == [
        "call call-1 paid 0 for 0 s in the ledger, 60 for 60 s in the archive: "
        "it would be debited again"
    ]
    await doctor.repair(found)

    assert await doctor.examine() == []
    assert (await house.balance()).debited_micros == 60


async def test_a_store_that_was_emptied_is_found_and_mended(house: House) -> None:
    await busy(house)
    await drained(house)
    await house.store.command("FLUSHALL")
    doctor = doctor_of(house)

    found = await doctor.examine()
    assert told(found) == ["is not open in the store"]
    await doctor.repair(found)

    assert await doctor.examine() == []


async def test_what_cannot_be_mended_here_is_told_and_left_alone(house: House) -> None:
    await busy(house)
    await drained(house)
    old = (await house.archive.positions())[PARTITION]
    await house.reserve("call-4", 1, by_the_second())
    await drained(house)
    await go_back(house, old)
    doctor = doctor_of(house)

    found = await doctor.examine()

    assert [each.repair for each in found] == [Repair.RESTORE_ARCHIVE]
    assert await doctor.repair(found) == []


async def test_looking_changes_nothing(house: House) -> None:
    await busy(house)
    before = await house.store.command("HGETALL", ACCOUNTS)
    positions = await house.archive.positions()

    await doctor_of(house).examine()

    assert await house.store.command("HGETALL", ACCOUNTS) == before
    assert await house.archive.positions() == positions


async def test_what_is_archived_while_the_doctor_repairs_only_moves_where_it_begins(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy(house)
    doctor = doctor_of(house)
    before = await doctor._position(PARTITION)
    await drained(house)
    await house.store.command("HSET", ACCOUNTS, "totals/contoso", "6000000 7 0 0 0 0")
    found = await doctor.examine()
    positions = [await doctor._position(PARTITION), before]

    async def position(_: int) -> Position | None:
        return positions.pop() if len(positions) > 1 else positions[0]

    monkeypatch.setattr(doctor, "_position", position)
    repaired = await doctor.repair(found)
    monkeypatch.undo()

    assert found
    assert repaired == [PARTITION]
    assert await doctor.examine() == []
