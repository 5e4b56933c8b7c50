"""The wheel of the engine: the tree as package data, started by a launcher from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callgate.testing import Nursery
from wheels import build_engine_wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it alone, into a folder of its own."""
    wheel = build_engine_wheel(tmp_path_factory.mktemp("tree"))
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", site, wheel], check=True
    )
    return site


def test_its_plain_names_never_stand_in_site_packages(installed: Path) -> None:
    folders = {path.name.partition("-")[0] for path in installed.iterdir()}
    tree = installed / "callgate_engine" / "tree"

    assert folders <= {"callgate_engine", "bin"}
    assert (tree / "policy" / "admission.py").exists()
    assert (tree / "data" / "catalogue" / "rates" / "USD.csv").exists()
    assert list((tree / "server" / "ledger").rglob("*.lua"))


def test_it_starts_anywhere_with_the_sample_that_came_with_it(
    installed: Path, tmp_path: Path
) -> None:
    # A folder of the same name as the engine's own is no engine.
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__init__.py").write_text("raise SystemExit('not the engine')")
    environment = os.environ | {"PYTHONPATH": str(installed)}

    told = subprocess.run(
        [sys.executable, "-P", "-m", "callgate_engine", "check-data"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert "9 tenants" in told.stdout


def test_it_serves_and_is_a_harness(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))

    with Nursery([sys.executable, "-m", "callgate_engine"]) as nursery, nursery.engine() as engine:
        engine.expect_balance("contoso", available="50.00")
