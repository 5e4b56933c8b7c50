"""The ServerInfoService: what an engine is, and how it wants to be called."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import server_info_pb2 as pb
from server.observability.metrics import Metrics
from server.services.methods import Unary, serve_unary
from server.transport import TransportServer
from server.transport.contract import Context

SERVICE = pb.DESCRIPTOR.services_by_name["ServerInfoService"].full_name


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
