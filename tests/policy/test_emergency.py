"""Emergency numbers: granted by place and by the exact digits, whatever else is wrong."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping

import pytest

from emergency_spellings import EMERGENCY_SPELLINGS, NO_EMERGENCY_SPELLINGS
from number_facts import EMERGENCY
from policy.decision import EmergencyGrant
from policy.emergency import InvalidEmergencyNumbers, check_emergency_numbers, match_emergency
from policy.emergency_spelling import LONGEST_EMERGENCY_NUMBER
from policy.facts import EmergencyNumbers
from policy.numbering import read_number

# What is dialled, where the caller may be, what is routed, the place it is routed for.
EMERGENCIES = [
    ("911", ("US",), "911", "US"),  # 62
    ("933", ("US",), "933", "US"),
    ("9911", ("US",), "911", "US"),  # 63
    ("1911", ("US",), "911", "US"),  # 63
    ("9933", ("US",), "933", "US"),
    ("112", ("AU",), "000", "AU"),
    ("15", ("FR",), "15", "FR"),  # 64
    ("17", ("FR",), "17", "FR"),  # 64
    ("18", ("FR",), "18", "FR"),  # 64
    ("116000", ("FR",), "116000", "FR"),
    # Leading zeros are digits.
    ("000", ("AU",), "000", "AU"),
    ("061", ("ES",), "061", "ES"),
    ("001", ("TM",), "001", "TM"),
    # The place the caller is in, and the usage location too; the first of them first.
    ("911", ("US", "GB"), "911", "US"),  # 66
    ("999", ("US", "GB"), "999", "GB"),  # 66
    ("112", ("GB", "AU"), "112", "GB"),
    ("112", ("AU", "GB"), "000", "AU"),
    # However it is spelled.
    ("9-1-1", ("US",), "911", "US"),
    ("9 1 1", ("US",), "911", "US"),
    ("(911)", ("US",), "911", "US"),
    (" 911\r\n", ("US",), "911", "US"),
    ("+911", ("US",), "911", "US"),
    ("+112", ("IT",), "112", "IT"),
    ("tel:911", ("US",), "911", "US"),
    ("tel:911;phone-context=+1", ("US",), "911", "US"),
    ("\u0669\u0661\u0661", ("US",), "911", "US"),
    ("\uff11\uff11\uff12", ("IT",), "112", "IT"),
    ("911", ("us",), "911", "US"),
    ("911", (" US ",), "911", "US"),
    # Places the table has no numbers for: the metadata library knows some.
    ("999", ("ZW",), "999", "ZW"),
    ("990", ("TT",), "990", "TT"),
]

NO_EMERGENCIES = [
    ("112", ("US",)),  # 63
    ("911", ("IT",)),
    ("15", ("IT",)),
    ("911", ()),
    ("911", ("",)),
    ("911", ("Atlantis", "001", "../etc")),
    # Only the whole number counts: what follows would be a free call to anywhere.
    ("9112025551234", ("US",)),
    ("112390612345678", ("IT",)),
    ("9990001", ("GB",)),
    ("91", ("US",)),
    ("0911", ("US",)),
    ("99911", ("US",)),
    ("*911", ("US",)),
    ("911x", ("US",)),
    ("", ("US",)),
    ("+", ("US",)),
    ("00", ("AU",)),
    ("0", ("AU",)),
    ("+14255550123", ("US", "IT")),
    ("9999999", ("TT",)),
]


@pytest.mark.parametrize(("dialled", "locations", "dial_as", "location"), EMERGENCIES)
def test_an_emergency_number_is_granted_where_it_is_one(
    dialled: str, locations: tuple[str, ...], dial_as: str, location: str
) -> None:
    assert match_emergency(dialled, locations, EMERGENCY) == EmergencyGrant(dial_as, location)


@pytest.mark.parametrize(("dialled", "locations"), NO_EMERGENCIES)
def test_what_is_no_emergency_number_there_is_not_granted(
    dialled: str, locations: tuple[str, ...]
) -> None:
    assert match_emergency(dialled, locations, EMERGENCY) is None


@pytest.mark.parametrize("dialled", EMERGENCY_SPELLINGS)
def test_an_emergency_is_one_however_it_is_spelled(dialled: str) -> None:
    assert match_emergency(dialled, ("US",), EMERGENCY) == EmergencyGrant("911", "US")


@pytest.mark.parametrize("dialled", NO_EMERGENCY_SPELLINGS)
def test_what_holds_more_than_an_emergency_number_is_none(dialled: str) -> None:
    assert match_emergency(dialled, ("US", "GB"), EMERGENCY) is None


@pytest.mark.parametrize(
    ("urn", "locations", "dial_as", "location"),
    [
        ("urn:service:sos", ("GB",), "112", "GB"),
        ("urn:service:sos", ("AU", "GB"), "000", "AU"),
        ("urn:service:sos", ("", "AU"), "000", "AU"),
        ("urn:service:sos.police", ("JP",), "110", "JP"),
        ("urn:service:sos.fire", ("JP",), "119", "JP"),
        ("urn:service:sos.fire.wild", ("JP",), "119", "JP"),
        ("urn:service:sos.marine", ("JP",), "119", "JP"),
        ("urn:service:sos", (), "112", ""),
        ("urn:service:sos.fire", ("", "??"), "112", ""),
    ],
)
def test_a_service_is_routed_as_the_place_dials_it(
    urn: str, locations: tuple[str, ...], dial_as: str, location: str
) -> None:
    assert match_emergency(urn, locations, EMERGENCY) == EmergencyGrant(dial_as, location)


def test_an_emergency_with_plus_in_front_could_be_no_other_number() -> None:
    for country, row in EMERGENCY.items():
        for digits in (*row.numbers, *filter(str.isdecimal, row.dial_masks)):
            assert read_number("+" + digits, country) is None


def test_nothing_that_can_be_dialled_makes_it_fail() -> None:
    chance = random.Random(20_263)
    alphabet = (
        string.digits * 3 + string.printable + "\x00\x1b\u0669\u0966\u00b2\u2460\ud800\U0001f198"
    )
    places = ["US", "IT", "ZW", "", "??", "\x00", "TT", "x" * 300, "001", "\ud800", "\u00df"]

    for _ in range(20_000):
        dialled = "".join(chance.choices(alphabet, k=chance.choice([0, 1, 2, 3, 3, 3, 4, 9])))
        locations = tuple(chance.choices(places, k=chance.randint(0, 3)))

        grant = match_emergency(dialled, locations, EMERGENCY)

        assert grant is None or (grant.dial_as.isascii() and grant.dial_as.isdecimal())


@pytest.mark.parametrize("piece", ["9", "911", "\x00", "\u0669", " ", "+", "tel:", "-", ";"])
def test_ten_thousand_characters_are_no_emergency(piece: str) -> None:
    assert match_emergency(piece * 10_000, ("US", "ZW"), EMERGENCY) is None


def test_an_ordinary_number_asks_the_table_nothing() -> None:
    class Untouchable(Mapping[str, EmergencyNumbers]):
        def __getitem__(self, key: str) -> EmergencyNumbers:
            raise AssertionError(key)

        def __iter__(self) -> object:  # type: ignore[override] # Never iterated.
            raise AssertionError

        def __len__(self) -> int:
            raise AssertionError

    assert match_emergency("+14255550123", ("US",), Untouchable()) is None
    assert match_emergency("0039 06 1234 5678", ("IT",), Untouchable()) is None


def test_every_row_of_the_table_can_match() -> None:
    for row in EMERGENCY.values():
        check_emergency_numbers(row)

        for digits in row.numbers:
            assert match_emergency(digits, (row.country,), EMERGENCY) == EmergencyGrant(
                digits, row.country
            )


@pytest.mark.parametrize(
    ("numbers", "masks", "complaint"),
    [
        ({"9 1 1"}, {}, "'9 1 1' is not"),
        ({""}, {}, "'' is not"),
        ({"9" * (LONGEST_EMERGENCY_NUMBER + 1)}, {}, "is not 1 to 8 digits"),
        ({"911"}, {"9-911": "911"}, "'9-911' is not"),
        ({"911"}, {"help": "911"}, "'help' is not"),
        ({"911"}, {"sos.police": "110"}, "mask sos.police leads to 110, no number"),
        ({"911"}, {"9999": "999"}, "mask 9999 leads to 999, no number"),
        ({"911", "112"}, {"112": "911"}, "112 is both a number and a mask"),
    ],
)
def test_a_row_that_could_not_match_is_refused(
    numbers: set[str], masks: dict[str, str], complaint: str
) -> None:
    with pytest.raises(InvalidEmergencyNumbers, match=complaint):
        check_emergency_numbers(EmergencyNumbers("US", frozenset(numbers), masks))
