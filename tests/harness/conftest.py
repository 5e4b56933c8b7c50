"""Engines of this tree, for tests of the harness itself."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

# A customer's suite: run as a customer runs it, by `test_harness_sample.py`.
collect_ignore = ["sample"]

os.environ["CALLGATE_ENGINE"] = shlex.join([sys.executable, "-m", "server"])
os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[2]))
