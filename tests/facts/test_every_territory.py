"""Valid numbers of every territory: read back to themselves, and led to where they belong.

A sample here; `make numbers` plays some 335,000.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from policy.facts import Catalogue
from server.facts.catalogue import read_catalogue
from server.facts.files.problems import Problems
from territory_check import Findings, check_numbers

SAMPLE_EACH = 2


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    problems = Problems()
    files = read_catalogue(Path(__file__).parents[2] / "data" / "catalogue", problems)
    problems.raise_if_any()
    return files.catalogue


def test_numbers_of_every_territory_are_read_back_and_lead_there(catalogue: Catalogue) -> None:
    findings = check_numbers(catalogue, random.Random(335), each=SAMPLE_EACH)

    assert findings == Findings(findings.numbers, findings.excepted)
    assert findings.numbers > 2_000
