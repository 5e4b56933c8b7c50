"""Where a number leads: the longest prefix decides, and costs the same in any table."""

from __future__ import annotations

import pytest

from number_facts import DESTINATIONS, LONGEST_PREFIX
from policy.destination import WORLD, Destination, NumberClass, find_destination


@pytest.mark.parametrize(
    ("e164", "country", "number_class"),
    [
        ("+14255550123", "US", NumberClass.ORDINARY),
        ("+14165550123", "CA", NumberClass.ORDINARY),  # 26
        ("+18765550123", "JM", NumberClass.ORDINARY),  # 27
        ("+18095550123", "DO", NumberClass.ORDINARY),  # 27
        ("+17875550123", "PR", NumberClass.ORDINARY),  # 28
        ("+447624123456", "IM", NumberClass.MOBILE),  # 29
        ("+441481123456", "GG", NumberClass.ORDINARY),  # 29
        ("+441534123456", "JE", NumberClass.ORDINARY),  # 29
        ("+442079460000", "GB", NumberClass.ORDINARY),
        ("+77012345678", "KZ", NumberClass.ORDINARY),  # 29
        ("+74957000000", "RU", NumberClass.ORDINARY),
        ("+390669812345", "VA", NumberClass.ORDINARY),  # 29
        ("+390669712345", "IT", NumberClass.ORDINARY),
        ("+262269123456", "YT", NumberClass.ORDINARY),  # 29
        ("+262262123456", "RE", NumberClass.ORDINARY),
        ("+448441234567", "GB", NumberClass.SHARED_COST),  # 34
        ("+449098790000", "GB", NumberClass.PREMIUM),  # 35
        ("+19005551234", "US", NumberClass.PREMIUM),  # 36
        ("+33899123456", "FR", NumberClass.PREMIUM),  # 37
        ("+18005550100", WORLD, NumberClass.TOLL_FREE),  # 60
        ("+881612345678", WORLD, NumberClass.GLOBAL_NETWORK),
    ],
)
def test_the_area_code_decides_where_a_number_leads(
    e164: str, country: str, number_class: NumberClass
) -> None:
    destination = find_destination(DESTINATIONS, LONGEST_PREFIX, e164)

    assert destination is not None
    assert (destination.country, destination.number_class) == (country, number_class)


@pytest.mark.parametrize("e164", ["+999123", "+1", "+12125550123", "+", ""])
def test_a_number_behind_no_known_prefix_leads_nowhere(e164: str) -> None:
    assert find_destination(DESTINATIONS, LONGEST_PREFIX, e164) is None


def test_a_prefix_as_long_as_the_number_counts() -> None:
    whole = Destination("3906698", "VA", NumberClass.ORDINARY, "Vatican City")

    assert find_destination({"3906698": whole}, LONGEST_PREFIX, "+3906698") == whole


@pytest.mark.parametrize("prefixes", [1_000, 250_000])
def test_a_look_up_asks_no_more_of_a_larger_table(prefixes: int) -> None:
    class Counting(dict[str, Destination]):
        asked = 0

        def get(self, key: str, default: object = None) -> Destination | None:  # type: ignore[override] # Only ever asked so.
            self.asked += 1
            return super().get(key)

    anywhere = Destination("", "IT", NumberClass.ORDINARY, "Italy")
    table = Counting((str(1_000_000 + number), anywhere) for number in range(prefixes))

    find_destination(table, LONGEST_PREFIX, "+390612345678")

    assert table.asked == LONGEST_PREFIX


def test_the_longest_of_overlapping_prefixes_wins_and_one_taken_away_changes_its_own() -> None:
    """E6: +1, +1 907 (Alaska) and +1 876 (Jamaica); then +1 907 is taken away."""
    labels = {"1": "North America", "1907": "Alaska", "1876": "Jamaica"}
    overlapping = {
        prefix: Destination(prefix, "US", NumberClass.ORDINARY, label)
        for prefix, label in labels.items()
    }
    fewer = {prefix: found for prefix, found in overlapping.items() if prefix != "1907"}

    leads = [
        [
            found.label
            for e164 in ("+14255550123", "+19075550123", "+18765550123")
            if (found := find_destination(table, 4, e164)) is not None
        ]
        for table in (overlapping, fewer)
    ]

    assert leads == [
        ["North America", "Alaska", "Jamaica"],
        ["North America", "North America", "Jamaica"],
    ]
