"""What the rules cost: `python -m bench.rules [--profile]` prints microseconds for each question.

Asks the sample facts, each time about another number, and checks what comes out. CPU time, the best
of many short runs: other work on the machine can only add to it.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import process_time_ns
from typing import NamedTuple

from policy.admission import admit
from policy.decision import Refusal
from policy.destination import find_destination
from policy.facts import Call, CallKind, Catalogue, Facts
from policy.numbering import read_number
from policy.rating import rate_for_destination
from server.facts.from_files import FactsFolders, read_facts

TENANT_ID = "contoso"
DATA = Path(__file__).parents[1] / "data"
# 2026-11-15T12:00:00Z.
NOW_MS = 1_794_744_000_000
NUMBERS = 500
RUNS = 40
NS_PER_US = 1_000
PROFILED_LINES = 25


class Kind(NamedTuple):
    """A kind of question, and the reason or the purses that it must be answered with."""

    name: str
    kind: CallKind
    account_id: str
    # Four digits are put behind it, or before it where a caller differs.
    prefix: str
    outcome: str
    service_number: str = ""


KINDS = (
    Kind("at home: minutes, credits", CallKind.USER, "adele", "+1425555", "PoolPurse CreditsPurse"),
    Kind("abroad: credits", CallKind.USER, "adele", "+39061234", "CreditsPurse"),
    Kind("international minutes", CallKind.USER, "chiara", "+1425555", "PoolPurse CreditsPurse"),
    Kind("pay as you go", CallKind.USER, "eve", "+3314234", "CreditsPurse"),
    Kind("as dialled at home", CallKind.USER, "adele", "1425555", "PoolPurse CreditsPurse"),
    Kind("out of a meeting", CallKind.CALL_ME, "dan", "+1425555", "PoolPurse CreditsPurse"),
    Kind(
        "toll-free arrival",
        CallKind.SERVICE_NUMBER,
        "dan",
        "+1425555",
        "CreditsPurse",
        service_number="+18005550100",
    ),
    Kind(
        "toll arrival",
        CallKind.SERVICE_NUMBER,
        "dan",
        "+1425555",
        "FreePurse",
        service_number="+12065550100",
    ),
    Kind("at a user's number", CallKind.INBOUND, "adele", "+1425555", "FreePurse"),
    Kind("refused: no licence", CallKind.USER, "frank", "+1425555", "LICENCE_MISSING"),
    Kind("refused: premium", CallKind.USER, "adele", "+1900555", "DESTINATION_BLOCKED"),
    Kind("refused: unknown user", CallKind.USER, "nobody", "+1425555", "USER_UNKNOWN"),
)


def calls_of(kind: Kind) -> list[Call]:
    """Make calls of one kind, each with a number of its own."""
    calls = []
    for number in range(NUMBERS):
        far_end = f"{kind.prefix}{number:04d}"
        arrives = kind.service_number or kind.kind is CallKind.INBOUND
        calls.append(
            Call(
                kind.kind,
                TENANT_ID,
                kind.service_number if arrives else far_end,
                calling_number=far_end if arrives else "+14255550000",
                account_ids=(kind.account_id,),
                service_number=kind.service_number,
                requested_seconds=600,
            )
        )
    return calls


def check(kind: Kind, calls: list[Call], facts: Facts) -> None:
    """Check that these are the decisions that are meant to be measured."""
    for call in calls:
        decision = admit(call, facts, NOW_MS)
        outcome = (
            decision.reason.name
            if isinstance(decision, Refusal)
            else " ".join(type(purse).__name__ for purse in decision.purses)
        )
        assert outcome == kind.outcome, (kind.name, call.called_number, outcome)


def best_us(work: Callable[[], object], count: int) -> float:
    """Return the CPU microseconds of one of `count` steps of some work, at its best."""
    best_ns = None
    for _ in range(RUNS):
        started_ns = process_time_ns()
        work()
        taken_ns = process_time_ns() - started_ns
        best_ns = taken_ns if best_ns is None else min(best_ns, taken_ns)
    assert best_ns is not None, "there is at least one run"
    return best_ns / count / NS_PER_US


def parts_of(catalogue: Catalogue) -> Iterator[tuple[str, float]]:
    """Measure reading a number, finding where it leads, and finding that and its rate."""
    numbers = [f"+{prefix}{n:04d}" for n in range(NUMBERS) for prefix in ("1425555", "39061234")]
    destinations, longest = catalogue.destinations, catalogue.longest_prefix

    def read() -> None:
        for number in numbers:
            read_number(number, "US")

    def find() -> None:
        for number in numbers:
            find_destination(destinations, longest, number)

    def rate() -> None:
        for number in numbers:
            rate_for_destination(catalogue, "USD", number, now_ms=NOW_MS)

    for name, part in (("number", read), ("destination", find), ("destination, rate", rate)):
        yield name, best_us(part, len(numbers))


def ask_all(calls: list[Call], facts: Facts) -> None:
    """Decide about every call."""
    for call in calls:
        admit(call, facts, NOW_MS)


def main() -> None:
    """Print the table, and with --profile where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    wants_profile = parser.parse_args().profile
    catalogue, tenants = read_facts(FactsFolders(DATA / "catalogue", DATA / "directory"))
    gc.collect()
    gc.freeze()
    profile = cProfile.Profile()
    for kind in KINDS:
        calls, facts = calls_of(kind), Facts(catalogue, tenants[TENANT_ID])
        check(kind, calls, facts)
        tell(kind.name, best_us(partial(ask_all, calls, facts), len(calls)))
        if wants_profile:
            profile.runcall(ask_all, calls, facts)
    for name, microseconds in parts_of(catalogue):
        tell(name, microseconds)
    if wants_profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(PROFILED_LINES)


def tell(name: str, microseconds: float) -> None:
    """Print one line of the table."""
    sys.stdout.write(f"{name:28} {microseconds:6.2f} us\n")


if __name__ == "__main__":
    main()
