"""The doctor's command: what differs, what would mend it, and the mending if asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import click

from server.app.keeper import running_parts
from server.app.log import log_to_stderr
from server.archive import PositionMoved
from server.archive.keeper.doctor import Difference, Doctor
from server.funding import forfeits
from server.funding.errors import FundingBusy, FundingRefused
from server.funding.forfeits import early_forfeits
from server.funding.implausible import Fate, Settling, held_use, settle
from server.funding.requests import FundingRequests
from server.ledger import LedgerDamaged, LedgerUnavailable
from server.ledger.partition_audit import Auditor
from server.settings import Settings
from server.storage.sql.audit import AuditTrail
from server.storage.sql.errors import ArchiveUnavailable, ArchiveUnusable

EXIT_WELL = 0
EXIT_DIFFERENCES = 1
EXIT_CANNOT_LOOK = 2
# How long it waits for store and archive.
_PATIENCE_SECONDS = 10.0
# Whom the audit trail names: who runs the command has the machine, and no identity.
_OPERATOR = "python -m server"
_MS = 1_000


def examine(settings: Settings, *, repair: bool) -> int:
    """Tell every difference; repair what can be where that is asked for. Returns the exit status.

    0: nothing differs, or nothing does any more; 1: something does; 2: it could not be seen.
    """
    return _status_of(_examine(settings, repair=repair))


def look_for_forfeits(settings: Settings, *, give_back: bool) -> int:
    """Tell what was forfeited before its time; give it back where that is asked for.

    Returns the exit status. 0: there is nothing, or all was given back; 1: there is something;
    2: it could not be seen.
    """
    return _status_of(_look_for_forfeits(settings, give_back=give_back))


def look_for_implausible(settings: Settings, *, charge: str, waive: str) -> int:
    """Tell what use was held apart; settle that of the call which one of the two names.

    Returns the exit status. 0: there is nothing more; 1: there is something; 2: it could not be
    seen, or not charged.
    """
    return _status_of(_look_for_implausible(settings, charge=charge, waive=waive))


def _status_of(work: Coroutine[Any, Any, int]) -> int:
    log_to_stderr(logging.ERROR)
    try:
        return asyncio.run(work)
    except TimeoutError:
        click.echo("The store or the archive does not answer.", err=True)
    except (ArchiveUnavailable, ArchiveUnusable, LedgerUnavailable, LedgerDamaged) as error:
        click.echo(f"Cannot look: {error}", err=True)
    except (FundingRefused, FundingBusy) as error:
        click.echo(f"Cannot charge: {error}", err=True)
    except PositionMoved:
        click.echo(
            "The keeper archives faster than this can be repaired beside it; ask again.", err=True
        )
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


async def _look_for_forfeits(settings: Settings, *, give_back: bool) -> int:
    async with running_parts(settings, patience_seconds=_PATIENCE_SECONDS) as (parts, _):
        database, now_ms = parts.archive.database, parts.now_ms
        found = await database.read(lambda c: early_forfeits(c, now_ms()))
        funding_requests = FundingRequests(database, parts.ledger, AuditTrail(now_ms), now_ms)
        for each in found:
            told = "."
            try:
                if give_back and await forfeits.give_back(funding_requests, each, _OPERATOR):
                    told = ", were given back."
            except FundingRefused as refused:
                told = f", stay forfeited: {refused}"
            until = datetime.fromtimestamp(each.expire_ms / _MS, UTC).isoformat(" ", "seconds")
            click.echo(
                f"{each.tenant_id}: {each.micros} micros of lot {each.lot_id}, good until {until}"
                + told
            )
    if not found:
        click.echo("Nothing was forfeited before its time.")
    return EXIT_DIFFERENCES if found and not give_back else EXIT_WELL


async def _look_for_implausible(settings: Settings, *, charge: str, waive: str) -> int:
    async with running_parts(settings, patience_seconds=_PATIENCE_SECONDS) as (parts, _):
        database, now_ms = parts.archive.database, parts.now_ms
        found = await database.read(lambda c: list(held_use(c)))
        funding_requests = FundingRequests(database, parts.ledger, AuditTrail(now_ms), now_ms)
        left = 0
        for each in found:
            done = "."
            if each.opened_id in {charge, waive}:
                fate = Fate.CHARGED if each.opened_id == charge else Fate.WAIVED
                settling = Settling(each.tenant_id, each.opened_id, fate, _OPERATOR)
                await settle(funding_requests, settling)
                done = ", was charged." if fate is Fate.CHARGED else ", was waived."
            else:
                left += 1
            click.echo(
                f"{each.tenant_id}: call {each.call_id} of {each.gateway_id}, decision "
                f"{each.opened_id}: {each.seconds} s held apart, {each.micros} micros{done}"
            )
    named = {charge, waive} - {""}
    if named - {each.opened_id for each in found}:
        click.echo("Nothing is held apart of such a decision.", err=True)
        return EXIT_CANNOT_LOOK
    if not found:
        click.echo("No use is held apart.")
    return EXIT_DIFFERENCES if left else EXIT_WELL


def _tell(found: list[Difference]) -> None:
    for each in found:
        whose = f"{each.tenant_id}: " if each.tenant_id else ""
        click.echo(f"Partition {each.partition}: {whose}{each.text}.")
        click.echo(f"    Repair: {each.repair}.")
    if not found:
        click.echo("Ledger, archive and reservations agree.")
