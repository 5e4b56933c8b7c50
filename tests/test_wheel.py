"""The wheel of the client: what it carries, and what it asks for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("pyproject.toml", "README.md", "LICENSE")
FOLDERS = ("callgate", "policy", "server")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    tree = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        shutil.copy(ROOT / part, tree)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tree / "dist", tree],
        check=True,
    )
    return zipfile.ZipFile(next((tree / "dist").glob("*.whl")))


def test_the_wheel_carries_the_client_alone(wheel: zipfile.ZipFile) -> None:
    folders = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}

    assert folders == {"callgate"}


def test_the_wheel_carries_every_file_of_the_client(wheel: zipfile.ZipFile) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "callgate").rglob("*")
        if path.suffix in {".py", ".pyi", ".typed"}
    }

    assert sources | {"callgate/py.typed"} <= set(wheel.namelist())


def test_the_client_asks_for_grpcio_and_protobuf_alone(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))

    lines = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist", [])

    assert sorted(lines) == [
        'click>=8.5; extra == "cli"',
        "grpcio>=1.85.1",
        "protobuf>=7.35.1",
    ]
