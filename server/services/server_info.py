"""The ServerInfoService: what an engine is, and how it wants to be called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from google.protobuf.duration_pb2 import Duration

from callgate.v1 import server_info_pb2 as pb
from server.control.stream import MAX_UNANSWERED
from server.errors import Context
from server.observation.metrics import Metrics
from server.settings import Settings
from server.transport import TransportOptions, TransportServer
from server.unary import Unary, serve_unary

SERVICE = pb.DESCRIPTOR.services_by_name["ServerInfoService"].full_name

# The kernel spreads connections by chance: two to each process leave few processes without any.
_CONNECTIONS_A_WORKER = 2
_MOST_CONNECTIONS = 16
_MS = 1_000


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Answers what `server_info.proto` promises, always with the same words."""

    told: pb.GetServerInfoResponse
    metrics: Metrics

    async def get_server_info(
        self, _request: pb.GetServerInfoRequest, _context: Context
    ) -> pb.GetServerInfoResponse:
        """Tell what this engine is."""
        return self.told

    def register(self, target: TransportServer) -> None:
        """Serve all of it."""
        methods = {
            "GetServerInfo": Unary(
                self.get_server_info,
                pb.GetServerInfoRequest.FromString,
                pb.GetServerInfoResponse.SerializeToString,
            )
        }
        serve_unary(target, SERVICE, methods, count_failure=self.metrics.count_failure)


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
