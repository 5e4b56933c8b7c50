"""Writes the table of rooms and floors into docs/architecture.md.

The floors are those of pyproject.toml, a room's meaning is the first sentence of its package. With
--check nothing is written, and the exit status is 1 where the table is not what it should be.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: `python docs/rooms.py` -->", "<!-- to here -->"
FLOORS = "Inside the server, a floor leans on those below it"


def main(arguments: list[str]) -> int:
    """Write the table, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table()}{END}{after}"
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        sys.stderr.write(f"{PAGE.name} is not what the floors say: run 'make rooms'.\n")
        return 1
    return 0


def table() -> str:
    """Make the table, the highest floor first."""
    rows = ["| floor | room | what it is |", "|---|---|---|"]
    levels = floors()
    for number, rooms in zip(range(len(levels), 0, -1), levels, strict=True):
        rows += [f"| {number} | `{room}` | {meaning(room)} |" for room in rooms]
    return "\n".join(rows) + "\n"


def floors() -> list[list[str]]:
    """Read the floors, the highest first."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        one for one in told["tool"]["importlinter"]["contracts"] if one["name"] == FLOORS
    ]
    return [list(_rooms(layer)) for layer in contract["layers"]]


def _rooms(layer: str) -> Iterator[str]:
    for room in layer.split("|"):
        yield room.strip().strip("()")


def meaning(room: str) -> str:
    """Read the first sentence of a package, or of a module."""
    package = ROOT / "server" / room / "__init__.py"
    path = package if package.exists() else ROOT / "server" / f"{room}.py"
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=[.])\s", " ".join(words.split("\n\n")[0].split()))[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
