"""What a user installs: wheels alone, in the versions that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_PINNED = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    return dict(_PINNED.findall((ROOT / lock).read_text("utf-8")))


@pytest.mark.parametrize("lock", ["packaging/run.lock", "packaging/requirements.lock"])
def test_what_is_installed_to_run_is_what_is_tested(lock: str) -> None:
    tested = pinned("requirements.lock")

    assert pinned(lock).items() <= tested.items()


def test_what_tests_alone_need_is_not_installed_to_run() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    named = [re.split(r"[\[=<>~!]", one)[0] for one in groups["dev"] if isinstance(one, str)]

    assert {"pytest", "localstripe"} <= set(named)
    assert set(named).isdisjoint(pinned("packaging/run.lock"))


def test_running_and_the_demo_install_what_is_needed_to_run_from_wheels_alone() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    rule = makefile.partition("\n.venv/locked-to-run:")[2].partition("\n\n")[0]

    assert "--only-binary :all:" in rule
    for target in ("run", "demo"):
        assert f"\n{target}: .venv/ready-to-run ##" in makefile
