"""Files imported and exported: all of a file or nothing, and the same bytes again."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.v1 import directory_pb2 as pb
from callgate.v1.money_pb2 import Money
from directories import (
    ACCOUNTS,
    NUMBERS,
    USERS,
    ArchivedDirectory,
    a_tenant_message,
    a_user_message,
)
from server.facts.directory.differences import Action, Difference
from server.facts.directory.importing import ATTEMPTS, Importer, TenantChanged
from server.facts.files.problems import InvalidFacts

TWO = "user_id,usage_location,licences,number\nadele,US,MCOEV MCOPSTN1,+12065550101\nbob,IT,,\n"


def mistakes(caught: pytest.ExceptionInfo[InvalidFacts]) -> list[str]:
    return str(caught.value).split("\n")


async def test_an_import_says_what_is_new_changed_and_gone_and_who_loses_what(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message(licences=["MCOEV", "MCOPSTNPP"]))
    await directory.create(USERS, a_user_message("carl", number="+12065550102"))

    found = await directory.import_csv(TWO, remove_missing=True, dry_run=True)

    assert found.told() == [
        Difference(Action.UPDATE, "users/adele", ("licences", "number"), ("MCOPSTNPP",)),
        Difference(Action.DELETE, "users/carl", (), ("MCOEV", "number +12065550102")),
        Difference(Action.CREATE, "users/bob"),
    ]
    assert (found.losing_count, found.unchanged) == (2, 1)
    # It was a dry run.
    assert "bob" not in await directory.export(toml=False)


async def test_users_that_a_table_leaves_out_stay_unless_told_otherwise(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message("carl"))

    await directory.import_csv(TWO)
    merged = await directory.export(toml=False)
    await directory.import_csv(TWO, remove_missing=True)
    replaced = await directory.export(toml=False)

    assert "\ncarl," in merged
    assert "\ncarl," not in replaced


async def test_a_column_that_is_left_out_leaves_the_field_as_it_is(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message(spend_limit=Money(micros=1_500_000), frozen=True))

    await directory.import_csv("user_id,licences,frozen\nadele,MCOPSTN1,\n")

    assert "adele,US,MCOPSTN1,,,,,,1.50,," in await directory.export(toml=False)


async def test_every_mistake_is_named_with_its_line_and_nothing_is_changed(
    directory: ArchivedDirectory,
) -> None:
    await directory.import_csv(TWO)
    before = await directory.export(toml=True)
    bad = TWO + "carl,XX,MCOEVE,\ndora,US\nbob,IT,,\nemil,IT,,+12065550101\n"

    with pytest.raises(InvalidFacts) as caught:
        await directory.import_csv(bad)

    assert mistakes(caught) == [
        "users.csv:4: users.carl.licences: 'MCOEVE' is no licence of skus.csv",
        "users.csv:4: users.carl.usage_location: is 'XX'; give a country of countries.csv",
        "users.csv:5: has 2 cells, the header 4; a user is one line",
        "users.csv:6: user_id: 'bob' stands in line 3 as well; give each user one line",
        "users.csv:7: users.emil.number: +12065550101 is already that of users.adele; "
        "a number has one holder",
    ]
    assert await directory.export(toml=True) == before


async def test_a_number_of_another_tenant_is_not_taken(directory: ArchivedDirectory) -> None:
    await directory.create_tenant(a_tenant_message("fabrikam"))
    await directory.create(USERS, a_user_message(tenant_id="fabrikam", number="+12065550101"))

    with pytest.raises(InvalidFacts) as caught:
        await directory.import_csv(TWO)

    (mistake,) = mistakes(caught)
    assert mistake.startswith("users.csv:2: users.adele.number: +12065550101 is somebody else's")


async def test_numbers_may_change_hands_in_one_file(directory: ArchivedDirectory) -> None:
    await directory.import_csv("user_id,usage_location,number\na,US,+12065550101\nb,US,\n")

    await directory.import_csv("user_id,usage_location,number\na,US,\nb,US,+12065550101\n")

    assert "\nb,US,,+12065550101," in await directory.export(toml=False)


async def test_an_export_comes_back_to_the_byte(directory: ArchivedDirectory) -> None:
    everything = a_tenant_message(
        blocked_prefixes=["1900"],
        licences_purchased={"MCOEV": 5},
        overdraft=Money(micros=1_250_000),
        inbound_block=pb.InboundBlock(enabled=True, patterns=["^39"]),
        dial_plan=[pb.DialPlanRule(name='a "short" one', pattern="^(9)$", translation="+3900$1")],
    )
    await directory.update_tenant(everything, *(
        "blocked_prefixes", "licences_purchased", "overdraft", "inbound_block", "dial_plan"
    ))  # fmt: skip
    desk = pb.ResourceAccount(tenant_id="contoso", account_id="front.desk", usage_location="US")
    await directory.create(ACCOUNTS, desk)
    number = pb.ServiceNumber(
        tenant_id="contoso",
        number="+39800555010",
        service=pb.SERVICE_KIND_QUEUE,
        account="front.desk",
    )
    await directory.create(NUMBERS, number)
    await directory.import_csv(TWO)
    as_toml, as_csv = await directory.export(toml=True), await directory.export(toml=False)

    unchanged = [await directory.import_toml(as_toml), await directory.import_csv(as_csv)]

    assert [found.items for found in unchanged] == [[], []]
    assert await directory.export(toml=True) == as_toml
    assert await directory.export(toml=False) == as_csv
    assert '[resource_accounts."front.desk"]' in as_toml


async def test_a_tenant_exported_here_is_the_same_imported_elsewhere(
    directory: ArchivedDirectory,
) -> None:
    await directory.import_csv(TWO)
    here = await directory.export(toml=True)
    await directory.update_tenant(a_tenant_message(frozen=True), "frozen")
    await directory.change(lambda changes: changes.delete_tenant("contoso", ""))

    found = await directory.import_toml(here)

    assert found.counts[Action.CREATE] == 3
    assert await directory.export(toml=True) == here


async def test_an_account_keeps_its_currency(directory: ArchivedDirectory) -> None:
    text = (await directory.export(toml=True)).replace('"EUR"', '"USD"')

    with pytest.raises(InvalidFacts) as caught:
        await directory.import_toml(text)

    assert any("but the account of the tenant is in EUR" in line for line in mistakes(caught))


async def test_who_keeps_changing_a_tenant_lets_its_import_give_up(
    directory: ArchivedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant is another one each time it was compared: nothing is taken over."""
    take_over, count = Importer._take_over, 0

    async def after_another(self: Importer, *arguments: Any, **more: Any) -> bool:
        nonlocal count
        count += 1
        await directory.create(USERS, a_user_message(f"other-{count}"))
        return await take_over(self, *arguments, **more)

    monkeypatch.setattr(Importer, "_take_over", after_another)

    with pytest.raises(TenantChanged):
        await directory.import_csv(TWO)

    assert count == ATTEMPTS
    assert "bob" not in await directory.export(toml=False)


async def test_each_thing_an_import_changes_is_in_the_audit_trail(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message())

    await directory.import_csv(TWO, remove_missing=True)

    told = {(action, resource): (before, after) for action, resource, before, after in (
        await directory.audit()
    )}  # fmt: skip
    before, after = told["ImportDirectory", "tenants/contoso/users/adele"]
    assert (before["licences"], after["licences"]) == (["MCOEV"], ["MCOEV", "MCOPSTN1"])
    assert told["ImportDirectory", "tenants/contoso/users/bob"][0] is None
    assert told["ImportDirectory", "tenants/contoso"][1]["created"] == 1
