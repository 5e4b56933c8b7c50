"""Compare the ledger in Redis with its model over random histories: `simulate.py --seeds N`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from ledger_playing import Difference, simulate
from stores import binaries, running_server


def _tell(progress: str) -> None:
    print(f"\r{progress}", end="", flush=True)


def main() -> int:
    """Run from the command line; exit status 1 tells of a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many histories to play")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    arguments = parser.parse_args()
    installed = {name: binary for name, binary in binaries().items() if binary is not None}
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(running_server(binary)) for name, binary in installed.items()
        }
        try:
            asyncio.run(simulate(arguments.first, arguments.seeds, urls, _tell))
        except Difference as difference:
            print(f"\n{difference}\n{difference.__cause__ or ''}")
            return 1
    print(f"\nno difference between the model and {', '.join(installed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
