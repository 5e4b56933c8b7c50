"""What one worker shares with the others behind its address."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from server.workers.channel import Others


@dataclass(slots=True)
class Shared:
    """Which worker this is, where it listens if not by itself, and what the others say."""

    number: int
    listener: socket.socket | None = None
    others: Others = field(default_factory=lambda: Others(True, True, []))
