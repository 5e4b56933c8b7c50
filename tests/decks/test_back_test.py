"""A period's usage asked again by the rules: minutes, credits, limits, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from fact_files import FactFiles
from policy.reasons import Reason
from server.facts import read_facts
from server.usage.back_test import BackTest, Part, PlayedCall
from usage_to_play import instant

ROME, SEATTLE, VATICAN = "+390612345678", "+12065550100", "+390669812345"
POOL_SECONDS = 1_200 * 60


@pytest.fixture(name="files")
def fixture_files(tmp_path: Path) -> FactFiles:
    files = FactFiles(tmp_path)
    files.change("directory/fabrikam.toml", '"MCOPSTN1"]', '"MCOPSTN1", "MCOPSTNPP"]')
    return files


def _call(number: str, seconds: int, end: str = "2026-11-10", **changes: str) -> PlayedCall:
    given = {"account_id": "gina", "call_type": "user_out", "tenant_id": "fabrikam", **changes}
    return PlayedCall(
        caller_id="",
        destination_number=number,
        external_country=number[1:3],
        start_ms=instant(end),
        currency="EUR",
        parts=(Part("credits", seconds, 1_000),),
        **given,
    )


def _play(files: FactFiles, *calls: PlayedCall) -> BackTest:
    catalogue, tenants = read_facts(files.folders)
    test = BackTest(catalogue, tenants, rates_at_ms=instant("2026-12-01"))
    test.play_all(calls)
    return test


def test_minutes_pay_first_then_credits_and_the_next_month_has_minutes_again(
    files: FactFiles,
) -> None:
    sums = _play(
        files,
        _call(ROME, POOL_SECONDS - 300),
        _call(ROME, 600),
        _call(ROME, 60, "2026-12-02"),
        _call(SEATTLE, 61),
        _call(VATICAN, 30),
    ).played.totals["EUR"]

    # Five minutes at 0.10 without a fee, 66 s at 0.02 a minute, a minute at 0.30 with its fee.
    assert sums.would_micros == 500_000 + 22_000 + 350_000
    assert (sums.calls, sums.charged_micros, sums.refused_calls) == (5, 5_000, 0)


def test_what_the_other_facts_refuse_is_told_with_its_reason(files: FactFiles) -> None:
    files.change("directory/fabrikam.toml", ', "MCOPSTNPP"]', "]")

    played = _play(
        files,
        _call(SEATTLE, 60),
        _call(ROME, 60),
        _call(ROME, 60, account_id="nobody"),
        _call(ROME, 60, tenant_id="elsewhere"),
    ).played

    assert dict(played.refusals) == {Reason.PAYER_NOT_ENABLED: 1, Reason.USER_UNKNOWN: 1}
    assert (played.totals["EUR"].refused_micros, played.left_out) == (2_000, 1)
    assert played.by_account["EUR", "fabrikam", "nobody"].refused_calls == 1


def test_a_spend_limit_is_filled_anew_and_ends_what_is_beyond_it(files: FactFiles) -> None:
    files.change(
        "directory/fabrikam.toml",
        'usage_location = "IT"',
        'usage_location = "IT"\nspend_limit = "0.02"',
    )

    played = _play(
        files, _call(SEATTLE, 61), _call(SEATTLE, 60), _call(SEATTLE, 60, "2026-12-02")
    ).played

    assert played.totals["EUR"].would_micros == 20_000 + 0 + 20_000
    assert dict(played.refusals) == {Reason.SPEND_LIMIT_REACHED: 1}


def test_arrivals_at_a_service_number_are_played_by_their_origin(files: FactFiles) -> None:
    arrived = _call("+39800555010", 61, call_type="conf_in", account_id="fabrikam")
    arrived = arrived._replace(caller_id=ROME, external_country="IT")

    by_rules = _play(files, arrived).played.totals["EUR"].would_micros
    catalogue, _ = read_facts(files.folders)
    priced = BackTest(catalogue, rates_at_ms=instant("2026-12-01"))
    priced.play(arrived)

    assert by_rules == 2 * 90_000
    assert priced.played.totals["EUR"].would_micros == 2 * 90_000
