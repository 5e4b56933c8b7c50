"""Copies the engine's tree into the package while the wheel is built, and says what it needs."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("server", "policy", "data")


class BuildWithTree(build_py):
    """Builds the package, and lays the tree beside its modules."""

    def run(self) -> None:
        """Build."""
        super().run()
        tree = Path(self.build_lib, "callgate_engine", "tree")
        shutil.rmtree(tree, ignore_errors=True)
        for part in PARTS:
            shutil.copytree(
                ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", "tools")
            )


TOLD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = TOLD["project"]["version"]

setup(
    version=VERSION,
    install_requires=[f"callgate=={VERSION}", *TOLD["dependency-groups"]["engine"]],
    cmdclass={"build_py": BuildWithTree},
)
