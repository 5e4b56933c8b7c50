"""Lines that anybody can cause are written a few times a minute; then only their number."""

from __future__ import annotations

import logging

import pytest

from server.transport.seldom import MOST_LINES, SECONDS, Seldom


def test_a_flood_of_lines_is_a_few_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    seldom = Seldom(logging.getLogger("flooded"), lambda: now)

    for number in range(50_000):
        seldom.tell(logging.WARNING, "A line about %d.", number)
    seldom.tell(logging.WARNING, "Another kind.")
    now = SECONDS
    seldom.tell(logging.WARNING, "A line about %d.", 50_000)

    lines = [record.getMessage() for record in caplog.records]
    assert lines[:MOST_LINES] == [f"A line about {number}." for number in range(MOST_LINES)]
    left_out = 50_000 - MOST_LINES
    assert lines[MOST_LINES:] == [
        "Another kind.",
        f"A line about 50000. ({left_out} more lines like this were left out before)",
    ]
