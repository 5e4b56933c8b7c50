"""The processes of an engine that has several workers."""

from __future__ import annotations

from pathlib import Path

from engines import Engine


def workers_of(engine: Engine) -> dict[int, int]:
    """Find the workers of an engine: their processes, by number."""
    parent = engine.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = {}
    for child in children:
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"worker" in words:
            found[int(words[words.index(b"worker") + 1])] = int(child)
    return found
