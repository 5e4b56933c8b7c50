"""The table of emergency numbers: a known caller has every number that anybody lists for there."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from phonenumbers.shortnumberinfo import SUPPORTED_SHORT_REGIONS

from policy.emergency import match_emergency
from policy.facts import EmergencyNumbers
from policy.numbering import read_number
from server.facts.catalogue import read_catalogue
from server.facts.files.problems import Problems

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = DATA / "tools" / "make_emergency.py"
    spec = importlib.util.spec_from_file_location("make_emergency", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def numbers() -> dict[str, EmergencyNumbers]:
    problems = Problems()
    files = read_catalogue(DATA / "catalogue", problems)
    problems.raise_if_any()
    return dict(files.catalogue.emergency)


def test_the_committed_table_is_the_one_the_script_makes(script: ModuleType) -> None:
    text = (DATA / "catalogue" / "emergency_numbers.csv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]

    committed = [tuple(row) for row in csv.reader(lines)][1:]

    assert committed == list(script.joined(script.read_source()))


def test_every_number_of_the_metadata_is_granted_or_left_out_by_name(
    script: ModuleType, numbers: dict[str, EmergencyNumbers]
) -> None:
    missed = [
        (country, number)
        for country in sorted(SUPPORTED_SHORT_REGIONS)
        for number in script.listed_by_metadata(country)
        if match_emergency(number, (country,), numbers) is None
        and (country, number) not in script.LEFT_OUT
    ]

    assert missed == []


@pytest.mark.parametrize(
    ("country", "number"),
    [("FR", "114"), ("FR", "196"), ("RE", "191"), ("KZ", "102"), ("NL", "911"), ("GG", "112")],
)
def test_a_known_caller_reaches_what_a_stranger_does(
    numbers: dict[str, EmergencyNumbers], country: str, number: str
) -> None:
    grant = match_emergency(number, (country,), numbers)

    assert grant is not None
    assert grant.dial_as == number


@pytest.mark.parametrize(
    ("country", "service", "number"),
    [
        ("US", "sos", "911"),
        ("GB", "sos.fire", "112"),
        ("JP", "sos.police", "110"),
        ("JP", "sos.fire", "119"),
        ("BR", "sos", "190"),
        ("AU", "sos", "000"),
        ("TH", "sos.ambulance", "1669"),
    ],
)
def test_a_service_is_routed_by_the_number_of_its_country(
    numbers: dict[str, EmergencyNumbers], country: str, service: str, number: str
) -> None:
    grant = match_emergency(f"urn:service:{service}", (country,), numbers)

    assert grant is not None
    assert grant.dial_as == number


def test_every_country_routes_sos_by_a_number_of_its_own(
    numbers: dict[str, EmergencyNumbers],
) -> None:
    for row in numbers.values():
        assert row.dial_masks["sos"] in row.numbers - {"933"}, row.country


def test_none_of_them_is_another_number_with_a_plus(
    numbers: dict[str, EmergencyNumbers],
) -> None:
    for row in numbers.values():
        for digits in (*row.numbers, *filter(str.isdecimal, row.dial_masks)):
            assert read_number("+" + digits, row.country) is None, (row.country, digits)
