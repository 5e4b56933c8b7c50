"""Compare the ledger in Redis with its model over random histories: `simulate.py --seeds N`.

Between steps replies are lost, stores killed and partitions filled anew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from ledger_crashes import running_servers
from ledger_playing import Difference, simulate


def _tell(progress: str) -> None:
    print(f"\r{progress}", end="", flush=True)


def main() -> int:
    """Run from the command line; exit status 1 tells of a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many histories to play")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    arguments = parser.parse_args()
    with running_servers() as servers:
        started = time.monotonic()
        try:
            asyncio.run(simulate(arguments.first, arguments.seeds, servers, _tell))
        except Difference as difference:
            print(f"\n{difference}\n{difference.__cause__ or ''}")
            return 1
    seconds = time.monotonic() - started
    print(f"\nno difference between the model and {', '.join(servers)}; {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
