"""A line of the log is one event's, whatever strangers put into it."""

from __future__ import annotations

import io
import logging

from server.app.log import _LineFormatter


def test_a_stranger_s_text_neither_begins_a_line_nor_commands_a_terminal() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LineFormatter("%(levelname)s %(message)s"))
    record = logging.LogRecord(
        "x", logging.WARNING, "f", 1, "Call %s is odd.", ("a\x1b[2J\r\nERROR forged\u202e",), None
    )

    handler.handle(record)

    assert stream.getvalue() == ("WARNING Call a\\x1b[2J\\x0d\n    ERROR forged\\x202e is odd.\n")
