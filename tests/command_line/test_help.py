"""Every example of every help text is a line of its own, and a command that runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from callgate.command.commands import callgate

WIDTH = 300
SHELL = {">", "|", "<"}
# Nobody listens there: whatever is right about a command, its end is that nobody answers.
NOBODY = {"CALLGATE_ADDRESS": "127.0.0.1:9"}
WRONG_USAGE, NO_ANSWER = 2, 4


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("callgate", *path)), command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, *path, name)


def help_of(path: str, command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name=path, terminal_width=WIDTH))


ALL = dict(commands(callgate))
EXAMPLES = sorted(
    {
        line.strip()
        for path, command in ALL.items()
        for line in help_of(path, command).splitlines()
        if line.strip().startswith("callgate ")
    }
)


@pytest.mark.parametrize("path", ALL)
def test_a_help_text_shows_no_mark_of_its_makers(path: str) -> None:
    told = help_of(path, ALL[path])

    assert "\\b" not in told
    assert all(
        line.count("callgate ") <= 1 for line in told.splitlines() if "callgate -" not in line
    )


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 18


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_run_as_it_stands(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("numbers.csv").write_text("number\n+18005550100\n")
    Path("users.csv").write_text("user_id,usage_location\nadele,US\n")
    Path("contoso.toml").write_text('id = "contoso"\n')
    for deck in ("deck.csv", "deck.xlsx"):
        Path(deck).write_text("Dial Code,Rate\n44,0.01\n")
    Path("november.csv").write_text("id,to,start,seconds\n")
    Path("carrier.toml").write_text(
        'tenant = "contoso"\ngateway = "carrier"\nkind = "user"\naccount = "adele"\n'
        '[columns]\ncall = "id"\nto = "to"\nstart = "start"\nseconds = "seconds"\n'
    )
    _, *words = shlex.split(example, comments=True)
    words = words[: next((at for at, word in enumerate(words) if word in SHELL), len(words))]

    result = CliRunner().invoke(callgate, words, input="y\n" * 3, env=NOBODY)

    assert result.exit_code == NO_ANSWER, result.output
