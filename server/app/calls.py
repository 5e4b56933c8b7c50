"""Putting together what answers the verbs of a call, from the parts that a process has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.calls.announcing import Announcing, FindArchived
from server.calls.legs import Legs
from server.calls.listing import Listing
from server.calls.reporting import Reporter
from server.calls.verbs import Verbs
from server.catching_up import CatchingUp
from server.deadline import Deadline
from server.decider import Decider
from server.emergency import EmergencyDoor
from server.facts import FactsKeeper
from server.ledger import Ledger
from server.ledger.calls import CallReader
from server.load import Load
from server.observation.metrics import Metrics
from server.observation.records import Records
from server.opening import Opening
from server.settings import Settings
from server.translation.advice import advice_of

_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What verbs lean on; an engine has all of it, a rehearsal stands in for some.

    `ledger_is_up` and `journal_is_full` are as in `Decider`. `now_ms` is the ledger's clock;
    `now_without_store_ms` is what goes by while that cannot be asked.
    """

    settings: Settings
    facts: FactsKeeper
    ledger: Ledger
    ledger_is_up: Callable[[], bool]
    journal_is_full: Callable[[str], bool]
    calls: CallReader
    find_archived: FindArchived
    load: Load
    records: Records
    metrics: Metrics
    now_ms: Callable[[], int]
    now_without_store_ms: Callable[[], int]
    deadline_seconds: float
    opening: Opening


def assemble_verbs(parts: Surroundings) -> Verbs:
    """Put together the verbs of one process, and the one decider that all of them ask."""
    settings = parts.settings
    decider = _decider(parts)
    announcing = Announcing(parts.find_archived, parts.now_ms, settings.call_id_days * _MS_PER_DAY)
    door = EmergencyDoor(
        parts.facts,
        parts.records,
        parts.metrics,
        parts.now_without_store_ms,
        settings.default_locations,
    )
    return Verbs(
        door=door,
        decider=decider,
        announcing=announcing,
        reporter=Reporter(decider, announcing, settings.charge_unknown_calls),
        legs=Legs(decider, announcing),
        listing=Listing(decider, parts.calls),
        advice=advice_of(settings),
        load=parts.load,
    )


def _decider(parts: Surroundings) -> Decider:
    return Decider(
        facts=parts.facts,
        catching_up=CatchingUp(parts.facts, parts.deadline_seconds),
        ledger=parts.ledger,
        ledger_is_up=parts.ledger_is_up,
        journal_is_full=parts.journal_is_full,
        now_ms=parts.now_ms,
        deadline=Deadline(parts.deadline_seconds),
        slice_seconds=parts.settings.slice_seconds,
        opening=parts.opening,
        records=parts.records,
        metrics=parts.metrics,
    )
