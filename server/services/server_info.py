"""The ServerInfoService: what an engine is, and how it wants to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callgate.v1 import server_info_pb2 as pb
from server.transport.contract import Context


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Answers what `server_info.proto` promises, from memory."""

    told: pb.GetServerInfoResponse
    store_epoch: Callable[[], int]

    async def get_server_info(
        self, _request: pb.GetServerInfoRequest, _context: Context
    ) -> pb.GetServerInfoResponse:
        """Tell what this engine is."""
        told = pb.GetServerInfoResponse(store_epoch=self.store_epoch())
        told.MergeFrom(self.told)
        return told
