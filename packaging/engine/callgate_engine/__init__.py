"""The launcher of the engine: it becomes `python -m server` of the tree beside this file.

`server` and `policy` never stand in site-packages: two names as plain as these may be others' too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

TREE = Path(__file__).resolve().parent / "tree"


def main() -> NoReturn:
    """Become the engine, with the arguments of this command."""
    paths = [str(TREE), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Safe: a folder `server` where it is started is not taken for the engine, nor by its children.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    arguments = [sys.executable, "-m", "server", *sys.argv[1:]]
    os.execve(sys.executable, arguments, environment)  # noqa: S606 -- No shell, on purpose.
