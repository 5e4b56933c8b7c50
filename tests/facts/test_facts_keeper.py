"""Facts change while questions are answered: whole, tenant by tenant, and never by a bad file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fact_files import CONTOSO, FactFiles
from policy.facts import Tenant
from server.facts import FactsInUse, FactsReport, InvalidFacts


class Account:
    """An account that notes what it is told, and may be out of reach."""

    def __init__(self) -> None:
        self.told: list[Tenant] = []
        self.reachable = True

    async def announce(self, tenant: Tenant) -> bool:
        self.told.append(tenant)
        return self.reachable


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def reports() -> list[FactsReport]:
    return []


@pytest.fixture
async def keeper(
    files: FactFiles, account: Account, reports: list[FactsReport]
) -> AsyncIterator[FactsInUse]:
    keeper = FactsInUse(
        files.folders, announce=account.announce, on_report=reports.append, poll_seconds=0.02
    )
    keeper.load()
    yield keeper
    await keeper.stop()


async def test_files_that_did_not_change_change_nothing(
    keeper: FactsInUse, account: Account, reports: list[FactsReport]
) -> None:
    before = keeper.current.directory.tenants["contoso"]

    await keeper.reload()

    assert reports == [FactsReport()]
    assert account.told == []
    assert keeper.current.directory.tenants["contoso"] is before


async def test_only_the_tenant_that_changed_is_replaced(
    keeper: FactsInUse, files: FactFiles, account: Account
) -> None:
    contoso = keeper.current.directory.tenants["contoso"]
    files.change("directory/fabrikam.toml", '"MCOPSTN1"]', '"MCOPSTN1", "MCOPSTNPP"]')

    report = await keeper.reload()

    assert report == FactsReport(changed=("fabrikam",))
    assert [tenant.tenant_id for tenant in account.told] == ["fabrikam"]
    gina = keeper.current.directory.tenants["fabrikam"].users["gina"]
    assert "credits" in gina.capabilities
    assert keeper.current.directory.tenants["contoso"] is contoso


async def test_order_and_layout_of_a_file_make_no_other_facts(
    keeper: FactsInUse, files: FactFiles
) -> None:
    head, user = CONTOSO.split("[users.adele]\n")
    lines = [f"# {head.count('x')}", *reversed(head.strip().split("\n")), "", "[users.adele]"]
    files.write("directory/renamed.toml", "\n".join([*lines, *reversed(user.split("\n"))]))
    files.path("directory/contoso.toml").unlink()

    assert await keeper.reload() == FactsReport()


async def test_a_larger_plan_is_a_change_of_those_who_hold_it_alone(
    keeper: FactsInUse, files: FactFiles
) -> None:
    files.change("catalogue/plans.csv", "IT,1200", "IT,1300")

    report = await keeper.reload()

    assert report == FactsReport(catalogue_changed=True, changed=("fabrikam",))
    sizes = keeper.current.directory.tenants["fabrikam"].pool_sizes
    assert sizes["IT:MCOPSTN1", "domestic"] == 1300 * 60


async def test_a_removed_prefix_is_gone_and_the_shorter_one_counts(
    keeper: FactsInUse, files: FactFiles
) -> None:
    """E6, H5: a reload that removes a prefix changes only what it covered."""
    before = keeper.current.catalogue
    files.change("catalogue/prefixes.csv", '393,IT,mobile,"Italy, mobile"\n', "")

    report = await keeper.reload()

    after = keeper.current.catalogue
    assert report == FactsReport(catalogue_changed=True)
    assert after.version != before.version
    assert set(before.destinations) - set(after.destinations) == {"393"}
    assert {name: after.destinations[name] for name in after.destinations} == {
        name: before.destinations[name] for name in after.destinations
    }


async def test_a_bad_file_leaves_the_facts_in_use_and_is_reported_with_its_line(
    keeper: FactsInUse, files: FactFiles, reports: list[FactsReport]
) -> None:
    """H1: the old facts keep serving; the message names file and line."""
    snapshot = keeper.current
    tenants = dict(snapshot.directory.tenants)
    files.change("directory/fabrikam.toml", '"0.00"', '"12.00"')
    files.change("catalogue/rates/EUR.csv", "0.10", "ten")

    await keeper.reload()

    [report] = reports
    assert [line for line in report.problems if "EUR.csv:2: per_minute: is 'ten'" in line]
    assert keeper.current is snapshot
    assert keeper.current.directory.tenants == tenants


async def test_a_tenant_that_is_gone_takes_its_numbers_along(
    keeper: FactsInUse, files: FactFiles
) -> None:
    files.path("directory/fabrikam.toml").unlink()

    report = await keeper.reload()

    assert report.removed == ("fabrikam",)
    assert keeper.current.directory.service_numbers == {}


async def test_a_service_number_moves_to_another_tenant(
    keeper: FactsInUse, files: FactFiles
) -> None:
    section = '[service_numbers."+39800555010"]\nservice = "bridge"\n'
    files.change("directory/fabrikam.toml", section, "")
    files.append("directory/contoso.toml", section)

    report = await keeper.reload()

    assert set(report.changed) == {"contoso", "fabrikam"}
    assert keeper.current.directory.service_numbers == {"+39800555010": "contoso"}


async def test_new_facts_are_at_hand_by_their_digest_before_the_account_knows_it(
    files: FactFiles,
) -> None:
    seen: list[tuple[str, bool]] = []

    async def announce(tenant: Tenant) -> bool:
        in_use = changing.current.directory.tenants["fabrikam"]
        found = await changing.tenant_with_digest("fabrikam", tenant.digest)
        seen.append((in_use.digest, found is tenant))
        return True

    changing = FactsInUse(files.folders, announce=announce, on_report=lambda report: None)
    changing.load()
    before = changing.current.directory.tenants["fabrikam"]
    files.change("directory/fabrikam.toml", '"0.00"', '"1.00"')

    await changing.reload()

    assert seen == [(before.digest, True)]
    assert await changing.tenant_with_digest("fabrikam", before.digest) is before


async def test_a_tenant_whose_account_is_out_of_reach_keeps_its_facts_until_the_next_look(
    keeper: FactsInUse, files: FactFiles, account: Account
) -> None:
    before = keeper.current.directory.tenants["fabrikam"]
    account.reachable = False
    files.change("directory/fabrikam.toml", '"0.00"', '"1.00"')

    assert (await keeper.reload()).behind == ("fabrikam",)
    assert keeper.current.directory.tenants["fabrikam"] is before
    told = account.told[0]
    assert await keeper.tenant_with_digest("fabrikam", told.digest) is told

    account.reachable = True
    assert (await keeper.reload()).changed == ("fabrikam",)
    assert keeper.current.directory.tenants["fabrikam"].digest == told.digest


async def test_facts_that_another_process_read_first_are_looked_for_in_the_files(
    keeper: FactsInUse, files: FactFiles
) -> None:
    files.change("directory/fabrikam.toml", '"0.00"', '"1.00"')
    other = FactsInUse(files.folders, announce=lambda tenant: yes(), on_report=print)
    other.load()
    wanted = other.current.directory.tenants["fabrikam"].digest

    found = await asyncio.gather(*(keeper.tenant_with_digest("fabrikam", wanted) for _ in "123"))

    assert {tenant.digest for tenant in found if tenant} == {wanted}


async def yes() -> bool:
    return True


async def test_a_digest_nobody_has_is_not_looked_for_again_and_again(
    files: FactFiles, reports: list[FactsReport]
) -> None:
    keeper = FactsInUse(files.folders, announce=lambda tenant: yes(), on_report=reports.append)
    keeper.load()

    found = [await keeper.tenant_with_digest("fabrikam", "unknown") for _ in range(3)]

    assert found == [None, None, None]
    assert len(reports) == 1


async def test_a_change_of_a_file_is_noticed_and_a_request_needs_none(
    files: FactFiles, account: Account
) -> None:
    reports: asyncio.Queue[FactsReport] = asyncio.Queue()
    keeper = FactsInUse(
        files.folders,
        announce=account.announce,
        on_report=reports.put_nowait,
        poll_seconds=0.02,
    )
    keeper.load()
    (watching,) = [asyncio.create_task(duty()) for duty in keeper.duties().values()]
    try:
        files.change("directory/fabrikam.toml", '"0.00"', '"1.00"')
        assert (await asyncio.wait_for(reports.get(), 60)).changed == ("fabrikam",)

        keeper.request_reload()
        assert await asyncio.wait_for(reports.get(), 60) == FactsReport()
    finally:
        watching.cancel()
        await keeper.stop()


async def test_a_reading_process_that_breaks_is_reported_and_nothing_changes(
    keeper: FactsInUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.facts.reload.sys.executable", "/nonexistent/python")

    report = await keeper.reload()

    assert report.problems[0].startswith("no process to read with")


def test_the_first_reading_of_bad_files_is_refused_with_every_mistake(files: FactFiles) -> None:
    files.change("catalogue/rates/EUR.csv", "0.10", "ten")
    keeper = FactsInUse(files.folders, announce=lambda tenant: yes(), on_report=print)

    with pytest.raises(InvalidFacts, match=r"EUR\.csv:2: per_minute: is 'ten'"):
        keeper.load()
