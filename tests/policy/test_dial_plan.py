"""A tenant's dial plan: rewritten before the number is read, and never a way to stop the server."""

from __future__ import annotations

import pytest

from policy.dial_plan import (
    MAX_PATTERN_LENGTH,
    MAX_RULES,
    InvalidDialPlan,
    apply_dial_plan,
    check_dial_plan,
    compile_rule,
    compile_search,
)
from policy.facts import DialPlanRule
from policy.numbering import read_number
from policy.spelling import LONGEST_DIALLED

AUSTRALIA = (
    compile_rule("AU-Internal", r"^(7\d{3})$", "+6125550$1"),
    compile_rule("AU-Local", r"^([2-9]\d{7})$", "+612$1"),
    compile_rule("AU-TollFree", r"^(1[38]\d{4,8})\d*$", "+61$1"),
    compile_rule("AU-Service", r"^(000|1[0125]\d{1,8})$", "$1"),
)
FRANCE = (
    compile_rule("FR-Internal", r"^(7\d{3})$", "+3319999$1"),
    compile_rule("FR-TollFree", r"^0?(80\d{7})\d*$", "+33$1"),
    compile_rule("FR-Service", r"^(1\d{1,2}|11[68]\d{3}|10\d{2}|3\d{3})$", "$1"),
)


@pytest.mark.parametrize(
    ("rules", "country", "dialled", "e164"),
    [
        (AUSTRALIA, "AU", "7123", "+61255507123"),
        (AUSTRALIA, "AU", "9999 1234", "+61299991234"),
        (AUSTRALIA, "AU", "1800 123 456", "+611800123456"),
        (AUSTRALIA, "AU", "1800 123 456 78", "+611800123456"),
        (FRANCE, "FR", "7123", "+33199997123"),
        (FRANCE, "FR", "0800912345", "+33800912345"),
        (FRANCE, "FR", "800912345", "+33800912345"),
        # No rule matches all of it: it is read as the country dials.
        (FRANCE, "FR", "0612345678", "+33612345678"),
        (AUSTRALIA, "AU", "0291234567", "+61291234567"),
        # A rule may keep a service number what it is: no number of the world.
        (FRANCE, "FR", "3939", None),
    ],
)
def test_a_rule_rewrites_what_is_dialled(
    rules: tuple[DialPlanRule, ...], country: str, dialled: str, e164: str | None
) -> None:
    assert read_number(dialled, country, rules) == e164


def test_the_first_rule_that_matches_is_the_only_one() -> None:
    rules = (
        compile_rule("first", r"7(\d{3})", "+39061234$1"),
        compile_rule("second", r"7(\d{3})", "+4420794600$1"),
    )

    assert read_number("7123", "IT", rules) == "+39061234123"


def test_a_rule_must_match_every_digit() -> None:
    rules = (compile_rule("extension", r"7\d{3}", "+390612345678"),)

    assert apply_dial_plan("71234", rules) == "71234"
    assert apply_dial_plan("07123", rules) == "07123"


def test_a_group_that_took_no_part_is_empty() -> None:
    rules = (compile_rule("outside", r"(0)?9(\d+)", "$1$2"),)

    assert apply_dial_plan("94255550123", rules) == "4255550123"
    assert apply_dial_plan("094255550123", rules) == "04255550123"


def test_an_e164_spelling_is_not_rewritten() -> None:
    rules = (compile_rule("all", r"\+?\d+", "+390612345678"),)

    assert read_number("+14255550123", "US", rules) == "+14255550123"
    assert read_number("+1 (425) 555-0123", "US", rules) == "+14255550123"


def test_more_than_anybody_dials_is_not_tried() -> None:
    rules = (compile_rule("any", r"\d*", "+390612345678"),)

    assert read_number("1" * LONGEST_DIALLED, "IT", rules) == "+390612345678"
    assert read_number("1" * (LONGEST_DIALLED + 1), "IT", rules) is None


def test_a_rule_that_makes_no_number_makes_no_number() -> None:
    rules = (compile_rule("star", r"8(\d)", "*$1"), compile_rule("short", r"7(\d)", "+$1"))

    assert read_number("85", "US", rules) is None
    assert read_number("75", "US", rules) is None


@pytest.mark.parametrize(
    ("pattern", "translation", "complaint"),
    [
        ("(", "+1", "pattern"),
        (r"\d{99999999999}", "+1", "pattern"),
        ("1" * (MAX_PATTERN_LENGTH + 1), "+1", "longer"),
        (r"(\d+)+", "+1$1", "repeat a group"),
        (r"(\d+)*", "+1$1", "repeat a group"),
        (r"(1|11){2,9}", "+1$1", "repeat a group"),
        (r"\d*\d*\d*\d*1", "+1", "ways"),
        (r"1?" * 18 + "1", "+1", "ways"),
        (r"(1|1)" * 9 + "2", "+1", "ways"),
        (r"\d{0,21}\d{0,21}\d{0,21}\d{1,21}", "+1", "ways"),
        (r"\d{2,}\d{2,}\d{2,}\d{2,}", "+1", "ways"),
        (r"(?=1)\d", "+1", "look around"),
        (r"(?i)1", "+1", "look around"),
        (r"(1)\1", "+1", "look around"),
        (r"\d", "", "translation"),
        (r"\d", "call me", "translation"),
        (r"\d", r"\g<0>", "translation"),
        (r"\d", "+1$0", "translation"),
        (r"(\d)", "+1$2", "a group too many"),
    ],
)
def test_a_rule_that_could_do_harm_is_refused_by_name(
    pattern: str, translation: str, complaint: str
) -> None:
    with pytest.raises(InvalidDialPlan, match=complaint) as error:
        compile_rule("rule-7", pattern, translation)

    assert "rule-7" in str(error.value)


def test_the_rules_of_practice_are_within_the_limits() -> None:
    for pattern in (
        r"^1?([2-9]\d\d[2-9]\d{6})\d*(\D+\d+)?$",
        r"^(1?800\d{7})\d*$",
        r"^(?:00|011)(\d+)$",
        r"^0?([1-9][0-9]{7,9})$",
        r"^[*]9(\d{4})$",
        r"\*9(\d{4})",
    ):
        assert compile_rule("rule", pattern, "+$1").pattern.pattern == pattern


def test_a_dial_plan_has_a_last_rule() -> None:
    rule = compile_rule("rule", r"\d", "+1")

    check_dial_plan((rule,) * MAX_RULES)

    with pytest.raises(InvalidDialPlan, match="26 rules"):
        check_dial_plan((rule,) * (MAX_RULES + 1))


@pytest.mark.parametrize("pattern", [".?" * 17 + "x", "1*1*1*x", r"\d*\d*\d*(5|6)"])
def test_a_search_that_could_begin_anywhere_is_judged_by_that(pattern: str) -> None:
    compile_rule("whole", pattern, "0")

    with pytest.raises(InvalidDialPlan, match="ways"):
        compile_search(pattern)


def test_the_searches_of_practice_are_within_the_limits() -> None:
    for pattern in (
        "^1425",
        "^1425|^1900|^1976",
        r"^\d*5\d*5\d*$",
        "555",
        r"0{4,}$",
        "^anonymous$",
    ):
        compile_search(pattern)
