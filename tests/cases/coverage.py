"""Which of the 86 decision cases are covered, by which rows, and which wait for a later capability.

Exits with 1 where a case has no row, or a reason has none that expects it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from case_rows import CaseRow, read_rows
from policy.reasons import Reason

NUMBERS = (
    *(str(number) for number in range(1, 57)),
    "56b",
    "56c",
    *(str(number) for number in range(57, 85)),
)
# What comes after the decision: only there may a case wait.
LATER_CAPABILITIES = frozenset({"money in", "the life of a call", "notices", "usage records"})


# The number of rows that are of none of the cases.
BEYOND = "extra"


def missing_cases(rows: tuple[CaseRow, ...]) -> list[str]:
    """List the cases that no row names."""
    named = {row.number for row in rows}
    return [number for number in NUMBERS if number not in named]


def missing_reasons(rows: tuple[CaseRow, ...]) -> list[str]:
    """List the reasons that no played row expects."""
    expected = {row.content["expect"].get("refusal") for row in rows if not row.later}
    return [reason.name for reason in Reason if reason.name not in expected]


def main() -> int:
    """Print the table."""
    rows = read_rows()
    by_number: defaultdict[str, list[CaseRow]] = defaultdict(list)
    for row in rows:
        by_number[row.number].append(row)
    for number in (*NUMBERS, BEYOND):
        for row in by_number[number]:
            where = f"later: {row.later}" if row.later else f"{row.file} {row.row_id}"
            print(f"{number:>4}  {where:<32} {row.title}")
    _print_summary(rows, by_number)
    return 1 if missing_cases(rows) or missing_reasons(rows) else 0


def _print_summary(rows: tuple[CaseRow, ...], by_number: defaultdict[str, list[CaseRow]]) -> None:
    played = sum(any(not row.later for row in by_number[number]) for number in NUMBERS)
    waiting = sum(all(row.later for row in by_number[number]) for number in NUMBERS)
    extra = len(by_number[BEYOND])
    print(f"\n{len(NUMBERS)} cases: {played} played, {waiting} wait for a later capability;")
    print(f"{len(rows)} rows, {extra} of them beyond the cases.")
    print("Without a row:", " ".join(missing_cases(rows)) or "none")
    print("Reasons without a row:", " ".join(missing_reasons(rows)) or "none")


if __name__ == "__main__":
    sys.exit(main())
