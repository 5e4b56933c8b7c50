"""What was asked of an engine: read back, and asked again of another one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

RECORDING_FILE = "recording.jsonl"
_MS = 1_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One question and what became of it: `answer`, or `error` with the reason of the failure."""

    at_ms: int
    method: str
    question: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def read_recording(path: Path) -> list[Recorded]:
    """Read a recording, the oldest question first; none yet is an empty one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [Recorded(**json.loads(line)) for line in text.splitlines()]
