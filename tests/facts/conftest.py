"""Fixtures of the facts: two small folders for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from fact_files import FactFiles


@pytest.fixture
def files(tmp_path: Path) -> FactFiles:
    return FactFiles(tmp_path)
