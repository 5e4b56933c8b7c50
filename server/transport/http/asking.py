"""From aiohttp's requests to what a front is asked, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address

from aiohttp import web

from server.transport import peer
from server.transport.http.exchange import Answered, Asked, BodyRefused, Front, Send

_BAD_REQUEST, _TIMEOUT, _TOO_LARGE = 400, 408, 413


def asking(front: Front) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Make a handler that lets *front* answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        exchange = _Exchange(request)
        # In a task of its own: what it learns of who asks is not for the connection's next request.
        answered = await asyncio.create_task(front.answer(exchange.asked()))
        if exchange.begun is not None:
            return exchange.begun
        assert answered is not None, "what was not begun has an answer"
        return exchange.whole(answered)

    return handle


class _Exchange:
    """One request; `begun` is an answer that was sent bit by bit."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.begun: web.StreamResponse | None = None

    def asked(self) -> Asked:
        request = self._request
        assert request.transport is not None
        who = peer.describe(request.transport)
        path, _, query = request.raw_path.partition("?")
        return Asked(
            method=request.method,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            peer=who,
            is_private=bool(who.auth_context) or _is_loopback(request.remote),
            read=self._read,
            begin=self._begin,
        )

    def whole(self, answered: Answered) -> web.Response:
        response = web.Response(
            status=answered.status, body=answered.body, headers=dict(answered.headers)
        )
        if not self._request.content.is_eof():
            # Nobody reads the rest of it.
            response.force_close()
        return response

    async def _read(self, most_bytes: int, seconds: float) -> bytes:
        told = self._request.content_length
        if told is not None and told > most_bytes:
            raise _too_large(most_bytes)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                async for part in self._request.content.iter_any():
                    body += part
                    if len(body) > most_bytes:
                        raise _too_large(most_bytes)
        except TimeoutError:
            raise BodyRefused(
                _TIMEOUT, f"body: was not sent within {seconds:.0f} s; send it at once"
            ) from None
        except web.RequestPayloadError:
            raise BodyRefused(
                _BAD_REQUEST, "body: breaks HTTP's own rules for chunks or lengths; send it whole"
            ) from None
        return bytes(body)

    async def _begin(self, headers: Mapping[str, str]) -> Send:
        self.begun = web.StreamResponse(headers=dict(headers))
        await self.begun.prepare(self._request)
        return self.begun.write


def _too_large(most_bytes: int) -> BodyRefused:
    return BodyRefused(
        _TOO_LARGE, f"body: is larger than {most_bytes} bytes (max_message_bytes); send less"
    )


def _is_loopback(remote: str | None) -> bool:
    try:
        return remote is not None and ip_address(remote).is_loopback
    except ValueError:
        return False
