"""Which rules the cases saw saying yes, and which saying no."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy.decision import Reason
from policy.explanation import RULE_NAMES
from server.rehearsal.playing import Played


def coverage_lines(played: Iterable[Played]) -> Iterator[str]:
    """Tell what was never seen: a rule nobody tests may change without anybody noticing."""
    rules: set[tuple[str, bool]] = set()
    refusals: set[str] = set()
    for one in played:
        rules |= one.rules
        refusals |= one.refusals
    asked, refusing = ({name for name, ok in rules if ok is passed} for passed in (True, False))
    reasons = [reason.name for reason in Reason]
    yield (
        f"rules: {len(asked & RULE_NAMES)} of {len(RULE_NAMES)} seen passing, "
        f"{len(refusing & RULE_NAMES)} seen refusing; "
        f"reasons: {len(refusals)} of {len(reasons)} seen"
    )
    for title, missing in (
        ("never passing", sorted(RULE_NAMES - asked)),
        ("never refusing", sorted(RULE_NAMES - refusing)),
        ("reasons never seen", [name for name in reasons if name not in refusals]),
    ):
        if missing:
            yield f"  {title}: {', '.join(missing)}"
