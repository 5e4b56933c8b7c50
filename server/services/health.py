"""The standard health service, whose watchers never hold anybody up: not changes, not a drain."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from typing_extensions import override

from server.observability.ledger_health import LedgerHealth

LEDGER_SERVICE = "callgate.ledger"
# Serving once the accounts of all tenants are open.
ACCOUNTS_SERVICE = "callgate.accounts"
# Watches that one connection may have at once.
MOST_WATCHES = 100
# The clients of a unix socket all have one name: none of them is told from another.
_NAMELESS = "unix:"
# Watchers that are told of a change in one turn of the loop.
WOKEN_AT_ONCE = 64

# The messages of `List` are newer than their hints.
_WITH_LIST: Any = pb

# The generated base is for servicers of both kinds; its hints are those of neither.
_Context = grpc.aio.ServicerContext[Any, Any]


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers `grpc.health.v1.Health`.

    The servicer that comes with grpcio will not do: a watcher of it that does not read holds up
    every change, and one that does holds up the drain for as long as that may last.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._statuses: dict[str, int] = {}
        self._others: dict[str, bool] = {}
        # Who waits for a change, and how many watches each connection has.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._watchers: Counter[str] = Counter()
        self._draining = False
        self._lets_go = False

    def tell(self, service: str, *, serving: bool) -> None:
        """Say whether a service serves; once a drain has begun nothing does."""
        if not self._draining:
            self._statuses[service] = _status(serving)
            self._wake()

    def tell_of_others(self, service: str, *, serving: bool) -> None:
        """Say whether a service serves in every other process behind the same address."""
        if self._others.get(service, True) != serving:
            self._others[service] = serving
            self._wake()

    def warn(self) -> None:
        """Say NOT_SERVING for everything from now on; watchers stay."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, _status(serving=False))
        self._wake()

    def drain(self) -> None:
        """Say NOT_SERVING for everything and let every watcher go who has been told so."""
        self._lets_go = True
        self.warn()

    @override
    async def Check(
        self, request: pb.HealthCheckRequest, context: _Context
    ) -> pb.HealthCheckResponse:
        """Tell the health of one service now; NOT_FOUND for one that is not known."""
        status = self._status_of(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "the service is not known")
        return pb.HealthCheckResponse(status=status)

    async def List(  # noqa: N802 - the proto's name.
        self, _request: Any, _context: _Context
    ) -> Any:
        """Tell the health of every service that is known."""
        statuses = {name: self._status_of(name) for name in self._statuses}
        return _WITH_LIST.HealthListResponse(
            statuses={name: pb.HealthCheckResponse(status=one) for name, one in statuses.items()}
        )

    @override
    async def Watch(
        self, request: pb.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        """Tell the health of one service, now and at each change, until the drain.

        Where nothing changes for long it is told again, so that no proxy takes the stream for dead.
        """
        peer = context.peer()
        if self._watchers[peer] >= MOST_WATCHES and not peer.startswith(_NAMELESS):
            text = f"one connection may watch health {MOST_WATCHES} times at once; end some first"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._watchers[peer] += 1
        told = None
        try:
            while True:
                status = self._status_of(request.service)
                if status is None:
                    status = pb.HealthCheckResponse.SERVICE_UNKNOWN
                if status != told:
                    yield pb.HealthCheckResponse(status=status)
                    told = status
                elif self._lets_go:
                    return
                elif not await self._changes():
                    told = None
        finally:
            self._watchers[peer] -= 1
            if self._watchers[peer] <= 0:
                del self._watchers[peer]

    async def _changes(self) -> bool:
        """Wait for a change; False where none came for long."""
        change = asyncio.get_running_loop().create_future()
        self._waiting[change] = None
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                await change
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(change, None)
        return True

    def _status_of(self, service: str) -> int | None:
        own = self._statuses.get(service)
        if own is None or self._others.get(service, True):
            return own
        return _status(serving=False)

    def _wake(self) -> None:
        woken, self._waiting = list(self._waiting), {}
        self._wake_some(woken)

    def _wake_some(self, woken: list[asyncio.Future[None]]) -> None:
        for change in woken[:WOKEN_AT_ONCE]:
            if not change.done():
                change.set_result(None)
        if len(woken) > WOKEN_AT_ONCE:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._wake_some, woken[WOKEN_AT_ONCE:])


def _status(serving: bool) -> int:
    status = pb.HealthCheckResponse
    return status.SERVING if serving else status.NOT_SERVING


__all__ = ["ACCOUNTS_SERVICE", "LEDGER_SERVICE", "HealthService", "LedgerHealth"]
