"""Tenants are copied into the store, to be borrowed from there while the archive is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directories import USERS, ArchivedDirectory, a_tenant_message, a_user_message, catalogue_in
from fact_files import FactFiles
from policy.facts import Tenant
from server.facts import FactsFolders, FactsInUse
from server.facts.from_database import ArchivedTenants
from server.facts.hot_copy import HotCopy
from server.storage.redis import Store
from server.storage.sql.database import Database
from stores import VALKEY, binaries, running_server

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    binary = binaries()[VALKEY]
    assert binary is not None
    with running_server(binary) as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = Store(url)
    await store.command("FLUSHALL")
    yield store
    await store.close()


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[ArchivedDirectory]:
    database = Database(f"sqlite:///{tmp_path}/archive.sqlite")
    await database.migrate()
    directory = ArchivedDirectory(database, catalogue_in(tmp_path / "facts"))
    await directory.create_tenant(a_tenant_message())
    await directory.create(USERS, a_user_message())
    yield directory
    await database.close()


def a_process(database: Database, tmp_path: Path, store: Store, announced: list[str]) -> FactsInUse:
    async def announce(tenant: Tenant) -> bool:
        announced.append(tenant.digest)
        return True

    archived = ArchivedTenants(
        database, poll_seconds=0.02, on_problem=lambda: None, hot=HotCopy(store)
    )
    folders = FactsFolders(FactFiles(tmp_path / "facts").folders.catalogue, None)
    facts = FactsInUse(folders, announce=announce, on_report=lambda report: None, archived=archived)
    facts.load()
    return facts


async def follow(facts: FactsInUse) -> Tenant:
    assert facts.archived is not None
    await facts.archived.catch_up()
    return facts.current.directory.tenants["contoso"]


async def borrowed(tmp_path: Path, store: Store) -> tuple[FactsInUse, list[str]]:
    """Make a process whose archive is away, and let it borrow."""
    announced: list[str] = []
    facts = a_process(Database(NOWHERE), tmp_path, store, announced)
    assert facts.archived is not None
    assert await facts.archived._borrow()
    await facts.archived.stop()
    return facts, announced


async def test_a_process_that_starts_without_the_archive_borrows_and_announces_nothing(
    directory: ArchivedDirectory, store: Store, tmp_path: Path
) -> None:
    facts = a_process(directory.database, tmp_path, store, [])
    await follow(facts)
    await directory.create(USERS, a_user_message("bob", licences=["MCOEV", "MCOPSTN1"]))
    await directory.delete(USERS, "adele")
    known = await follow(facts)

    other, announced = await borrowed(tmp_path, store)

    assert other.current.directory.tenants["contoso"] == known
    assert set(known.users) == {"bob"}
    assert announced == []
    assert not other.current.directory.complete


async def test_a_copy_that_does_not_fit_is_written_whole(
    directory: ArchivedDirectory, store: Store, tmp_path: Path
) -> None:
    """Another process wrote something older behind what was newer: the next change mends it."""
    facts = a_process(directory.database, tmp_path, store, [])
    await follow(facts)
    await store.command("FLUSHALL")
    await directory.update(USERS, a_user_message(frozen=True), "frozen")

    known = await follow(facts)
    other, _ = await borrowed(tmp_path, store)

    assert other.current.directory.tenants["contoso"] == known


async def test_a_tenant_that_is_deleted_leaves_the_copy(
    directory: ArchivedDirectory, store: Store, tmp_path: Path
) -> None:
    facts = a_process(directory.database, tmp_path, store, [])
    await follow(facts)
    await directory.update_tenant(a_tenant_message(frozen=True), "frozen")
    await follow(facts)
    await directory.change(lambda changes: changes.delete_tenant("contoso", ""))

    assert facts.archived is not None
    await facts.archived.catch_up()

    assert await store.command("KEYS", "*") == []
