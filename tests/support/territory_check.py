"""Compares reading and table with the number metadata, over made-up valid numbers."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import phonenumbers
from phonenumbers import PhoneNumber

from policy.destination import WORLD, find_destination
from policy.facts import Catalogue
from policy.numbering import LONGEST_E164_DIGITS, read_number
from valid_numbers import valid_numbers

# What begins so is not read back, or does not lead where the metadata says, and why.
TOO_LONG = "longer than E.164 allows"
EXCEPTIONS = {
    "+1310": "310 and seven digits is dialled without an area code, from within Canada alone",
    "+390549": "San Marino is dialled through Italy, which the metadata counts as Italy",
    "+4498": "Guernsey's part of the premium numbers that the four territories of +44 share",
    "+76": "set aside for Kazakhstan",
    "+972": "56 and 59 are networks of Palestine, which the metadata counts into Israel",
    "+447924": "of the Isle of Man's, as is all of 7924",
}


@dataclass
class Findings:
    """What was played; the lists hold (territory, kind, number) and are to be empty."""

    numbers: int = 0
    excepted: Counter[str] = field(default_factory=Counter)
    not_read_back: list[tuple[str, str, str]] = field(default_factory=list)
    led_elsewhere: list[tuple[str, str, str]] = field(default_factory=list)


def check_numbers(catalogue: Catalogue, chance: random.Random, *, each: int) -> Findings:
    """Read up to `each` numbers a territory and kind, and look where they lead."""
    findings = Findings()
    for region, kind, e164 in valid_numbers(chance, each):
        findings.numbers += 1
        if len(e164) > LONGEST_E164_DIGITS + 1:
            findings.excepted[TOO_LONG] += 1
            continue
        is_read = read_number(e164, "US") == e164
        is_led = _leads_there(catalogue, e164)
        if is_read and is_led:
            continue
        reason = next((why for start, why in EXCEPTIONS.items() if e164.startswith(start)), "")
        if reason:
            findings.excepted[reason] += 1
        elif not is_read:
            findings.not_read_back.append((region, kind, e164))
        else:
            findings.led_elsewhere.append((region, kind, e164))
    return findings


def _leads_there(catalogue: Catalogue, e164: str) -> bool:
    """Tell whether the table leads to a territory in which the metadata has the number as valid."""
    found = find_destination(catalogue.destinations, catalogue.longest_prefix, e164)
    if found is None:
        return False
    number = phonenumbers.parse(e164)
    territories = _territories(number.country_code or 0)
    return found.country == WORLD or len(territories) == 1 or _is_valid(number, found.country)


def _is_valid(number: PhoneNumber, country: str) -> bool:
    return bool(phonenumbers.is_valid_number_for_region(number, country))


@cache
def _territories(country_code: int) -> tuple[str, ...]:
    return tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code])
