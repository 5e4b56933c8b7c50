"""Reading a dialled number: every spelling of one number is one number, and the rest are none."""

from __future__ import annotations

import random
import re
import string

import phonenumbers
import pytest

from policy import numbering
from policy.numbering import LONGEST_E164_DIGITS, SPELLINGS_CACHED, read_number
from policy.spelling import LONGEST_SPELLING

# What was dialled, the country it was dialled in, what it is. The case is of the decision cases.
SPELLINGS = [
    # One number, however it is spelled. The leading zero of an Italian number belongs to it.
    ("+390612345678", "IT", "+390612345678"),
    ("+39 06 1234 5678", "IT", "+390612345678"),
    ("00390612345678", "IT", "+390612345678"),
    ("0612345678", "IT", "+390612345678"),
    ("06 1234-5678", "IT", "+390612345678"),
    ("390612345678", "IT", "+390612345678"),
    ("+39 06 1234 5678", "US", "+390612345678"),
    ("011390612345678", "US", "+390612345678"),
    ("011390612345678", "CA", "+390612345678"),
    ("0011390612345678", "AU", "+390612345678"),
    ("810390612345678", "RU", "+390612345678"),
    # The same digits are another number elsewhere.
    ("0612345678", "FR", "+33612345678"),
    # 00 and 011 are understood everywhere, except where they start a number of the country.
    ("00390612345678", "US", "+390612345678"),
    ("00390612345678", "AU", "+390612345678"),
    ("011442079460000", "IT", "+442079460000"),
    ("0115551234", "IT", "+390115551234"),
    ("01134960000", "GB", "+441134960000"),
    ("0114960000", "GB", "+44114960000"),
    # National spellings.
    ("4255550123", "US", "+14255550123"),
    ("14255550123", "US", "+14255550123"),
    ("(425) 555-0123", "US", "+14255550123"),
    ("425.555.0123", "US", "+14255550123"),
    ("1-800-555-0100", "US", "+18005550100"),
    ("18005550100", "CA", "+18005550100"),
    ("0844 123 4567", "GB", "+448441234567"),  # 34
    ("0909 879 0000", "GB", "+449098790000"),  # 35
    ("1 900 555 1234", "US", "+19005551234"),  # 36
    ("0899 12 34 56", "FR", "+33899123456"),  # 37
    ("+33 899 12 34 56", "FR", "+33899123456"),  # 37
    ("06 698 12345", "VA", "+390669812345"),
    ("8 495 700 00 00", "RU", "+74957000000"),
    # A trunk prefix behind the country code is dropped, where it is one.
    ("+44 (0)20 7946 0000", "US", "+442079460000"),
    ("+49 (0) 30 123456", "US", "+4930123456"),
    ("+39 (0)6 1234 5678", "US", "+390612345678"),
    # But not out of a number that is valid as it stands: 8 10 and 8 20 are area codes of Belarus.
    ("+3758101234567", "US", "+3758101234567"),
    ("+375 820 1234 5678", "US", "+37582012345678"),
    ("003758101234567", "IT", "+3758101234567"),
    ("+375 8 029 123 45 67", "US", "+375291234567"),
    # Spellings that machines produce.
    ("tel:+14255550123", "US", "+14255550123"),
    ("TEL:+1-425-555-0123", "US", "+14255550123"),
    ("\u202a+1\u00a0425\u00a0555\u20110123\u202c", "US", "+14255550123"),
    ("+14255550123", "", "+14255550123"),
    # Parameters that never change the number.
    ("+12065550100;verstat=TN-Validation-Passed", "US", "+12065550100"),
    ("+12015550123;npdi;rn=+12015550000", "US", "+12015550123"),
    ("2015550123;NPDI;rn=+12015550000;cic=+1-6789", "US", "+12015550123"),
    ("+12065550100;tgrp=a;trunk-context=b.example;isub=1;cpc=ordinary;oli=0", "IT", "+12065550100"),
    ("tel:+1-206-555-0100; verstat=No-TN-Validation ;user=phone", "IT", "+12065550100"),
    ("+12065550100;phone-context=+39", "IT", "+12065550100"),
    ("2065550100;phone-context=+1", "US", "+12065550100"),
    ("12065550100;phone-context=+1-206", "US", "+12065550100"),
    ("0612345678;phone-context=+39;npdi", "US", "+390612345678"),
    ("02079460000;phone-context=+44", "IT", "+442079460000"),
    # Possible is enough: nobody holds these, and metadata of tomorrow may know better.
    ("+15555550123", "US", "+15555550123"),
    ("+80012345678", "US", "+80012345678"),
    ("+881612345678", "US", "+881612345678"),
    # Numbers that begin with a zero, and countries where some do.
    ("0549 886377", "SM", "+3780549886377"),
    ("+225 01 23 45 67 89", "US", "+2250123456789"),
    ("+47 02000", "US", "+4702000"),
]

