"""Ending what tests start: when a test says so, and when a run of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from server.storage.redis.embedded import die_with_parent


def die_with_us() -> Callable[[], None] | None:
    """What a child does first, to end with this process.

    None in any thread but the main one: the system ends a child with the thread that started it.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return die_with_parent(os.getpid())


class Mortal:
    """A process that a test may freeze, kill and run again."""

    process: subprocess.Popen[bytes]

    def run_process(self, command: Sequence[str]) -> None:
        """Run it until it is killed, or this process ends."""
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_us(),  # noqa: PLW1509 -- It makes one system call.
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it hang, as if its machine were gone, while the block lasts."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
