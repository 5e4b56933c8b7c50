"""A store that answers only so much a second, as one that is worked harder than it can bear."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK_BYTES = 512


@contextmanager
def slowed(store: Path, path: Path, bytes_per_second: float) -> Iterator[str]:
    """Listen at `path` for a store's clients while the block lasts; yield the URL.

    Each connection gets its replies at `bytes_per_second`, in their order; commands pass at once.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        opened: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    behind = socket.socket(socket.AF_UNIX)
                    behind.connect(str(store))
                    opened.extend((client, behind))
                    for ends, rate in (((client, behind), None), ((behind, client), True)):
                        pace = bytes_per_second if rate else None
                        threading.Thread(target=_pass_on, args=(*ends, pace), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"unix://{path}"
        finally:
            for one in (listener, *opened):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def _pass_on(source: socket.socket, target: socket.socket, pace: float | None) -> None:
    due = time.monotonic()
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES if pace else 65_536):
            target.sendall(data)
            if pace:
                due = max(due, time.monotonic() - 0.05) + len(data) / pace
                time.sleep(max(0.0, due - time.monotonic()))
        target.shutdown(socket.SHUT_WR)
