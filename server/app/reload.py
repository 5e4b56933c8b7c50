"""The command that has every process read the files anew, and waits until each serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import click

from server.app.keeper import store_url
from server.facts.reloads import ProcessFacts, ask_for_reload, wait_for_reload
from server.settings import Settings
from server.storage.redis import Store, StoreUnavailable

EXIT_SERVED = 0
EXIT_REFUSED = 1
EXIT_NOT_SEEN = 2


def reload(settings: Settings, losing: Collection[str], wait_seconds: float | None) -> int:
    """Ask, and wait where that is wanted. Returns the exit status.

    0: every process serves the same, or nobody waited; 1: some refused what they found, or serve
    something else; 2: the store does not answer, nothing serves, or not all were done in time.
    """
    try:
        return asyncio.run(_reload(settings, losing, wait_seconds))
    except StoreUnavailable as error:
        click.echo(f"The store does not answer: {error}", err=True)
    except TimeoutError:
        click.echo(f"Not every process had read the files within {wait_seconds:g} s.", err=True)
    return EXIT_NOT_SEEN


async def _reload(settings: Settings, losing: Collection[str], wait_seconds: float | None) -> int:
    store = Store(store_url(settings))
    try:
        number = await ask_for_reload(store, losing)
        if wait_seconds is None:
            return EXIT_SERVED
        async with asyncio.timeout(wait_seconds):
            return _told(await wait_for_reload(store, number))
    finally:
        await store.close()


def _told(found: list[ProcessFacts]) -> int:
    for line in dict.fromkeys(problem for each in found for problem in each.problems):
        click.echo(line, err=True)
    versions = {each.version for each in found}
    for catalogue, directory in sorted(versions):
        count = sum(each.version == (catalogue, directory) for each in found)
        click.echo(f"{count} processes serve catalogue {catalogue}, directory {directory}.")
    is_well = len(versions) == 1 and not any(each.problems for each in found)
    return EXIT_SERVED if is_well else EXIT_REFUSED
