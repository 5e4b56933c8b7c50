"""The programs and the session of docs/client.md, as they stand there, on a running engine.

The programs run where nothing is installed but the wheel and what it asks for.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from engines import ROOT, Engine, running_engine
from wheels import build_wheel

PAGE = (ROOT / "docs/client.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE + README, re.DOTALL)
SESSION = re.findall(r"^\$ (buf curl .*)$", PAGE, re.MULTILINE)
ADDRESS = "127.0.0.1:50051"
RUN_SECONDS = 60


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, with what it asks for, and with nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    with zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("tree"))) as wheel:
        wheel.extractall(folder)
    # typing-extensions is grpcio's own.
    for name in ("grpcio", "protobuf", "typing-extensions"):
        for file in distribution(name).files or ():
            if not file.parts[0].startswith((".", "__")):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), folder / file)
    return folder


def run(program: str, folder: Path) -> str:
    """Run a program that finds nothing but what is in the folder, and say what it printed."""
    # -S: without the packages that are installed here.
    command = [sys.executable, "-S", "-E", "-W", "error", "-c"]
    begun = f"import sys; sys.path[:] = [*filter(None, sys.path), {str(folder)!r}]\n"
    done = subprocess.run(
        [*command, begun + program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        *zip(
            PROGRAMS,
            (
                ("granted 300 s", "50.0 USD left"),
                ("ringing; granted 300 s", "debited 100000 micros", "SIP 403"),
                ("talking, at most 300 s", "ends because of None"),
                ("movements; go on later from",),
                ("placed by our own rules: True", "1 report waits"),
                (),
            ),
            strict=True,
        )
    ],
)
def test_a_program_of_the_page_runs_with_the_wheel_alone(
    engine: Engine, alone: Path, program: str, printed: tuple[str, ...]
) -> None:
    told = run(program.replace(ADDRESS, engine.address), alone)

    assert [text for text in printed if text not in told] == []


def test_the_session_with_buf_answers_as_the_page_says(engine: Engine) -> None:
    answers = []
    for line in SESSION:
        words = shlex.split(line.replace(ADDRESS, engine.address))
        words[0] = str(Path(sys.executable).parent / "buf")
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))

    authorized, extended, settled, balance = answers
    assert authorized["grant"]["grantedDuration"] == "60s"
    assert authorized["grant"]["segments"][0]["held"]["micros"] == "100000"
    assert extended["grant"]["grantedDuration"] == "120s"
    assert settled["usages"][0]["debited"]["micros"] == "200000"
    assert "available" in balance
