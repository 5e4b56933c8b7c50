"""What the HTTP listener answers beside metrics and posted events: every method there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import grpc
from typing_extensions import override

from server.services import plain_face
from server.transport import connect_wire as wire
from server.transport.connect import ConnectServer
from server.transport.http.exchange import Answered, Asked, Front

_HELLO = (
    b"callgate listens here: POST /callgate.v1.SERVICE/METHOD with JSON or protobuf (Connect); "
    b"/ask, /report, /release; /metrics.\n"
)
_FORBIDDEN = 403
_CORS_SECONDS = 600


@dataclass(slots=True)
class HttpFront(Front):
    """Leads each request to who answers it.

    `origins` are those whose pages may ask; `token_prefix` is the path behind which a caller may
    give its token as the next part, empty for none. `methods` is there once all is registered.
    """

    origins: frozenset[str]
    token_prefix: str
    methods: ConnectServer | None = None

    @override
    async def answer(self, asked: Asked) -> Answered | None:
        """Answer a request; None where the answer was begun and is over."""
        origin = asked.headers.get("origin", "")
        if origin and not self._is_welcome(origin, asked):
            text = f"origin: pages of {origin[:128]} may not ask here (http_origins)"
            return wire.failed(grpc.StatusCode.PERMISSION_DENIED, text, status=_FORBIDDEN)
        if origin and asked.method == "OPTIONS":
            return Answered(204, headers=_preflight(origin))
        answered = await self._lead(self._with_token(asked))
        if answered is None or origin not in self.origins:
            return answered
        vary = ", ".join(filter(None, (answered.headers.get("Vary"), "Origin")))
        allowed = {"Access-Control-Allow-Origin": origin, "Vary": vary}
        headers = {**answered.headers, **allowed}
        return dataclasses.replace(answered, headers=headers)

    async def _lead(self, asked: Asked) -> Answered | None:
        if asked.path == "/" and asked.method in {"GET", "HEAD"}:
            return Answered(200, _HELLO, {"Content-Type": "text/plain"})
        if self.methods is None:
            text = "the engine is starting; ask again in a second"
            headers = {"Retry-After": "1"}
            return wire.failed(grpc.StatusCode.UNAVAILABLE, text, headers=headers)
        if asked.path in plain_face.PATHS:
            return await plain_face.answer(self.methods, asked)
        return await self.methods.answer(asked)

    def _is_welcome(self, origin: str, asked: Asked) -> bool:
        """Tell whether a page may ask: one of those set, or our own by an address.

        By a name anybody's page could be ours: whoever owns the name may let it lead here.
        """
        if origin in self.origins:
            return True
        try:
            where = urlsplit(origin)
        except ValueError:  # Of brackets that hold no address.
            return False
        return where.netloc == asked.headers.get("host") and _is_address(where.hostname or "")

    def _with_token(self, asked: Asked) -> Asked:
        if not self.token_prefix or not asked.path.startswith(self.token_prefix):
            return asked
        token, _, path = asked.path.removeprefix(self.token_prefix).partition("/")
        headers = {**asked.headers, "authorization": f"Bearer {unquote(token)}"}
        return dataclasses.replace(asked, path=f"/{path}", headers=headers)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _preflight(origin: str) -> Mapping[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "authorization, connect-protocol-version, "
        "connect-timeout-ms, content-type, ignore-unknown-fields, last-event-id",
        "Access-Control-Max-Age": str(_CORS_SECONDS),
        "Vary": "Origin",
    }
