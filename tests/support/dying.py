"""Ending what tests start, when a run of them is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from server.store.embedded import die_with_parent


def die_with_us() -> Callable[[], None] | None:
    """What a child does first, to end with this process.

    None in any thread but the main one: the system ends a child with the thread that started it.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return die_with_parent(os.getpid())
