"""Play calls without end and look at what is kept of them: `make soak CALLS=2000000`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from soak import soak

LOOKS = 20
NICENESS = 10


def main() -> int:
    """Run it once, in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--looks", type=int, default=LOOKS)
    arguments = parser.parse_args()
    os.nice(NICENESS)
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:>7,.0f} s {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        print(soak(Path(folder), arguments.calls, looks=arguments.looks, tell=tell))
    return 0


if __name__ == "__main__":
    sys.exit(main())
