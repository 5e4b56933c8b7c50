"""The ServerInfoService: what an engine is, and how it wants to be called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from callgate.v1 import server_info_pb2 as pb
from server.calls.messages.fields import InvalidRequest
from server.facts.reloads import ask_for_reload, processes, wait_for_reload
from server.storage.redis import Store
from server.transport.contract import Context

MAX_WAIT_SECONDS, MAX_LOSING = 60, 100
_MS = 1_000


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Answers what `server_info.proto` promises, from memory."""

    told: pb.GetServerInfoResponse
    store_epoch: Callable[[], int]
    store: Store

    async def get_server_info(
        self, _request: pb.GetServerInfoRequest, _context: Context
    ) -> pb.GetServerInfoResponse:
        """Tell what this engine is."""
        told = pb.GetServerInfoResponse(store_epoch=self.store_epoch())
        told.MergeFrom(self.told)
        return told

    async def reload_facts(
        self, request: pb.ReloadFactsRequest, _context: Context
    ) -> pb.ReloadFactsResponse:
        """Have every process read its files, and wait for them as long as is asked."""
        if len(request.losing) > MAX_LOSING:
            raise InvalidRequest("losing", f"at most {MAX_LOSING} names")
        wait_seconds = request.wait_duration.ToMilliseconds() / _MS
        if not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
            raise InvalidRequest("wait_duration", f"from 0 to {MAX_WAIT_SECONDS} s")
        number = await ask_for_reload(self.store, request.losing)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await wait_for_reload(self.store, number)
        served = [
            pb.ServedFacts(
                done=each.done >= number,
                catalogue_version=each.catalogue_version,
                directory_version=each.directory_version,
                problems=each.problems if each.done >= number else (),
            )
            for each in await processes(self.store)
        ]
        return pb.ReloadFactsResponse(done=all(one.done for one in served), processes=served)
