"""Texts of strangers command neither a terminal nor a spreadsheet."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from callgate.command.engine import NotAccepted
from callgate.command.terminal import harmless, read_cell, write_cell

COMMANDS = Path(__file__).parents[2] / "callgate" / "command"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\rb\x08\x7f", "a\\x0db\\x08\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edef", "abc\\x202edef"),
        ("two\nlines\tand a tab, \u00e8", "two\nlines\tand a tab, \u00e8"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert NotAccepted(text).format_message() == shown


@pytest.mark.parametrize("path", sorted(COMMANDS.glob("*.py")), ids=lambda path: path.stem)
def test_no_command_prints_past_that(path: Path) -> None:
    """`click.echo` is for what the commands write themselves: one line that is drawn anew."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    printed = [
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func) in {"click.echo", "click.secho", "print", "sys.stdout.write"}
    ]

    assert all("\\x1b[K" in one for one in printed) or path.stem == "terminal"


@pytest.mark.parametrize("text", ['=HYPERLINK("x")', "+1+1|calc", "@x", "'=x", "+18005550100"])
def test_a_cell_of_a_table_is_no_formula(text: str) -> None:
    assert read_cell(write_cell(text)) == text
    assert write_cell(text)[0] in "'+"
