"""A file that is being written, or was cut short, ends nobody's calls though it is sound."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fact_files import FactFiles
from policy.facts import Tenant
from server.access import find_tenant_by_id
from server.access.errors import TenantForbidden, TenantUnknown
from server.facts import FactsInUse, FactsReport
from server.facts import quiet as quiet_module
from server.facts.errors import FactsBehind
from server.facts.from_files import read_signature
from server.facts.reload import Differences, read_differences
from server.facts.reload_process import InUse
from serving import eventually

_USER = 'usage_location = "IT"\nlicences = ["MCOEV"]\n'
USERS = "".join(f"\n[users.user-{number}]\n{_USER}" for number in range(10))
MANY_PREFIXES = "".join(f"4{number},IT,ordinary,Italy\n" for number in range(100, 120))


async def known(_: Tenant) -> bool:
    return True


@pytest.fixture
def grown(files: FactFiles) -> FactFiles:
    contoso = files.path("directory/contoso.toml")
    contoso.write_text(contoso.read_text("utf-8") + USERS)
    prefixes = files.path("catalogue/prefixes.csv")
    prefixes.write_text(prefixes.read_text("utf-8") + MANY_PREFIXES)
    return files


@pytest.fixture
def facts(grown: FactFiles) -> FactsInUse:
    facts = FactsInUse(
        grown.folders, announce=known, on_report=lambda report: None, poll_seconds=0.02
    )
    facts.load()
    return facts


@asynccontextmanager
async def watching(facts: FactsInUse) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(duty()) for duty in facts.duties().values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await facts.stop()


async def test_a_file_that_lost_most_of_its_users_is_refused_until_it_is_asked_for_by_name(
    facts: FactsInUse, grown: FactFiles
) -> None:
    file = grown.path("directory/contoso.toml")
    file.write_text(file.read_text("utf-8").partition("\n[users.user-2]\n")[0])

    refused = await facts.reload()
    kept = len(facts.current.directory.tenants["contoso"].users)
    others = await facts.reload({"users/fabrikam", "prefixes"})
    taken = await facts.reload({"users/contoso"})

    assert kept > 10
    assert "users/contoso: 8 of" in refused.problems[0]
    assert "reload --losing users/contoso" in refused.problems[0]
    assert others.problems == refused.problems
    assert taken == FactsReport(changed=("contoso",))


async def test_a_table_of_prefixes_that_was_cut_short_is_refused(
    facts: FactsInUse, grown: FactFiles
) -> None:
    before = facts.current
    file = grown.path("catalogue/prefixes.csv")
    file.write_text(file.read_text("utf-8").partition("4105")[0])

    report = await facts.reload()

    assert report.problems[0].startswith("prefixes: 15 of 2")
    assert facts.current is before


async def test_a_single_entry_may_go(facts: FactsInUse, grown: FactFiles) -> None:
    grown.path("directory/fabrikam.toml").unlink()

    report = await facts.reload()

    assert report == FactsReport(removed=("fabrikam",))


async def test_files_that_change_while_they_are_read_are_read_again(
    facts: FactsInUse, grown: FactFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of a file that somebody is writing is not all of it."""
    file, read = grown.path("directory/fabrikam.toml"), read_differences
    whole = file.read_text("utf-8").replace('"0.00"', '"1.00"')
    readings: list[Differences] = []

    async def read_beside_a_writer(folders: object, in_use: InUse) -> Differences:
        found = await read(folders, in_use)  # type: ignore[arg-type] # As it was handed down.
        if not readings:
            file.write_text(whole)
        readings.append(found)
        return found

    monkeypatch.setattr(quiet_module, "read_differences", read_beside_a_writer)
    file.write_text(whole.partition("[users")[0])
    report = await facts.reload()

    assert len(readings) == 2
    assert report == FactsReport(changed=("fabrikam",))
    assert "gina" in facts.current.directory.tenants["fabrikam"].users


async def test_a_file_that_goes_on_changing_is_not_taken_over(
    facts: FactsInUse, grown: FactFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_module, "MOST_LOOKS", 3)
    looks = 0

    async def look(_: object) -> tuple[int]:
        nonlocal looks
        looks += 1
        return (looks,)

    monkeypatch.setattr(quiet_module.QuietReader, "_look", look)

    report = await facts.reload()

    assert "went on changing" in report.problems[0]


def test_a_file_put_in_the_place_of_another_is_seen_though_its_time_and_size_are_the_same(
    grown: FactFiles,
) -> None:
    file = grown.path("directory/fabrikam.toml")
    before = read_signature(grown.folders)
    copy = file.with_suffix(".new")
    shutil.copy2(file, copy)
    copy.write_text(file.read_text("utf-8").replace('"0.00"', '"1.00"'))
    status = file.stat()
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(file)

    assert read_signature(grown.folders) != before


async def test_a_new_tenant_is_looked_for_before_it_is_said_not_to_exist(
    facts: FactsInUse, grown: FactFiles
) -> None:
    text = grown.path("directory/fabrikam.toml").read_text("utf-8").replace("555010", "555019")
    with pytest.raises(TenantUnknown) as nobody:
        find_tenant_by_id("nobody", facts.current.directory)
    await nobody.value.look()
    grown.write("directory/woodgrove.toml", text.replace("fabrikam", "woodgrove"))
    with pytest.raises(TenantUnknown) as unknown:
        find_tenant_by_id("woodgrove", facts.current.directory)

    with pytest.raises(FactsBehind):
        await unknown.value.look()
    async with watching(facts):
        await eventually(lambda: "woodgrove" in facts.current.directory.tenants, 60)

    await unknown.value.look()
    assert find_tenant_by_id("woodgrove", facts.current.directory).tenant_id == "woodgrove"
    with pytest.raises(TenantForbidden):
        find_tenant_by_id("nobody", facts.current.directory)
