"""The log on the standard error: a line an event, whatever strangers put into it."""

from __future__ import annotations

import logging
import re

from typing_extensions import override

from policy.unseen import CONTROLS

# All but the end of a line.
_CONTROLS = re.compile(rf"(?!\n)[{CONTROLS}]")


class _LineFormatter(logging.Formatter):
    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        """Show control characters by their numbers, and set further lines in: none looks new."""
        text = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", super().formatMessage(record))
        return text.replace("\n", "\n    ")


def log_to_stderr(level: int = logging.INFO, who: str = "") -> None:
    """Begin to log; `who` stands before each message, where several processes share a terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter(f"%(asctime)s %(levelname)s {who}%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
