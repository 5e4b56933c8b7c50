"""The connection to the proxy's evapi module: JSON in netstrings, opened again for ever."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
# More than any message of ours; a length beyond it is no netstring.
MAX_MESSAGE_BYTES = 65_536
_MAX_LENGTH_DIGITS = 5

_log = logging.getLogger("callgate.sidecar")


class Evapi:
    """Hears the proxy and speaks to it. `on_message` and `on_open` are set before it runs."""

    on_message: Callable[[Any], None]
    on_open: Callable[[], None]

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._writer: asyncio.StreamWriter | None = None

    def send(self, message: Any) -> bool:
        """Say something; False where the proxy cannot be reached now."""
        if self._writer is None or self._writer.is_closing():
            return False
        payload = json.dumps(message).encode()
        self._writer.write(b"%d:%b," % (len(payload), payload))
        return True

    async def run(self) -> None:
        """Stay connected, until cancelled."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(self._host, self._port)
            except OSError as error:
                _log.info("The proxy cannot be reached: %s", error)
            else:
                _log.info("Connected to the proxy at %s:%d.", self._host, self._port)
                pause_seconds = FIRST_PAUSE_SECONDS
                self.on_open()
                await self._listen(reader)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        assert self._writer is not None
        try:
            while True:
                self.on_message(json.loads(await _netstring(reader)))
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            _log.warning("The connection to the proxy is opened again: %s", error)
        finally:
            self._writer.close()
            self._writer = None


async def _netstring(reader: asyncio.StreamReader) -> bytes:
    digits = (await reader.readuntil(b":"))[:-1]
    if not digits.isdigit() or len(digits) > _MAX_LENGTH_DIGITS or int(digits) > MAX_MESSAGE_BYTES:
        raise ValueError("this is no netstring")
    payload = await reader.readexactly(int(digits) + 1)
    return payload[:-1]
