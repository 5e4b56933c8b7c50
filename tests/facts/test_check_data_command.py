"""`python -m server check-data` tells what the folders hold, or every mistake in them."""

from __future__ import annotations

import pytest

from fact_files import RATES_HEADER, FactFiles
from server.app.check_data import check


def test_sound_folders_are_summed_up(files: FactFiles, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.folders.directory is not None
    status = check(files.folders.catalogue, files.folders.directory)

    out, err = capsys.readouterr()
    assert status == 0
    assert "6 prefixes, rates EUR 4" in out
    assert "2 tenants, 2 users, 1 service numbers" in out
    assert not err


def test_mistakes_are_counted_and_nothing_is_used(
    files: FactFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    files.change("catalogue/rates/EUR.csv", "0.10", "ten")
    files.change("directory/fabrikam.toml", '"0.00"', '"none"')

    assert files.folders.directory is not None
    status = check(files.folders.catalogue, files.folders.directory)

    out, err = capsys.readouterr()
    assert status == 1
    assert not out
    assert err.endswith("nothing is used.\n")
    assert "EUR.csv:2: per_minute" in err
    assert "fabrikam.toml:5: opening_balance" in err


def test_a_deck_of_three_lines_is_used_with_a_warning(
    files: FactFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    deck = "39,,0.10,0,60/60,2026-01-01\n393,,0.20,0,60/60,2026-01-01\nUS,,1,0,1/1,2026-01-01\n"
    files.write("catalogue/rates/CHF.csv", RATES_HEADER + deck)

    assert files.folders.directory is not None
    status = check(files.folders.catalogue, files.folders.directory)

    assert status == 0
    assert capsys.readouterr().err == (
        "warning: rates/CHF.csv: no rate for VA: what credits would pay there is refused, "
        "DESTINATION_UNRATED\n"
    )
