"""Play valid numbers of every territory: `make numbers EACH=310`, some 335,000."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from server.facts.catalogue import read_catalogue  # noqa: E402 -- Found by the path above.
from server.facts.files.problems import Problems  # noqa: E402 -- Found by the path above.
from territory_check import check_numbers  # noqa: E402 -- Found by the path above.

_SHOWN = 20


def main() -> int:
    """Print what was found; the exit status is 1 if anything was that is no exception."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=310, help="numbers a territory and kind")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    problems = Problems()
    catalogue = read_catalogue(ROOT / "data" / "catalogue", problems).catalogue
    problems.raise_if_any()
    findings = check_numbers(catalogue, random.Random(given.seed), each=given.each)
    lines = [f"{findings.numbers} numbers, seed {given.seed}"]
    lines += [f"{count:>7} excepted: {why}" for why, count in findings.excepted.most_common()]
    for name, found in (
        ("not read back", findings.not_read_back),
        ("led elsewhere", findings.led_elsewhere),
    ):
        lines.append(f"{len(found):>7} {name} {found[:_SHOWN] or ''}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if findings.not_read_back or findings.led_elsewhere else 0


if __name__ == "__main__":
    sys.exit(main())
