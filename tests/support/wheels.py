"""The wheels, built from a copy of their sources, so that nothing is left in the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from engines import ROOT

_PARTS = ("pyproject.toml", "README.md", "LICENSE")
_FOLDERS = ("callgate", "policy", "server", "data", "packaging")


def build_wheel(tree: Path) -> Path:
    """Build the client's in an empty folder; return the file."""
    return _build(tree, tree)


def build_engine_wheel(tree: Path) -> Path:
    """Build the engine's in an empty folder; return the file."""
    return _build(tree, tree / "packaging" / "engine")


def _build(tree: Path, source: Path) -> Path:
    for part in _PARTS:
        shutil.copy(ROOT / part, tree)
    for folder in _FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", tree / "dist", source],
        check=True,
    )
    return next((tree / "dist").glob("*.whl"))
