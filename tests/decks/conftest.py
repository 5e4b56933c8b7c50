"""An archive of each kind, and a catalogue to write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archive_fixtures import archive_url, postgresql

__all__ = ["archive_url", "postgresql"]

SAMPLE = Path(__file__).parents[2] / "data" / "catalogue"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of its own."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "catalogue"))
