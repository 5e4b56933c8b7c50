"""The AuthorizationService, with all that its verbs lean on."""

from __future__ import annotations

from server.app.parts import Engine
from server.authorization import SERVICE, Authorization
from server.calls.assembling import Surroundings, assemble_verbs
from server.calls.quick import Quick
from server.calls.verbs import Verbs
from server.control import Control, Following
from server.transport import TransportServer

_MS = 1_000


def register_authorization(engine: Engine, transport: TransportServer) -> str:
    """Register it; returns its full name."""
    verbs = _verbs(engine)
    quick = Quick(verbs.decider, engine.ledger, verbs.advice)
    control = Control(
        verbs,
        engine.standings,
        Following(engine.watching.tailer, engine.rooms, verbs.decider, verbs.advice),
        quick,
    )
    Authorization(verbs, control, quick, engine.metrics).register(transport)
    return SERVICE


def _verbs(engine: Engine) -> Verbs:
    return assemble_verbs(
        Surroundings(
            settings=engine.settings,
            facts=engine.facts,
            ledger=engine.ledger,
            ledger_is_up=lambda: engine.watch.up,
            journal_is_full=engine.fill.is_full,
            calls=engine.calls,
            find_archived=engine.archive.find_call,
            load=engine.load,
            records=engine.records,
            metrics=engine.metrics,
            now_ms=engine.clock.now_ms,
            now_without_store_ms=engine.now_ms,
            deadline_seconds=engine.settings.deadline_ms / _MS,
            opening=engine.opening,
        )
    )
