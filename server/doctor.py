"""The doctor's command: what differs, what would mend it, and the mending if asked for."""

from __future__ import annotations

import asyncio
import logging

import click

from server.archive import ArchiveUnavailable, ArchiveUnusable, PositionMoved
from server.keeper.doctor import Difference, Doctor
from server.keeper_app import running_parts
from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.audit import Auditor
from server.settings import Settings

EXIT_WELL = 0
EXIT_DIFFERENCES = 1
EXIT_CANNOT_LOOK = 2
# How long it waits for store and archive.
_PATIENCE_SECONDS = 10.0


def examine(settings: Settings, *, repair: bool) -> int:
    """Tell every difference; repair what can be where that is asked for. Returns the exit status.

    0: nothing differs, or nothing does any more; 1: something does; 2: it could not be seen.
    """
    logging.basicConfig(level=logging.ERROR)
    try:
        return asyncio.run(_examine(settings, repair=repair))
    except TimeoutError:
        click.echo("The store or the archive does not answer.", err=True)
    except (ArchiveUnavailable, ArchiveUnusable, LedgerUnavailable, LedgerDamaged) as error:
        click.echo(f"Cannot look: {error}", err=True)
    except PositionMoved:
        click.echo("Somebody else repaired meanwhile; ask again.", err=True)
    return EXIT_CANNOT_LOOK


async def _examine(settings: Settings, *, repair: bool) -> int:
    async with running_parts(settings, patience_seconds=_PATIENCE_SECONDS) as (parts, store):
        doctor = Doctor(Auditor(store), parts, settings.clock_tolerance_seconds)
        found = await doctor.examine()
        _tell(found)
        if not found:
            return EXIT_WELL
        if not repair:
            return EXIT_DIFFERENCES
        for partition in await doctor.repair(found):
            click.echo(f"Partition {partition} was filled anew.")
        found = await doctor.examine()
        click.echo("After the repair:")
        _tell(found)
        return EXIT_DIFFERENCES if found else EXIT_WELL


def _tell(found: list[Difference]) -> None:
    for each in found:
        whose = f"{each.tenant_id}: " if each.tenant_id else ""
        click.echo(f"Partition {each.partition}: {whose}{each.text}.")
        click.echo(f"    Repair: {each.repair}.")
    if not found:
        click.echo("Ledger, archive and reservations agree.")
