"""What waits to be written to a bridge: answers in their order, of pushes the newest of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

from callgate.v1 import authorization_pb2 as pb
from server.services.bridge_stream.messages import written_item
from server.services.errors import BridgeTooSlow

# Items of one message.
MAX_ITEMS = 256
# Pushes that wait, of different calls or kinds; a newer push takes the place of an older one.
MAX_PUSHES = 10_000
# Answers that wait before the next message is read.
MAX_ANSWERS = 2_048


class Outbox:
    """Bounded: answers by the questions let in, pushes by `MAX_PUSHES`."""

    def __init__(self) -> None:
        self._answers: deque[tuple[bytes, Callable[[], None] | None]] = deque()
        self._pushes: dict[tuple[str, str, str], pb.ControlItem] = {}
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closing = False

    def answer(self, item: bytes, taken: Callable[[], None] | None = None) -> None:
        """Add an answer, as it is written; `taken` is called when it is about to be written."""
        self._answers.append((item, taken))
        self._filled.set()

    def push(self, item: pb.ControlItem, tenant_id: str, call_id: str) -> None:
        """Add a push; it replaces one of its kind for its call. Raises `BridgeTooSlow`."""
        kind = item.WhichOneof("item")
        assert kind is not None
        if len(self._pushes) >= MAX_PUSHES:
            raise BridgeTooSlow
        self._pushes[kind, tenant_id, call_id] = item
        self._filled.set()

    def close(self) -> None:
        """Say that no more will come."""
        self._closing = True
        self._filled.set()

    def beat(self) -> None:
        """Let a message go out although nothing may stand in it."""
        self._filled.set()

    async def take(self) -> list[bytes] | None:
        """Wait for something, and take at most a message full; None after the last.

        Answers go first: somebody waits for them. Nothing at all is a heartbeat.
        """
        if not self._answers and not self._pushes:
            self._filled.clear()
            if self._closing:
                return None
            await self._filled.wait()
        # One turn of the loop: what is answered in it shares the message. Nobody waits for it.
        await asyncio.sleep(0)
        items: list[bytes] = []
        while self._answers and len(items) < MAX_ITEMS:
            item, taken = self._answers.popleft()
            items.append(item)
            if taken is not None:
                taken()
        keys = list(islice(self._pushes, MAX_ITEMS - len(items)))
        items += [written_item(self._pushes.pop(key)) for key in keys]
        self._emptied.set()
        return None if self._closing and not items else items

    async def room(self) -> None:
        """Wait until few enough answers wait."""
        while len(self._answers) >= MAX_ANSWERS:
            self._emptied.clear()
            await self._emptied.wait()
