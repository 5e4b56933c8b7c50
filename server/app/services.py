"""What an engine answers: each service is built and registered by a module of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import cast

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2_grpc

from callgate.v1 import (
    access_pb2_grpc,
    advice_pb2_grpc,
    credits_pb2_grpc,
    debits_pb2_grpc,
    decisions_pb2_grpc,
    directory_pb2_grpc,
    notices_pb2_grpc,
    rates_pb2_grpc,
    server_info_pb2_grpc,
    usage_pb2_grpc,
)
from callgate.v1 import server_info_pb2 as pb
from policy.facts import Plan
from server.app.access import guard
from server.app.calls import CallServices, advice_of, assemble_verbs
from server.app.engine import ARCHIVE, Engine, make_masks
from server.app.money import burst_of, make_money_in
from server.app.notices import webhook_key_of
from server.calls.fast_path import FastPath
from server.calls.handlers import CallHandlers
from server.facts.catalogue import read_tables
from server.services.access.service import Identities
from server.services.advice.plans import LicenceAdvice
from server.services.advice.service import FundingAdvice
from server.services.authorization import Authorization
from server.services.bridge_stream import Control, Following
from server.services.bridge_stream.stream import MAX_UNANSWERED
from server.services.credits import (
    CreditParts,
    FundingSettings,
    ImplausibleUses,
    Looking,
    Movements,
    Purchases,
)
from server.services.debits.service import CODECS as DEBIT_CODECS
from server.services.debits.service import Debits
from server.services.decisions.service import Decisions
from server.services.directory import DirectoryService
from server.services.directory.transfer import Transfer
from server.services.notices.service import Notices
from server.services.rates import RateDecks, RateLooks
from server.services.reflection import register_reflection
from server.services.registration import serve
from server.services.server_info import ServerInfo
from server.services.usage.reports import SavedReports
from server.services.usage.service import UsageReports
from server.settings import Settings
from server.storage.sql.audit import AuditTrail
from server.storage.sql.database import archive_url
from server.transport import TransportOptions, TransportServer, available_transports
from server.transport.options import MEBIBYTE


def register_access(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings = engine.settings
    # Where nobody is asked for an identity yet, and nobody else can come, the first one is made.
    is_to_begin = not settings.identities and settings.listen.is_loopback
    identities = Identities(
        archive=engine.archive,
        keeper=engine.identities,
        now_ms=engine.now_ms,
        are_kept=ARCHIVE in settings.identities or is_to_begin,
    )
    serve(access_pb2_grpc.add_AccessServiceServicer_to_server, transport, identities)


def register_authorization(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    verbs = _verbs(engine)
    quick = FastPath(verbs.authorizer, engine.ledger, verbs.advice)
    control = Control(
        verbs,
        engine.standings,
        Following(engine.watching.tailer, engine.rooms, verbs.authorizer, verbs.advice),
        quick,
        engine.settings.heartbeat_seconds,
    )
    Authorization(verbs, control, quick, engine.metrics.count_failure, transport).register()


def register_credits(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    parts = _credit_parts(engine)
    kinds = (Looking, Movements, Purchases, FundingSettings, ImplausibleUses)
    servicers = [kind(parts) for kind in kinds]
    serve(credits_pb2_grpc.add_CreditServiceServicer_to_server, transport, *servicers)


def register_advice(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings, parts = engine.settings, _credit_parts(engine)
    turn = asyncio.Lock()

    def plans() -> Mapping[tuple[str, str], Plan]:
        return read_tables(settings.catalogue_folder, engine.facts.current.catalogue).plans

    funding = FundingAdvice(
        parts,
        FundingSettings(parts),
        burst_of(settings),
        settings.slice_seconds,
        settings.recharge_rest_minutes * _MS_PER_MINUTE,
        turn,
    )
    licences = LicenceAdvice(parts, plans, turn)
    serve(advice_pb2_grpc.add_AdviceServiceServicer_to_server, transport, funding, licences)


def _credit_parts(engine: Engine) -> CreditParts:
    database = engine.archive.database
    money = make_money_in(engine.settings, database, engine.ledger, now_ms=engine.now_ms)
    return CreditParts(
        accounts=engine.accounts,
        database=database,
        funding_requests=money.funding_requests,
        charging=money.charging,
        rules=money.rules,
        now_ms=engine.now_ms,
    )


def register_debits(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    debits = Debits(engine.watching, engine.facts, engine.opening, transport)
    add = debits_pb2_grpc.add_DebitServiceServicer_to_server
    serve(add, transport, debits, codecs=DEBIT_CODECS)


def register_decisions(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings = engine.settings
    decisions = Decisions(
        database=engine.archive.database,
        facts=engine.facts,
        masks=make_masks(settings),
        advice=advice_of(settings),
        days=settings.decision_days,
        now_ms=engine.now_ms,
    )
    serve(decisions_pb2_grpc.add_DecisionServiceServicer_to_server, transport, decisions)


def register_directory(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings, source = engine.settings, engine.directory
    url = archive_url(settings.archive_url, settings.data_folder)
    directory = DirectoryService(source, engine.facts, AuditTrail(engine.now_ms))
    transfer = Transfer(source, url, settings.catalogue_folder, engine.now_ms)
    add = directory_pb2_grpc.add_DirectoryServiceServicer_to_server
    serve(add, transport, directory, directory.of_kinds(), transfer)


def register_notices(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    notices = Notices(
        archive=engine.archive,
        facts=engine.facts,
        audit=AuditTrail(engine.now_ms),
        now_ms=engine.now_ms,
        webhook_key=lambda: webhook_key_of(engine.settings),
    )
    serve(notices_pb2_grpc.add_NoticeServiceServicer_to_server, transport, notices)


def register_rates(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings = engine.settings
    url = archive_url(settings.archive_url, settings.data_folder)
    looks = RateLooks(engine.facts, engine.now_ms)
    decks = RateDecks(url, settings.catalogue_folder, engine.reloads.store, engine.now_ms)
    serve(rates_pb2_grpc.add_RateServiceServicer_to_server, transport, looks, decks)


def register_usage(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    settings = engine.settings
    usage = UsageReports(
        database=engine.archive.database,
        facts=engine.facts,
        journal=engine.watching.source,
        advice=advice_of(settings),
        days=settings.decision_days,
        now_ms=engine.now_ms,
    )
    reports = SavedReports(
        engine.archive.database, engine.facts, AuditTrail(engine.now_ms), engine.now_ms
    )
    serve(usage_pb2_grpc.add_UsageServiceServicer_to_server, transport, usage, reports)


def register_server_info(engine: Engine, transport: TransportServer) -> None:
    """Register it."""
    told = server_info(
        engine.settings,
        transport_options(engine.settings),
        transport=transport.name,
        available=available_transports(),
    )
    add = server_info_pb2_grpc.add_ServerInfoServiceServicer_to_server
    serve(add, transport, ServerInfo(told, lambda: engine.store_epoch.number, engine.reloads.store))


# Each registers one service.
_SERVICES: tuple[Callable[[Engine, TransportServer], None], ...] = (
    register_authorization,
    register_credits,
    register_advice,
    register_debits,
    register_decisions,
    register_directory,
    register_rates,
    register_server_info,
    register_access,
    register_notices,
    register_usage,
)


def register_services(
    engine: Engine,
    transport: TransportServer,
    register_more: Callable[[Engine, TransportServer], None],
) -> tuple[str, ...]:
    """Register every service behind the door, health and reflection included; returns their names.

    Raises `KeyError` where a method has no row in the table of roles.
    """
    guarded = guard(engine, transport)
    for register in (*_SERVICES, register_more):
        register(engine, guarded)
    # Both transports offer what generated code asks of grpcio's own server.
    grpcio_like = cast("grpc.aio.Server", guarded)
    health_pb2_grpc.add_HealthServicer_to_server(engine.told, grpcio_like)
    register_reflection(guarded)
    return tuple(guarded.services)


# The kernel spreads connections by chance: two to each process leave few processes without any.
_CONNECTIONS_A_WORKER = 2
_MOST_CONNECTIONS = 16
_MS, _MS_PER_MINUTE = 1_000, 60_000


def server_info(
    settings: Settings, options: TransportOptions, *, transport: str, available: Sequence[str]
) -> pb.GetServerInfoResponse:
    """Describe an engine with these settings that serves with this transport."""
    return pb.GetServerInfoResponse(
        engine_version=_engine_version(),
        contract_versions=["callgate.v1"],
        workers=settings.workers,
        recommended_connections=recommended_connections(settings.workers),
        transport=transport,
        available_transports=available,
        limits=pb.ServerLimits(
            max_message_bytes=options.max_receive_message_bytes,
            max_concurrent_rpcs=options.max_concurrent_streams,
            max_unanswered_questions=MAX_UNANSWERED,
            deadline=_duration(settings.deadline_ms),
            drain_duration=_duration(settings.drain_seconds * _MS),
        ),
    )


def recommended_connections(workers: int) -> int:
    """Say how many connections reach so many processes well."""
    return 1 if workers == 1 else min(_CONNECTIONS_A_WORKER * workers, _MOST_CONNECTIONS)


def _engine_version() -> str:
    """Read the version that was installed; empty in a tree that was not."""
    try:
        return version("callgate")
    except PackageNotFoundError:
        return ""


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def transport_options(settings: Settings) -> TransportOptions:
    """Say what the transport of this engine allows, and whether others share its port."""
    return TransportOptions(
        max_receive_message_bytes=settings.max_message_bytes,
        arrival_timeout_seconds=settings.arrival_seconds,
        max_buffered_bytes_in_all=settings.max_unread_mebibytes * MEBIBYTE,
        max_connections=settings.max_connections,
        max_connections_per_peer=settings.max_connections_per_peer,
        max_calls=settings.max_calls,
        reuse_port=settings.workers > 1,
    )


def _verbs(engine: Engine) -> CallHandlers:
    return assemble_verbs(
        CallServices(
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
