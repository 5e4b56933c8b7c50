"""The ServerInfoService: what an engine is, and how it wants to be called."""

from __future__ import annotations

from dataclasses import dataclass

from callgate.v1 import server_info_pb2 as pb
from server.transport.contract import Context


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Answers what `server_info.proto` promises, always with the same words."""

    told: pb.GetServerInfoResponse

    async def get_server_info(
        self, _request: pb.GetServerInfoRequest, _context: Context
    ) -> pb.GetServerInfoResponse:
        """Tell what this engine is."""
        return self.told
