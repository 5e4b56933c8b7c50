"""What an operator reads of a rehearsal."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from policy.explanation import RULE_NAMES
from policy.reasons import Reason
from server.testing.cases.runner import Played


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


def coverage_lines(played: Iterable[Played]) -> Iterator[str]:
    """Tell what was never seen: a rule nobody tests may change without anybody noticing."""
    rules: set[tuple[str, bool]] = set()
    refusals: set[str] = set()
    for one in played:
        rules |= one.rules
        refusals |= one.refusals
    asked, refusing = ({name for name, ok in rules if ok is passed} for passed in (True, False))
    reasons = [reason.name for reason in Reason]
    yield (
        f"rules: {len(asked & RULE_NAMES)} of {len(RULE_NAMES)} seen passing, "
        f"{len(refusing & RULE_NAMES)} seen refusing; "
        f"reasons: {len(refusals)} of {len(reasons)} seen"
    )
    for title, missing in (
        ("never passing", sorted(RULE_NAMES - asked)),
        ("never refusing", sorted(RULE_NAMES - refusing)),
        ("reasons never seen", [name for name in reasons if name not in refusals]),
    ):
        if missing:
            yield f"  {title}: {', '.join(missing)}"


def write_junit(path: Path, played: Sequence[Played]) -> None:
    """Write one suite a file of cases. Raises `OSError`."""
    root = ET.Element("testsuites")
    for file in dict.fromkeys(one.case.file for one in played):
        _add_suite(root, str(file), [one for one in played if one.case.file == file])
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add_suite(root: ET.Element, name: str, played: Sequence[Played]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        name=name,
        tests=str(len(played)),
        failures=str(sum(one.failed for one in played)),
        skipped=str(sum(one.skipped for one in played)),
    )
    for one in played:
        case = ET.SubElement(
            suite, "testcase", classname=name, name=one.case.name, line=str(one.case.line)
        )
        if one.skipped:
            ET.SubElement(case, "skipped", message="needs a clock or facts of its own")
        elif one.failed:
            lines = list(failure_lines(one))
            failure = ET.SubElement(case, "failure", message=lines[0])
            failure.text = "\n".join(lines)
