"""`make flaky` tells which of the chosen tests fails how often."""

from __future__ import annotations

from pathlib import Path

from often import run_often

SECOND_TIME = """
from pathlib import Path

def test_steady():
    pass

def test_shaky():
    mark = Path(__file__).with_name("mark")
    seen = mark.exists()
    mark.touch()
    assert not seen
"""


def test_a_test_that_fails_now_and_then_is_named_with_how_often_and_where_to_look(
    tmp_path: Path,
) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(SECOND_TIME)

    told = run_often(
        [str(file), "-p", "no:cacheprovider", "--noconftest"],
        tmp_path,
        runs=2,
        load=1,
        tell=lambda _: None,
    )

    assert told.failed_runs == 1
    [(test, failures)] = told.tests.items()
    assert test.endswith("test_sample.py::test_shaky")
    assert failures.count == 1
    assert "assert not seen" in failures.first.read_text()
    assert next(told.lines()) == "1 of 2 runs failed"
    assert not (tmp_path / "run-1.txt").exists()
