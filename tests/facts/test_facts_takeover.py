"""Taking over large facts never holds the loop for long; what arrives is what was read."""

from __future__ import annotations

import asyncio
import asyncio.events
import time

import pytest

from fact_files import CONTOSO, FactFiles
from policy.destination import find_destination
from policy.facts import Catalogue, Tenant
from server.facts import FactsInUse, read_facts
from server.facts.garbage import let_go
from server.facts.slices import Assembly, Begin, End, Slice, take_apart

MANY_PREFIXES = 100_000
MANY_USERS = 10_000
LONGEST_HOLD_SECONDS = 0.020
SECONDS_BETWEEN_QUESTIONS = 0.005


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect how long each turn of the loop held its processor.

    Processor time, not the wall's: another process may want the same processor, and that is no
    fault of the loop.
    """
    found: list[float] = []
    run = asyncio.events.Handle._run

    def timed_run(handle: asyncio.Handle) -> None:
        start = time.thread_time()
        run(handle)
        found.append(time.thread_time() - start)

    monkeypatch.setattr(asyncio.events.Handle, "_run", timed_run)
    return found


async def ask_until(done: asyncio.Event, keeper: FactsInUse) -> int:
    """Look a number and a user up 200 times a second; say how often."""
    asked = 0
    while not done.is_set():
        catalogue, directory = keeper.current.catalogue, keeper.current.directory
        assert find_destination(catalogue.destinations, catalogue.longest_prefix, "+390612345678")
        assert "adele" in directory.tenants["contoso"].users
        asked += 1
        await asyncio.sleep(SECONDS_BETWEEN_QUESTIONS)
    return asked


async def test_the_loop_is_never_held_while_a_large_catalogue_and_directory_are_taken_over(
    files: FactFiles, holds: list[float]
) -> None:
    keeper = FactsInUse(files.folders, announce=always, on_report=lambda report: None)
    keeper.load()
    small = files.path("catalogue/prefixes.csv").read_text("utf-8")
    done = asyncio.Event()
    questions = asyncio.create_task(ask_until(done, keeper))

    await asyncio.to_thread(grow, files)
    holds.clear()
    grown = await keeper.reload()
    after_growth = len(keeper.current.catalogue.destinations)
    files.write("catalogue/prefixes.csv", small)
    shrunk = await keeper.reload({"prefixes", "rates/EUR"})
    done.set()
    asked = await questions

    assert grown.catalogue_changed
    assert grown.changed == ("contoso",)
    assert after_growth > MANY_PREFIXES
    assert len(keeper.current.directory.tenants["contoso"].users) == MANY_USERS + 1
    assert shrunk.catalogue_changed
    assert asked > 100
    assert max(holds) < LONGEST_HOLD_SECONDS


def grow(files: FactFiles) -> None:
    files.append(
        "catalogue/prefixes.csv",
        "".join(f"1206{place:07},US,ordinary,Far away\n" for place in range(MANY_PREFIXES)),
    )
    files.write(
        "directory/contoso.toml",
        CONTOSO + "".join(f'[users.u{n}]\nusage_location = "US"\n' for n in range(MANY_USERS)),
    )


async def always(tenant: Tenant) -> bool:
    return True


def put_together(facts: Catalogue | Tenant) -> Catalogue | Tenant:
    messages = list(take_apart(facts))
    assert isinstance(messages[0], Begin)
    assert isinstance(messages[-1], End)
    assembly = Assembly(messages[0])
    for message in messages[1:-1]:
        assert isinstance(message, Slice)
        assembly.add(message)
    return assembly.finish()


def test_facts_put_together_from_slices_are_the_facts_taken_apart(files: FactFiles) -> None:
    files.append(
        "directory/fabrikam.toml",
        '[[dial_plan]]\nname = "n"\npattern = "(7.{3})"\ntranslation = "+3906$1"\n'
        '[inbound_block]\nenabled = true\npatterns = ["^1425"]\nexemptions = ["^14255550100$"]\n',
    )

    catalogue, tenants = read_facts(files.folders)

    assert put_together(catalogue) == catalogue
    assert [put_together(tenant) for tenant in tenants.values()] == list(tenants.values())


async def test_facts_let_go_stay_whole_for_a_question_under_way(files: FactFiles) -> None:
    catalogue, tenants = read_facts(files.folders)
    prefixes, users = len(catalogue.destinations), len(tenants["contoso"].users)

    await let_go([catalogue, tenants["contoso"]])

    assert len(catalogue.destinations) == prefixes
    assert len(tenants["contoso"].users) == users
