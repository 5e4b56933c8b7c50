"""A tenant's own dial plan: what its people dial, and what they mean by it."""

from __future__ import annotations

import re
from math import prod
from typing import Final

from policy.facts import DialPlanRule
from policy.spelling import LONGEST_DIALLED

MAX_RULES: Final = 25
MAX_PATTERN_LENGTH: Final = 128
# In how many ways one rule may be tried on one number, at worst: about a millisecond.
MAX_WAYS: Final = 200_000
# What `*` and `+` may take of a number, for counting those ways.
_OPEN_SPAN: Final = LONGEST_DIALLED + 1

_GROUP_REFERENCE: Final = re.compile(r"\$([1-9])")
_TRANSLATION: Final = re.compile(r"(?:[0-9+*#]|\$[1-9])+")
_ATOM: Final = re.compile(r"\\[^1-9]|\[(?:\\.|[^\]])*\]")
_REPEATED_GROUP: Final = re.compile(r"\)(?:[*+]|\{)")
_CHOICE: Final = re.compile(r"([*+])|(\?)|\{(\d*),(\d*)\}|(\|)")


class InvalidDialPlan(ValueError):
    """A dial plan rule that cannot be used; the text says which and why."""


def apply_dial_plan(dialled: str, rules: tuple[DialPlanRule, ...]) -> str:
    """Rewrite what was dialled by the first rule whose pattern matches all of it.

    More than `LONGEST_DIALLED` characters are left alone, to keep the effort bounded.
    """
    if len(dialled) > LONGEST_DIALLED:
        return dialled
    for rule in rules:
        match = rule.pattern.fullmatch(dialled)
        if match is not None:
            return _translate(rule.translation, match)
    return dialled


def _translate(translation: str, match: re.Match[str]) -> str:
    """Put the matched groups into a translation; a group that took no part is empty."""
    return _GROUP_REFERENCE.sub(lambda group: match[int(group[1])] or "", translation)


def compile_rule(name: str, pattern: str, translation: str) -> DialPlanRule:
    """Make a rule from a regular expression over the digits and a translation such as "+39$1".

    Raises InvalidDialPlan: for a pattern that is no expression, that repeats a group, looks
    around or back, or could be tried in more than `MAX_WAYS` ways (one number would hold up
    everybody's calls); and for a translation of anything but digits, "+", "*", "#" and groups.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidDialPlan(f"{name}: pattern longer than {MAX_PATTERN_LENGTH} characters")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise InvalidDialPlan(f"{name}: pattern: {error}") from error
    _check_effort(name, pattern)
    if not _TRANSLATION.fullmatch(translation):
        raise InvalidDialPlan(f"{name}: translation {translation!r} is not of digits and groups")
    if any(int(group) > compiled.groups for group in _GROUP_REFERENCE.findall(translation)):
        raise InvalidDialPlan(f"{name}: translation {translation!r} names a group too many")
    return DialPlanRule(name, compiled, translation)


def compile_search(pattern: str) -> re.Pattern[str]:
    """Compile an expression that is looked for anywhere in a number of `LONGEST_DIALLED` digits.

    Raises InvalidDialPlan as `compile_rule` does; that it may begin at any digit counts as well.
    """
    compiled = compile_rule(pattern, pattern, "0").pattern
    if not all(part.startswith("^") for part in pattern.split("|")):
        _check_effort(pattern, f".*{pattern}")
    return compiled


def check_dial_plan(rules: tuple[DialPlanRule, ...]) -> None:
    """Check that a tenant has no more rules than one number may be tried on."""
    if len(rules) > MAX_RULES:
        raise InvalidDialPlan(f"{len(rules)} rules; a dial plan holds at most {MAX_RULES}")


def _check_effort(name: str, pattern: str) -> None:
    """Refuse what backtracks without a bound, judged by the text of the pattern alone."""
    outline = _ATOM.sub("x", pattern).replace("(?:", "(")
    if "(?" in outline or "\\" in outline:
        raise InvalidDialPlan(f"{name}: pattern may not look around or back, nor set flags")
    if _REPEATED_GROUP.search(outline):
        raise InvalidDialPlan(f"{name}: pattern may not repeat a group; only ? may follow one")
    if prod(_ways(choice) for choice in _CHOICE.finditer(outline)) > MAX_WAYS:
        raise InvalidDialPlan(f"{name}: pattern can be tried in more than {MAX_WAYS} ways")


def _ways(choice: re.Match[str]) -> int:
    """Count in how many ways one quantifier or one further alternative can be taken."""
    is_open, is_optional, least, most, _ = choice.groups()
    if is_open or (least is not None and not most):
        return _OPEN_SPAN
    if most:
        return max(1, min(_OPEN_SPAN, int(most) - int(least or 0) + 1))
    # An alternative is two ways, each of which takes longer to try than one more digit.
    return 2 if is_optional else 4
