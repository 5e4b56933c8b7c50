"""What an operator reads of a rehearsal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.rehearsal.playing import Played


def failure_lines(played: Played) -> Iterator[str]:
    """Say what is wrong with a case: file, line, case, step and check."""
    case = played.case
    if played.trouble:
        yield f'{case.file}:{case.line}: "{case.name}": {played.trouble}'
    for found in played.differences:
        where = f"{case.file}:{found.step.line}"
        yield f'{where}: "{case.name}", step {found.number} ({found.step.verb}): {found.text}'


def summary(played: Sequence[Played]) -> str:
    """Say how many cases are as they should be."""
    failed, skipped = sum(one.failed for one in played), sum(one.skipped for one in played)
    steps = sum(len(one.case.steps) for one in played if not one.skipped)
    good = len(played) - failed - skipped
    skips = f", {skipped} skipped (they need a clock or facts of their own)" if skipped else ""
    return f"{good} of {len(played)} cases as expected, {failed} not{skips}; {steps} steps played"
