"""The report that build servers read: JUnit's XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from server.rehearsal.playing import Played
from server.rehearsal.report import failure_lines


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
