"""The wheel of the client: what it carries, and what it asks for."""

from __future__ import annotations

import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from wheels import build_wheel

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("tree")))


def test_the_wheel_carries_the_client_alone(wheel: zipfile.ZipFile) -> None:
    folders = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}

    assert folders == {"callgate"}


def test_the_wheel_carries_every_file_of_the_client(wheel: zipfile.ZipFile) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "callgate").rglob("*")
        if path.suffix in {".py", ".pyi", ".typed", ".json"}
    }

    assert sources | {"callgate/py.typed"} <= set(wheel.namelist())


def test_the_client_asks_for_grpcio_and_protobuf_alone(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))

    lines = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist", [])

    assert sorted(lines) == [
        'click>=8.5; extra == "cli"',
        "grpcio>=1.85.1",
        "protobuf>=7.35.1",
        'xlsxwriter>=3.2; extra == "cli"',
    ]
