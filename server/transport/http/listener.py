"""The one HTTP listener of a process: what Prometheus reads, and what others post to us."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

if TYPE_CHECKING:
    from aiohttp import web

    from server.transport.http.exchange import Front
    from server.transport.tls import Certificates

MAX_BODY_BYTES = 64 * 1_024
# From the headers of a post to the end of its body.
BODY_SECONDS = 5.0
# Connections of one listener; further ones are closed at once.
MAX_CONNECTIONS = 1_000
# Posts that are worked on at once; who comes on top is asked to try again.
MAX_POSTS_AT_ONCE = 32
RETRY_SECONDS = 5
# From the opening of a connection, or the last answer on it, to the end of the next headers.
HEADER_SECONDS = 10.0
_IDLE_SECONDS = 30.0
_STOP_SECONDS = 2.0
_BACKLOG = 128
# For the rest of a body that was refused, so that who still sends it reads why.
_REFUSED_BODY_SECONDS = 1.0
_BAD_REQUEST, _TIMEOUT, _TOO_LARGE, _BUSY = 400, 408, 413, 503

_log = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a line is of a bug; others quote what strangers sent, tokens among it."""
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_requests_log = logging.getLogger(f"{__name__}.requests")
_requests_log.addFilter(_is_ours)


class _Full(asyncio.Protocol):
    """Closes a connection that is one too many."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


@dataclass(frozen=True, slots=True)
class Posted:
    """What somebody posted. Names of headers are in lower case; nobody has checked anything yet."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to a post: an HTTP status, and a line for whoever looks."""

    status: int
    text: str = ""


Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"
PostRoute = Callable[[Posted], Awaitable[Reply]]


class HttpListener:
    """Serves `GET /metrics` and the given POST routes, on the loop that starts it.

    A route gets a body of at most `MAX_BODY_BYTES`; what it raises is logged and answered 500, so
    that whoever posted tries again. A port that is shared with other workers is one that each
    serves; its page then says what is to be said of their processes. With certificates it speaks
    HTTPS.

    Attributes:
        front: Answers whatever else is asked, within limits of its own; set before the start.
    """

    def __init__(
        self,
        address: Address,
        page: Collector,
        posts: Mapping[str, PostRoute] | None = None,
        *,
        is_shared: bool = False,
        certificates: Certificates | None = None,
    ) -> None:
        self._address = address
        self.front: Front | None = None
        self._certificates = certificates
        self._posts = dict(posts or {})
        self._registry = CollectorRegistry()
        self._registry.register(page)
        if not is_shared:
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        self._is_shared = is_shared
        self._working = 0
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._busy: set[Any] = set()
        # Since when the next headers are waited for, by connection.
        self._waiting_since: dict[Any, float] = {}

    async def start(self) -> int:
        """Listen, and return the port. Raises OSError where it is taken."""
        from aiohttp import web

        from server.transport.http.asking import asking

        @web.middleware
        async def counted_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._count_in(request, handler)

        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[counted_in])
        application.router.add_get("/metrics", self._metrics)
        for path, route in self._posts.items():
            application.router.add_post(path, self._handler(route))
        if self.front is not None:
            application.router.add_route("*", "/{path:.*}", asking(self.front))
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=_requests_log,
            lingering_time=_REFUSED_BODY_SECONDS,
            auto_decompress=False,
            keepalive_timeout=_IDLE_SECONDS,
            shutdown_timeout=_STOP_SECONDS,
        )
        await self._runner.setup()
        context = self._certificates.following() if self._certificates else None
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            self._address.host,
            self._address.port,
            backlog=_BACKLOG,
            reuse_port=self._is_shared or None,
            ssl=context,
            ssl_handshake_timeout=HEADER_SECONDS if context else None,
        )
        self._watching = asyncio.create_task(self._end_silent_ones())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self) -> asyncio.BaseProtocol:
        assert self._runner is not None
        assert self._runner.server is not None
        if len(self._runner.server.connections) >= MAX_CONNECTIONS:
            return _Full()
        return self._runner.server()

    async def stop(self) -> None:
        """Listen no longer; posts that are worked on have two seconds more."""
        if self._watching is not None:
            self._watching.cancel()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _count_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note which connections a request has arrived on, as long as it is worked on."""
        self._busy.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._busy.discard(request.protocol)
            self._waiting_since[request.protocol] = asyncio.get_running_loop().time()

    async def _end_silent_ones(self) -> None:
        """Close connections on which the headers of a request do not arrive."""
        assert self._runner is not None
        assert self._runner.server is not None
        while True:
            await asyncio.sleep(HEADER_SECONDS / 4)
            now = asyncio.get_running_loop().time()
            since = {
                one: self._waiting_since.get(one, now) for one in self._runner.server.connections
            }
            self._waiting_since = since
            for one in since.keys() - self._busy:
                if now - since[one] >= HEADER_SECONDS:
                    one.force_close()

    async def _metrics(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        # In a thread, because it reads files of the system and nobody waits for it.
        page = await asyncio.to_thread(generate_latest, self._registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _handler(self, route: PostRoute) -> Callable[[web.Request], Awaitable[web.Response]]:
        from aiohttp import web

        async def handle(request: web.Request) -> web.Response:
            if self._working >= MAX_POSTS_AT_ONCE:
                return web.Response(status=_BUSY, headers={"Retry-After": str(RETRY_SECONDS)})
            self._working += 1
            try:
                reply = await self._answer(route, request)
            finally:
                self._working -= 1
            return web.Response(status=reply.status, text=reply.text)

        return handle

    async def _answer(self, route: PostRoute, request: web.Request) -> Reply:
        from aiohttp import web

        if request.headers.get("Content-Encoding", "identity") != "identity":
            # What a signature covers are the bytes as they are sent.
            return Reply(_BAD_REQUEST, "the body is encoded")
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return Reply(_TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
        except TimeoutError:
            return Reply(_TIMEOUT, f"not sent within {BODY_SECONDS:.0f} s")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return await route(Posted(headers, body))


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address (or "localhost") and a port to listen on; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    def shown(self, port: int) -> str:
        """Write it as a caller needs it, with the port that was free."""
        return str(dataclasses.replace(self, port=port))

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
