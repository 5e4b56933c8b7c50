"""One request and its answer over HTTP/1.1, as who answers it sees them, whoever speaks HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from server.transport.peer import Peer

Send = Callable[[bytes], Awaitable[None]]


class BodyRefused(Exception):
    """The body of a request cannot be taken; `status` is HTTP's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose body is still to be read. Names of headers are in lower case.

    Attributes:
        path: As it was sent, escapes and all.
        query: What follows the `?`, as it was sent.
        is_private: Nobody on the way can read it: TLS, or this very machine.
        read: Reads the body, at most so many bytes in at most so many seconds. Raises BodyRefused.
        begin: Begins an answer that has no end yet; what it returns sends more of it, and raises
            ConnectionError once the client has gone.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: Peer
    is_private: bool
    read: Callable[[int, float], Awaitable[bytes]]
    begin: Callable[[Mapping[str, str]], Awaitable[Send]]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer; of one that was begun by `begin` nothing is left to say."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Front(Protocol):
    """Answers what nobody else on the listener does."""

    async def answer(self, asked: Asked) -> Answered | None:
        """Answer a request; None where that was begun and is over."""
