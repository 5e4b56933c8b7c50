"""Every reason has all that belongs to it: a wire value, a place, words, a suggestion, a case."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callgate.v1 import authorization_pb2
from case_rows import read_rows
from policy.reasons import Reason

GLOSSARY = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
# | `REASON` | meaning | SIP status | Q.850 cause |
GLOSSARY_LINES = re.findall(r"^\| `([A-Z_]+)` \| .+ \| (\d+) \| (\d+) \|$", GLOSSARY, re.MULTILINE)
STYLED = {
    Reason.NUMBER_INVALID: (484, 28),
    Reason.AREA_CODE_UNKNOWN: (404, 3),
    Reason.TOLL_FREE_UNREACHABLE: (404, 3),
    Reason.CREDITS_EXHAUSTED: (402, 21),
    Reason.ALLOWANCE_EXHAUSTED: (402, 21),
    Reason.SPEND_LIMIT_REACHED: (402, 21),
    Reason.BALANCE_MISSING: (402, 21),
    Reason.TOLL_FREE_NEEDS_CREDIT: (402, 21),
    Reason.CONCURRENT_CALLS: (486, 17),
}


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
class TestEveryReason:
    def test_has_the_same_name_and_number_on_the_wire(self, reason: Reason) -> None:
        assert authorization_pb2.Reason.Value(f"REASON_{reason.name}") == reason.value

    def test_has_a_line_in_the_glossary_that_tells_what_is_suggested(self, reason: Reason) -> None:
        suggestion = reason.suggestion
        line = (reason.name, str(suggestion.sip_status), str(suggestion.q850_cause))

        assert line in GLOSSARY_LINES

    def test_has_a_case(self, reason: Reason) -> None:
        expected = {row.content["expect"].get("refusal") for row in read_rows() if not row.later}

        assert reason.name in expected

    def test_suggests_how_to_end_the_call(self, reason: Reason) -> None:
        suggestion = reason.suggestion

        assert (suggestion.sip_status, suggestion.q850_cause) == STYLED.get(reason, (403, 21))
        assert suggestion.help_text.endswith(".")


def test_the_wire_has_no_reason_that_the_rules_do_not_know() -> None:
    names = {value.name for value in authorization_pb2.Reason.DESCRIPTOR.values}

    assert names == {"REASON_UNSPECIFIED"} | {f"REASON_{reason.name}" for reason in Reason}


def test_the_glossary_lists_the_reasons_in_the_order_of_precedence() -> None:
    assert [name for name, _, _ in GLOSSARY_LINES] == [reason.name for reason in Reason]


def test_no_suggestion_makes_a_proxy_ask_elsewhere() -> None:
    assert all(400 <= reason.suggestion.sip_status < 500 for reason in Reason)