NO_NUMBERS = [
    ("12ab", "US"),
    ("1-800-FLOWERS", "US"),
    ("", "US"),
    ("+", "US"),
    ("++14255550123", "US"),
    ("+1+4255550123", "US"),
    ("00", "IT"),
    ("011", "US"),
    ("112", "US"),  # 63: of no row of the United States, so an ordinary number, which it is not.
    ("9112025551234", "US"),  # An emergency number in front makes nothing an emergency.
    ("0013103493", "IT"),  # Canada's 310 is dialled within Canada alone.
    ("+13103493", "CA"),
    ("5550123", "US"),  # Without an area code it could be anywhere.
    ("+15550123", "US"),
    ("+142555501239", "US"),
    ("+1425555012", "US"),
    ("+39061", "IT"),
    # A trunk prefix before too few digits; kept, it would hide a number of another class.
    ("0900 12345", "GB"),
    ("+44 0844 12345", "US"),
    ("+3540908563", "US"),
    ("+4708100015", "NO"),
    ("+3906123456789012", "IT"),
    ("+49123456789012345", "DE"),
    ("+999123456789", "US"),
    ("+0123456789", "US"),
    ("411", "US"),
    ("3939", "FR"),
    ("11833", "DE"),
    ("*67 425 555 0123", "US"),
    ("425 555 0123 x5", "US"),
    ("tel:+14255550123;ext=5", "US"),
    ("tel:+14255550123;postd=pp22", "US"),
    ("+14255550123;npdi;ext=5;cpc=ordinary", "US"),
    ("+14255550123;unknown=1", "US"),
    ("0612345678;phone-context=acme.example", "IT"),
    ("0612345678;phone-context=+", "IT"),
    ("0612345678;phone-context=+999", "XX"),
    ("sip:+14255550123@example.com", "US"),
    ("\u0660\u0666\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "IT"),
    ("\uff0b14255550123", "US"),
    ("4255550123", ""),
    ("4255550123", "XX"),
    ("4255550123", "001"),
    ("4255550123\x00", "US"),
    ("4255550123\n", "US"),
]


@pytest.mark.parametrize(("dialled", "country", "e164"), SPELLINGS)
def test_a_spelling_is_read_as_its_country_dials(dialled: str, country: str, e164: str) -> None:
    assert read_number(dialled, country) == e164


@pytest.mark.parametrize(("dialled", "country"), NO_NUMBERS)
def test_what_is_no_number_is_not_read(dialled: str, country: str) -> None:
    assert read_number(dialled, country) is None


def test_a_plain_e164_spelling_is_read_without_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(spelling: str, country: str | None) -> None:
        raise AssertionError(spelling)

    monkeypatch.setattr(phonenumbers, "parse", refuse)

    for e164 in ("+14255550123", "+390612345678", "+442079460000", "+4930123456", "+998901234567"):
        assert read_number(e164, "US") == e164


def test_a_spelling_with_plus_means_what_the_library_says_it_means() -> None:
    chance = random.Random(20_261)
    codes = [str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE]

    for _ in range(4_000):
        code = chance.choice([*codes, "0", "999", "21"])
        behind = "".join(chance.choices(string.digits, k=chance.randint(1, 15)))
        spelling = f"+{code}{behind}"

        assert read_number(spelling, "US") == _library_reading(spelling), spelling


def test_example_numbers_of_every_country_are_read_in_every_spelling() -> None:
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(country)
        if example is None:
            continue
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        international = phonenumbers.PhoneNumberFormat.INTERNATIONAL
        national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)

        assert read_number(e164, country) == e164
        assert read_number(phonenumbers.format_number(example, international), "US") == e164
        assert read_number(national, country) == e164
        assert read_number("00" + e164[1:], country) == e164
        assert read_number("011" + e164[1:], "US") == e164


def test_a_number_read_is_e164_and_reads_as_itself() -> None:
    chance = random.Random(20_262)
    alphabet = string.digits * 4 + "+- ().\u00a0aZ#*;\u0661"
    form = re.compile(rf"\+[1-9][0-9]{{1,{LONGEST_E164_DIGITS - 1}}}")

    read = 0
    for _ in range(4_000):
        dialled = "".join(chance.choices(alphabet, k=chance.randint(0, 20)))
        e164 = read_number(dialled, chance.choice(["US", "IT", "GB", "DE", "JP", "BR", "AR", ""]))
        if e164 is not None:
            read += 1
            assert form.fullmatch(e164), dialled
            assert read_number(e164, "ZZ") == e164, dialled

    assert read > 100


def test_a_spelling_beyond_the_limit_is_not_even_looked_at() -> None:
    blanks = " " * (LONGEST_SPELLING - len("+14255550123"))

    assert read_number("+1425555" + blanks + "0123", "US") == "+14255550123"
    assert read_number("+1425555" + blanks + " 0123", "US") is None
    assert read_number("1" * 10_000, "US") is None


def test_the_readings_kept_are_bounded() -> None:
    for cached in (numbering._read_national, numbering._read_behind_prefix):
        assert cached.cache_info().maxsize == SPELLINGS_CACHED


def _library_reading(spelling: str) -> str | None:
    try:
        number = phonenumbers.parse(spelling, None)
    except phonenumbers.NumberParseException:
        return None
    possible = phonenumbers.is_possible_number_with_reason(number)
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE or len(e164) > 16:
        return None
    # The library keeps a zero that no number of the country begins with; nobody is called so.
    return None if number.italian_leading_zero and not _may_begin_with_zero(number) else e164


def _may_begin_with_zero(number: phonenumbers.PhoneNumber) -> bool:
    assert number.country_code is not None
    region = phonenumbers.region_code_for_country_code(number.country_code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(
        number.country_code, region
    )
    assert metadata is not None
    assert metadata.general_desc is not None
    pattern = metadata.general_desc.national_number_pattern or ""
    return re.fullmatch(pattern, phonenumbers.national_significant_number(number)) is not None
