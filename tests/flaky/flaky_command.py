"""Run chosen tests again and again beside busy loops, and say which failed: `make flaky`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from often import run_often


def main() -> int:
    """Run them, and end with 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--load", type=int, default=2, help="busy loops beside them")
    parser.add_argument("tests", nargs="?", default="", help="what goes to pytest, as for a shell")
    arguments = parser.parse_args()
    if not arguments.tests:
        parser.error("choose tests: make flaky ARGS=tests/bridge N=20 LOAD=2")
    folder = Path(tempfile.mkdtemp(prefix="flaky-"))
    chosen = shlex.split(arguments.tests)
    told = run_often(
        chosen, folder, runs=arguments.runs, load=arguments.load, tell=partial(print, flush=True)
    )
    print("\n".join(told.lines()))
    if not told.failed_runs:
        folder.rmdir()
    return 1 if told.failed_runs else 0


if __name__ == "__main__":
    sys.exit(main())
