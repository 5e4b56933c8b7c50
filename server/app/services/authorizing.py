"""The AuthorizationService, with all that its verbs lean on."""

from __future__ import annotations

from server.app.parts import Engine
from server.authorization import SERVICE, Authorization
from server.calls.announcing import Announcing
from server.calls.legs import Legs
from server.calls.listing import Listing
from server.calls.quick import Quick
from server.calls.reporting import Reporter
from server.calls.verbs import Verbs
from server.catching_up import CatchingUp
from server.control import Control, Following
from server.deadline import Deadline
from server.decider import Decider
from server.emergency import EmergencyDoor
from server.translation.advice import advice_of
from server.transport import TransportServer

_MS = 1_000


def register_authorization(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    decider = _decider(engine)
    verbs = _verbs(engine, decider)
    quick = Quick(decider, engine.ledger, verbs.advice)
    control = Control(
        verbs,
        engine.standings,
        Following(engine.watching.tailer, engine.rooms, decider, verbs.advice),
        quick,
    )
    Authorization(verbs, control, quick, engine.metrics).register(transport)
    return SERVICE


def _decider(engine: Engine) -> Decider:
    settings = engine.settings
    return Decider(
        facts=engine.facts,
        catching_up=CatchingUp(engine.facts, settings.deadline_ms / _MS),
        ledger=engine.ledger,
        ledger_is_up=lambda: engine.watch.up,
        journal_is_full=engine.fill.is_full,
        now_ms=engine.clock.now_ms,
        deadline=Deadline(settings.deadline_ms / _MS),
        slice_seconds=settings.slice_seconds,
        store_name=engine.accounts.store_name,
        records=engine.records,
        metrics=engine.metrics,
    )


def _verbs(engine: Engine, decider: Decider) -> Verbs:
    settings = engine.settings
    announcing = Announcing(engine.ledger, engine.archive.find_call)
    door = EmergencyDoor(
        engine.facts, engine.records, engine.metrics, engine.now_ms, settings.default_locations
    )
    return Verbs(
        door=door,
        decider=decider,
        announcing=announcing,
        reporter=Reporter(decider, announcing, settings.charge_unknown_calls),
        legs=Legs(decider, announcing),
        listing=Listing(decider, engine.calls),
        advice=advice_of(settings),
        load=engine.load,
    )
