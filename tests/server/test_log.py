"""A line of the log is one event's, whatever strangers put into it."""

from __future__ import annotations

import io
import logging

import pytest

from server.app.log import _LineFormatter
from server.calls.messages.fields import InvalidRequest
from server.services.credits.fields import note


def test_a_stranger_s_text_neither_begins_a_line_nor_commands_a_terminal() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LineFormatter("%(levelname)s %(message)s"))
    record = logging.LogRecord(
        "x",
        logging.WARNING,
        "f",
        1,
        "Call %s is odd.",
        ("a\x1b[2J\r\nERROR forged\u202e\u200f",),
        None,
    )

    handler.handle(record)

    assert stream.getvalue() == (
        "WARNING Call a\\x1b[2J\\x0d\n    ERROR forged\\x202e\\x200f is odd.\n"
    )


@pytest.mark.parametrize("mark", ["\u061c", "\u200e", "\u202e", "\u2028", "\u2066", "\x07"])
def test_a_note_that_would_turn_writing_round_is_refused_by_its_field(mark: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^note: "):
        note(f"for May{mark}")
