"""Writes the tables of the docs that are made from the code: rooms and floors, and the reasons.

The floors are those of pyproject.toml, a room's meaning is the first sentence of its package. With
--check nothing is written, and the exit status is 1 where a table is not what it should be.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- made by `make tables` -->", "<!-- to here -->"
FLOORS = "Inside the server, a floor leans on those below it"

sys.path.insert(0, str(ROOT))

from policy.reasons import Reason  # noqa: E402 - it is found only now


def main(arguments: list[str]) -> int:
    """Write the tables, or check them."""
    stale = []
    for name, rows in (("architecture.md", rooms()), ("glossary.md", reasons())):
        path = ROOT / "docs" / name
        page = path.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        wanted = "\n".join((before + BEGIN, *rows, END + after))
        if page != wanted:
            stale.append(name)
        if "--check" not in arguments:
            path.write_text(wanted, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"Not what the code says: {', '.join(stale)}; run 'make tables'.\n")
        return 1
    return 0


def reasons() -> Iterator[str]:
    """Make the glossary's table, in the order of precedence."""
    yield "| reason | meaning | SIP | Q.850 |"
    yield "|---|---|---|---|"
    for reason in Reason:
        told = reason.suggestion
        yield f"| `{reason.name}` | {reason.meaning} | {told.sip_status} | {told.q850_cause} |"


def rooms() -> Iterator[str]:
    """Make the table of rooms, the highest floor first."""
    yield "| floor | room | what it is |"
    yield "|---|---|---|"
    levels = floors()
    for number, level in zip(range(len(levels), 0, -1), levels, strict=True):
        for room in level:
            yield f"| {number} | `{room}` | {meaning(room)} |"


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
