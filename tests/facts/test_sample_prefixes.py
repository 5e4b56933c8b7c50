"""The table of prefixes agrees with the number metadata, and decides where borders run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import PhoneNumberType

from policy.destination import Destination, NumberClass, find_destination
from server.facts.catalogue import CatalogueFiles, read_catalogue
from server.facts.files.problems import Problems

DATA = Path(__file__).parents[2] / "data"
CLASSES = {
    PhoneNumberType.FIXED_LINE: {NumberClass.ORDINARY},
    PhoneNumberType.MOBILE: {NumberClass.MOBILE, NumberClass.ORDINARY},
    PhoneNumberType.TOLL_FREE: {NumberClass.TOLL_FREE},
    PhoneNumberType.PREMIUM_RATE: {NumberClass.PREMIUM, NumberClass.SHARED_COST},
}
# The library gives ranges that several regions share to the first one that has them.
SHARED = frozenset({"GG", "JE", "IM", "BL", "MF", "EH"})
SHARED_MOBILE = frozenset({"AX", "CC", "CX", "SJ", "VA"})
# Their special numbers begin as ordinary ones do and are only longer or shorter: no prefix tells.
TOLD_BY_LENGTH = frozenset({"HN", "IE", "KH", "LB", "MV", "MY", "NP", "TH", "VU"})


@pytest.fixture(scope="module")
def files() -> CatalogueFiles:
    problems = Problems()
    files = read_catalogue(DATA / "catalogue", problems)
    problems.raise_if_any()
    return files


def leads_to(files: CatalogueFiles, number: str) -> Destination | None:
    catalogue = files.catalogue
    return find_destination(catalogue.destinations, catalogue.longest_prefix, number)


BORDERS = (
    ("+14255550123", "US", "ordinary"),
    ("+14165550123", "CA", "ordinary"),
    ("+17875550123", "PR", "ordinary"),
    ("+18765550123", "JM", "ordinary"),
    ("+18095550123", "DO", "ordinary"),
    ("+18005550123", "001", "toll_free"),
    ("+19005551234", "US", "premium"),
    ("+442079460000", "GB", "ordinary"),
    ("+447624123456", "IM", "mobile"),
    ("+441481255555", "GG", "ordinary"),
    ("+441534255555", "JE", "ordinary"),
    ("+448441234567", "GB", "shared_cost"),
    ("+448701234567", "GB", "shared_cost"),
    ("+449091234567", "GB", "premium"),
    ("+79161234567", "RU", "mobile"),
    ("+77012345678", "KZ", "mobile"),
    ("+390612345678", "IT", "ordinary"),
    ("+390669812345", "VA", "ordinary"),
    ("+39800555010", "IT", "toll_free"),
    ("+33899123456", "FR", "premium"),
    ("+262262123456", "RE", "ordinary"),
    ("+262269123456", "YT", "ordinary"),
    ("+262639123456", "YT", "mobile"),
    ("+358181234567", "AX", "ordinary"),
    ("+4779123456", "SJ", "ordinary"),
    ("+61891621234", "CC", "ordinary"),
    ("+61891641234", "CX", "ordinary"),
    ("+212528812345", "EH", "ordinary"),
    ("+212520123456", "MA", "ordinary"),
    ("+590590271234", "BL", "ordinary"),
    ("+59971712345", "BQ", "ordinary"),
    ("+59996123456", "CW", "mobile"),
    ("+80012345678", "001", "toll_free"),
    ("+881612345678", "001", "global_network"),
    ("+870301234567", "001", "global_network"),
    ("+97912345678", "001", "premium"),
    ("+99112345678", "001", "global_network"),
    ("+15005550123", "001", "global_network"),
)


@pytest.mark.parametrize(("number", "country", "number_class"), BORDERS)
def test_the_area_code_decides_where_a_number_leads(
    files: CatalogueFiles, number: str, country: str, number_class: str
) -> None:
    found = leads_to(files, number)

    assert found is not None
    assert (found.country, found.number_class.value) == (country, number_class)


def test_an_area_code_that_nobody_has_leads_nowhere(files: CatalogueFiles) -> None:
    assert leads_to(files, "+19995550123") is None


def examples() -> Iterator[tuple[str, str, set[str], set[NumberClass]]]:
    """Yield a region, an example number of it, and where that may lead."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS - SHARED):
        for kind, classes in CLASSES.items():
            number = phonenumbers.example_number_for_type(region, kind)
            is_special = classes.isdisjoint({NumberClass.ORDINARY, NumberClass.MOBILE})
            untold = TOLD_BY_LENGTH if is_special else SHARED_MOBILE
            if number is None or region in untold:
                continue
            assert number.country_code is not None
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            # Special numbers are of all regions of a country code alike.
            regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[number.country_code]
            yield region, e164, {*regions, "001"} if is_special else {region}, classes


def test_every_region_of_the_metadata_is_found_by_its_example_numbers(
    files: CatalogueFiles,
) -> None:
    wrong = []
    for region, e164, countries, classes in examples():
        found = leads_to(files, e164)
        if found is None or found.country not in countries or found.number_class not in classes:
            wrong.append((region, e164, found))

    assert wrong == []


def test_the_cost_of_a_look_up_does_not_grow_with_the_table() -> None:
    few, many = CountingTable(1_000), CountingTable(250_000)

    for table in (few, many):
        assert find_destination(table, 9, "+390612345678") is table["39"]

    assert few.steps == many.steps <= 10


class CountingTable(dict[str, Destination]):
    """A table of destinations that counts how often it is asked."""

    def __init__(self, size: int) -> None:
        italy = Destination("39", "IT", NumberClass.ORDINARY, "Italy")
        super().__init__({str(700_000_000 + place): italy for place in range(size)})
        self["39"] = italy
        self.steps = 0

    def get(self, *arguments: object) -> object:  # type: ignore[override] # Counts, no more.
        self.steps += 1
        return super().get(*arguments)  # type: ignore[call-overload] # As it was called.
