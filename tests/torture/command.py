"""Kill everything at random in the middle of calls, then count the money: `make torture`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from torture import torture


def main() -> int:
    """Run it once, in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument(
        "--store", choices=("plain", "older", "cluster", "sentinel"), default="plain"
    )
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cg-") as folder:
        try:
            told = asyncio.run(
                torture(
                    Path(folder),
                    arguments.seed,
                    arguments.calls,
                    kills=arguments.kills,
                    store=arguments.store,
                    progress=True,
                )
            )
        except BaseException:
            # What the victims wrote is wanted to find out why.
            kept = Path(tempfile.mkdtemp(prefix="cg-torture-"))
            shutil.copytree(
                folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock")
            )
            print(f"It failed; the folder is kept: {kept}", file=sys.stderr)
            raise
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
