"""Tenants of the archive are followed: what changed alone is read, and told before it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Table, update

from callgate.v1 import directory_pb2 as pb
from directories import (
    ACCOUNTS,
    NUMBERS,
    USERS,
    ArchivedDirectory,
    a_tenant_message,
    a_user_message,
    catalogue_in,
)
from fact_files import FactFiles
from policy.facts import Tenant
from server.access import find_tenant_by_id
from server.access.errors import TenantForbidden
from server.facts import FactsFolders, FactsInUse
from server.facts import from_database as following
from server.facts.directory.tables import DIRECTORY_ITEMS, DIRECTORY_TENANTS
from server.facts.errors import FactsBehind
from server.facts.from_database import ArchivedTenants
from server.storage.sql.database import Database


class Process:
    """The facts of one process, as far as it has read; it announces what it reads to a ledger."""

    def __init__(self, database: Database, files: FactFiles, ledger: dict[str, str]) -> None:
        self.ledger = ledger
        self.reachable = True
        self.problems = 0
        self.archived = ArchivedTenants(database, poll_seconds=0.02, on_problem=self.count)
        self.facts = FactsInUse(
            FactsFolders(files.folders.catalogue, None),
            announce=self.announce,
            on_report=lambda report: None,
            archived=self.archived,
        )
        self.facts.load()

    def count(self) -> None:
        self.problems += 1

    async def announce(self, tenant: Tenant) -> bool:
        if self.reachable:
            self.ledger[tenant.tenant_id] = tenant.digest
        return self.reachable

    def tenant(self, tenant_id: str = "contoso") -> Tenant:
        return self.facts.current.directory.tenants[tenant_id]


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[ArchivedDirectory]:
    database = Database(f"sqlite:///{tmp_path}/archive.sqlite")
    await database.migrate()
    directory = ArchivedDirectory(database, catalogue_in(tmp_path / "facts"))
    await directory.create_tenant(a_tenant_message())
    await directory.create(USERS, a_user_message(licences=["MCOEV", "MCOPSTN1"]))
    yield directory
    await database.close()


@pytest.fixture
def files(tmp_path: Path) -> FactFiles:
    return FactFiles(tmp_path / "facts")


@pytest.fixture
async def process(directory: ArchivedDirectory, files: FactFiles) -> Process:
    process = Process(directory.database, files, {})
    await process.archived.catch_up()
    return process


async def test_what_grew_change_by_change_is_what_is_read_at_once(
    directory: ArchivedDirectory, process: Process, files: FactFiles
) -> None:
    """The digests are the same, so that processes that read at other times agree."""
    desk = pb.ResourceAccount(
        tenant_id="contoso", account_id="desk", usage_location="US", licences=["MCOPSTN1"]
    )
    number = pb.ServiceNumber(
        tenant_id="contoso", number="+39800555010", service=pb.SERVICE_KIND_BRIDGE
    )
    for make in (
        directory.create(ACCOUNTS, desk),
        directory.create(USERS, a_user_message("bob", licences=["MCOPSTN1"])),
        directory.create(NUMBERS, number),
        directory.update(USERS, a_user_message("bob", usage_location="IT"), "usage_location"),
        directory.delete(ACCOUNTS, "desk"),
        directory.update_tenant(
            a_tenant_message(concurrent_calls_limit=3), "concurrent_calls_limit"
        ),
        directory.delete(USERS, "adele"),
    ):
        await make
        await process.archived.catch_up()

    other = Process(directory.database, files, {})
    await other.archived.catch_up()

    assert process.tenant() == other.tenant()
    assert process.ledger == other.ledger == {"contoso": process.tenant().digest}
    assert set(process.tenant().users) == {"bob"}
    assert process.tenant().pool_sizes["IT:MCOPSTN1", "domestic"] == 1_200 * 60
    assert ("US:MCOPSTN1", "domestic") not in process.tenant().pool_sizes


async def test_a_tenant_of_the_archive_has_the_digest_of_its_file(
    directory: ArchivedDirectory, process: Process, files: FactFiles
) -> None:
    files.write("directory/contoso.toml", await directory.export(toml=True))

    from_files = FactsInUse(files.folders, announce=process.announce, on_report=lambda report: None)
    from_files.load()

    assert from_files.current.directory.tenants["contoso"] == process.tenant()


async def test_a_change_of_another_process_is_found_by_its_digest(
    directory: ArchivedDirectory, process: Process, files: FactFiles
) -> None:
    """H5: the ledger knows the new digest; whoever decides by the old one reads and asks again."""
    other = Process(directory.database, files, process.ledger)
    await other.archived.catch_up()
    await directory.update(USERS, a_user_message(licences=[]), "licences")
    await other.archived.catch_up()

    found = await process.facts.tenant_with_digest("contoso", process.ledger["contoso"])

    assert found is not None
    assert found.users["adele"].capabilities == frozenset()
    assert process.tenant() == found


async def test_until_all_was_read_no_tenant_is_said_not_to_exist(
    directory: ArchivedDirectory, files: FactFiles
) -> None:
    process = Process(directory.database, files, {})
    with pytest.raises(FactsBehind):
        find_tenant_by_id("contoso", process.facts.current.directory)

    await process.archived.catch_up()

    found = find_tenant_by_id("contoso", process.facts.current.directory)
    assert found.tenant_id == "contoso"
    with pytest.raises(TenantForbidden):
        find_tenant_by_id("nobody", process.facts.current.directory)


async def test_what_was_committed_and_told_to_nobody_is_told_by_the_next_reader(
    directory: ArchivedDirectory, process: Process
) -> None:
    """Whoever committed died before it announced: every other process does, at its next look."""
    before = process.ledger["contoso"]
    await directory.update(USERS, a_user_message(frozen=True), "frozen")

    await process.archived.catch_up()

    assert process.ledger["contoso"] == process.tenant().digest != before


async def test_while_the_ledger_is_away_the_old_facts_stay_and_are_replaced_when_it_is_back(
    directory: ArchivedDirectory, process: Process
) -> None:
    process.reachable = False
    await directory.update(USERS, a_user_message(frozen=True), "frozen")
    await process.archived.catch_up()
    assert not process.tenant().users["adele"].frozen

    process.reachable = True
    await process.archived.catch_up()

    assert process.tenant().users["adele"].frozen


async def test_a_tenant_that_is_deleted_is_forgotten_and_one_made_anew_begins_anew(
    directory: ArchivedDirectory, process: Process
) -> None:
    await directory.update_tenant(a_tenant_message(frozen=True), "frozen")
    await directory.change(lambda changes: changes.delete_tenant("contoso", ""))
    await process.archived.catch_up()
    assert "contoso" not in process.facts.current.directory.tenants

    await directory.create_tenant(a_tenant_message())
    await process.archived.catch_up()

    assert process.tenant().users == {}


async def test_a_tenant_deleted_and_made_anew_between_two_looks_keeps_nothing(
    directory: ArchivedDirectory, process: Process
) -> None:
    await directory.update_tenant(a_tenant_message(frozen=True), "frozen")
    await directory.change(lambda changes: changes.delete_tenant("contoso", ""))
    await directory.create_tenant(a_tenant_message())

    await process.archived.catch_up()

    assert process.tenant().users == {}


async def test_a_new_catalogue_builds_tenants_anew_and_leaves_those_it_does_not_fit(
    directory: ArchivedDirectory, process: Process, files: FactFiles
) -> None:
    await directory.create_tenant(a_tenant_message("fabrikam"))
    await process.archived.catch_up()
    before = process.tenant()
    files.change("catalogue/skus.csv", "MCOEV,phone_system,,Phone System\n", "")

    await process.facts.reload()

    assert process.problems == 1
    assert process.tenant() is before
    assert process.tenant("fabrikam").digest


async def test_many_changes_at_once_are_at_hand_before_they_are_told(
    directory: ArchivedDirectory, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes need as long to build them: meanwhile all go on with the old facts."""
    monkeypatch.setattr(following, "FEW_CHANGES", 1)
    before = process.ledger["contoso"]
    await directory.import_csv("user_id,usage_location\nbob,US\ncarl,US\n")

    await process.archived.catch_up()
    told_at_once = process.ledger["contoso"]
    later = [known.later for known in process.archived._known.values()]
    assert later[0] is not None
    await later[0]

    assert told_at_once == before
    assert process.ledger["contoso"] == process.tenant().digest
    assert set(process.tenant().users) == {"adele", "bob", "carl"}


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (DIRECTORY_ITEMS, {"kind": "a kind of a newer release"}),
        (DIRECTORY_ITEMS, {"body": "no JSON"}),
        (DIRECTORY_TENANTS, {"body": "no JSON"}),
    ],
)
async def test_a_tenant_that_cannot_be_read_leaves_all_others_in_use(
    directory: ArchivedDirectory, files: FactFiles, table: Table, change: dict[str, str]
) -> None:
    await directory.create_tenant(a_tenant_message("fabrikam"))
    await directory.database.write(
        lambda c: c.execute(update(table).where(table.c.tenant_id == "contoso").values(change))
    )
    process = Process(directory.database, files, {})

    await process.archived.catch_up()

    assert process.archived.complete.is_set()
    assert process.tenant("fabrikam").tenant_id == "fabrikam"
    assert process.problems >= 1
