"""What is wrong in a file of facts: where it stands and what would be right."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

# A wrong column in a long table is told once a row; nobody reads further than this.
MAX_PROBLEMS = 500


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `line` counts from 1; 0 where the whole file is meant."""

    file: str
    line: int
    field: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.field}: {self.text}" if self.field else f"{where}: {self.text}"


class InvalidFacts(Exception):
    """The files cannot be used as they are; nothing of them was taken over."""

    def __init__(self, problems: tuple[Problem, ...], more: int = 0) -> None:
        lines = [str(problem) for problem in problems]
        if more:
            lines.append(f"... and {more} more")
        super().__init__("\n".join(lines))
        self.problems = problems
        self.more = more


@dataclass(slots=True)
class Problems:
    """Collects the mistakes of all files, so that one reading tells them all."""

    _found: list[Problem] = field(default_factory=list)
    _more: int = 0

    def add(  # noqa: PLR0917 - File, line, field, text: the order in which they are told.
        self, file: Path, line: int, field: str, text: str
    ) -> None:
        """Note one mistake; beyond `MAX_PROBLEMS` they are only counted."""
        if len(self._found) < MAX_PROBLEMS:
            self._found.append(Problem(str(file), line, field, text))
        else:
            self._more += 1

    def extend(self, others: Problems) -> None:
        """Take over what was noted elsewhere."""
        room = MAX_PROBLEMS - len(self._found)
        self._found += others._found[:room]
        self._more += others._more + max(0, len(others._found) - room)

    @property
    def count(self) -> int:
        """How many mistakes were noted."""
        return len(self._found) + self._more

    def raise_if_any(self) -> None:
        """Raise `InvalidFacts` with all that was noted, in the order of files and lines."""
        if self._found:
            raise InvalidFacts(tuple(sorted(self._found)), self._more)
