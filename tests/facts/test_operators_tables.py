"""What an operator lays over the made tables counts, and what lies under it stays."""

from __future__ import annotations

import pytest

from fact_files import FactFiles
from policy.destination import Destination, NumberClass, find_destination
from policy.emergency import match_emergency
from policy.facts import Catalogue, ShortCodeClass
from server.facts import read_facts


def catalogue_of(files: FactFiles) -> Catalogue:
    return read_facts(files.folders)[0]


def leads_to(catalogue: Catalogue, e164: str) -> Destination | None:
    return find_destination(catalogue.destinations, catalogue.longest_prefix, e164)


def test_a_prefix_of_the_operators_is_added_and_replaces_a_made_one(files: FactFiles) -> None:
    files.write(
        "catalogue/prefixes_extra.csv",
        "prefix,country,number_class,label\n1861,US,ordinary,Illinois\n393,IT,premium,Dear\n",
    )

    catalogue = catalogue_of(files)

    added, replaced = leads_to(catalogue, "+18615550100"), leads_to(catalogue, "+393331234567")
    assert added is not None
    assert (added.country, added.label) == ("US", "Illinois")
    assert replaced is not None
    assert replaced.number_class is NumberClass.PREMIUM
    assert leads_to(catalogue, "+390612345678") is catalogue.destinations["39"]


def test_emergency_numbers_of_the_operators_are_added_to_those_of_the_country(
    files: FactFiles,
) -> None:
    files.write(
        "catalogue/emergency_extra.csv",
        "country,numbers,dial_masks\nUS,988,0911>911 sos>988\nVA,113,\n",
    )

    numbers = catalogue_of(files).emergency

    for dialled, place, dial_as in (
        ("911", "US", "911"),
        ("9911", "US", "911"),
        ("0911", "US", "911"),
        ("988", "US", "988"),
        ("urn:service:sos", "US", "988"),
        ("113", "VA", "113"),
        ("112", "IT", "112"),
    ):
        grant = match_emergency(dialled, (place,), numbers)
        assert grant is not None, dialled
        assert grant.dial_as == dial_as


def test_short_codes_may_be_the_operators_alone(files: FactFiles) -> None:
    files.write(
        "catalogue/short_codes_extra.csv",
        "country,code,treatment,label\nIT,3xxx,rated,Services\nIT,3020,free,Helper\n",
    )

    codes = catalogue_of(files).short_codes["IT"]

    assert {code: one.treatment for code, one in codes.items()} == {
        "3xxx": ShortCodeClass.RATED,
        "3020": ShortCodeClass.FREE,
    }


def test_lists_and_rules_of_the_operators_are_added(files: FactFiles) -> None:
    files.write("catalogue/zone_a_extra.csv", "country\nVA\n")
    files.write(
        "catalogue/premium_rules_extra.csv",
        "country,prefix,treatment,length\nIT,*,blocked,\n*,39166,credits,11\n",
    )

    catalogue = catalogue_of(files)

    assert catalogue.zone_a == {"IT", "US", "VA"}
    assert [(one.prefix, one.treatment, one.length) for one in catalogue.premium_rules["IT"]] == [
        ("*", "blocked", 0),
        ("39166", "credits", 11),
    ]
    assert [one.prefix for one in catalogue.premium_rules["VA"]] == ["39166"]


def test_a_length_tells_what_a_prefix_cannot(files: FactFiles) -> None:
    files.write(
        "catalogue/prefixes_extra.csv",
        "prefix,country,number_class,label,length\n"
        "3906,IT,premium,Dear,12\n39069,IT,toll_free,Free,12\n",
    )
    catalogue = catalogue_of(files)

    found = {
        number: leads.number_class if (leads := leads_to(catalogue, number)) else None
        for number in (
            "+390612345678",
            "+39061234567",
            "+390691234567",
            "+3906698123456",
            "+3933312345678",
        )
    }
    assert found == {
        "+390612345678": NumberClass.PREMIUM,
        "+39061234567": NumberClass.ORDINARY,
        "+390691234567": NumberClass.TOLL_FREE,
        "+3906698123456": NumberClass.ORDINARY,
        "+3933312345678": NumberClass.MOBILE,
    }


def test_a_table_of_the_operators_that_is_laid_over_nothing_is_a_mistake(files: FactFiles) -> None:
    files.write("catalogue/prefix_extra.csv", "prefix,country\n")

    [told] = files.mistakes()
    assert told.startswith("catalogue/prefix_extra.csv: is laid over no table; give one of ")
    assert "emergency_extra.csv" in told
    assert "prefixes_extra.csv" in told


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        (
            "prefixes_extra.csv",
            "prefix,country,number_class,label\n1861,XX,ordinary,Nowhere\n",
            "prefixes_extra.csv:2: country: is 'XX'",
        ),
        (
            "emergency_extra.csv",
            "country,numbers,dial_masks\nUS,,911x>911\n",
            "emergency_extra.csv:2: numbers: US: '911x' is not 1 to 8 digits",
        ),
        (
            "short_codes_extra.csv",
            "country,code,treatment,label\nIT,x11,free,No\n",
            "short_codes_extra.csv:2: code: is 'x11'; give 2 to 6 digits",
        ),
        (
            "premium_rules_extra.csv",
            "country,prefix,treatment,length\nIT,39,blocked,99\n",
            "premium_rules_extra.csv:2: length: is '99'; give how many digits",
        ),
    ],
)
def test_a_mistake_in_the_operators_table_is_told_by_its_own_name(
    files: FactFiles, name: str, text: str, mistake: str
) -> None:
    files.write(f"catalogue/{name}", text)

    assert any(mistake in told for told in files.mistakes()), files.mistakes()
