"""`python -m server test`: an operator's cases against the rules, from files or an engine."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from engines import running_engine
from server.settings import Settings
from server.testing.cases import rehearse

DATA = Path(__file__).parent.parent.parent / "data"
ABROAD = "Calls abroad are paid by credits, and cost what the rate says"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings over copies of the sample's folders."""
    for name in ("catalogue", "directory", "cases"):
        shutil.copytree(DATA / name, tmp_path / name)
    return Settings(
        catalogue_folder=tmp_path / "catalogue", directory_folder=tmp_path / "directory"
    )


def a_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_cases_of_the_sample_are_as_expected(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    status = rehearse(settings, [DATA / "cases"], address="", junit=None)

    out = capsys.readouterr().out
    assert status == 0
    assert re.search(r"^(\d+) of \1 cases as expected, 0 not; \d+ steps played$", out, re.MULTILINE)
    assert "rules: 15 of 15 seen passing" in out
    assert "never refusing: funding, rate, reach" in out


def test_a_rate_that_changed_names_each_case_that_counted_on_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = settings.catalogue_folder / "rates" / "USD.csv"
    change(rates, "3906,,0.1000,0.0000,60/60,2026", "3906,,0.1200,0.0000,60/60,2026")

    status = rehearse(settings, [tmp_path / "cases"], address="", junit=None)

    out = capsys.readouterr().out
    assert status == 1
    assert f"\"{ABROAD}\", step 1 (authorize): rate: expected '0.10', was '0.12'" in out
    assert f"\"{ABROAD}\", step 3 (settle): charged: expected '0.20', was '0.24'" in out
    assert "Premium numbers" not in out


def test_a_wrong_expectation_is_named_and_the_report_of_build_servers_has_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """H8: it exits non-zero and names the case; the JUnit file parses."""
    junit = tmp_path / "junit.xml"
    change(tmp_path / "cases" / "contoso.toml", 'refused = "DESTINATION_BLOCKED"', "granted = 60")

    status = rehearse(settings, [tmp_path / "cases"], address="", junit=junit)

    told = "step 1 (authorize): granted: expected 60, but it was refused: DESTINATION_BLOCKED"
    assert status == 1
    assert told in capsys.readouterr().out
    report = ET.parse(junit)  # noqa: S314 - Our own.
    failed = [case for case in report.iter("testcase") if case.find("failure") is not None]
    assert [case.get("name") for case in failed] == ["Premium numbers are blocked, whoever pays"]
    suites = {suite.get("name"): suite for suite in report.iter("testsuite")}
    assert suites[str(tmp_path / "cases" / "contoso.toml")].get("failures") == "1"


def test_every_mistake_of_a_file_is_told_with_its_line_and_nothing_is_played(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_file(
        tmp_path,
        """\
at = 2026-11-16T12:00:00

[[case]]
name = "twice"
[[case.step]]
authorize = { by = "adele", too = "911" }
[[case.step]]
settle = { used = 1 }
release = {}

[[case]]
name = "twice"
tenant = "contoso"
[[case.step]]
after = "soon"
balance = {}
[[case.step]]
balance = {}
expect = { availble = "1.00" }
""",
    )

    status = rehearse(settings, [path], address="", junit=None)

    out, err = capsys.readouterr()
    assert status == 2
    assert not out
    for told in (
        f"{path}:3: case.0.tenant: is missing; give it here or at the head of the file",
        f"{path}:1: at: has no zone; write a Z behind it for UTC",
        f"{path}:6: case.0.step.0.authorize",
        "case.0.step.1: asks 2 things; give one of authorize, extend, settle, release, balance",
        f"{path}:15: case.1.step.0.after: is 'soon'; give a span, such as \"75s\"",
        f"{path}:19: case.1.step.1.expect.availble: is no word about balance",
        f"{path}:11: name: is the name of the case on line 3; give another",
    ):
        assert told in err


def test_a_case_of_a_tenant_that_nobody_knows_fails_and_the_others_are_played(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_file(
        tmp_path,
        """\
[[case]]
name = "nobody"
tenant = "nobody"
[[case.step]]
balance = {}

[[case]]
name = "wrong facts"
tenant = "contoso"
facts = { country = "XX" }
[[case.step]]
balance = {}

[[case]]
name = "sound"
tenant = "contoso"
[[case.step]]
balance = {}
expect = { available = "50.00" }
""",
    )

    status = rehearse(settings, [path], address="", junit=None)

    out = capsys.readouterr().out
    assert status == 1
    assert '"nobody": ' in out
    assert "is 'nobody'; known: adatum, contoso" in out
    assert '"wrong facts": ' in out
    assert "1 of 3 cases as expected, 2 not" in out


def test_a_refusal_that_nobody_expected_fails_a_case_without_expectations(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_file(
        tmp_path,
        """\
[[case]]
name = "careless"
tenant = "contoso"
[[case.step]]
authorize = { by = "frank", to = "+14255550123" }
""",
    )

    assert rehearse(settings, [path], address="", junit=None) == 1
    assert "it was refused: LICENCE_MISSING" in capsys.readouterr().out


def test_a_running_engine_is_asked_what_can_be_asked_of_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_file(
        tmp_path,
        """\
tenant = "contoso"

[[case]]
name = "asked"
[[case.step]]
authorize = { by = "adele", to = "+390612345678", seconds = 60 }
expect = { pays = "credits", rate = "0.10" }
[[case.step]]
settle = { used = 1 }
expect = { charged = "0.10" }
[[case.step]]
settle = { call = "another", used = 1 }
expect = { error = "CALL_UNKNOWN" }

[[case]]
name = "needs a clock of its own"
[[case.step]]
authorize = { by = "adele", to = "+390612345678", seconds = 60 }
[[case.step]]
after = "1h"
balance = {}
""",
    )

    with running_engine(tmp_path / "engine") as engine:
        for _ in range(2):
            assert rehearse(settings, [path], address=engine.address, junit=None) == 0
        balance = engine.balance("contoso")

    assert "1 of 2 cases as expected, 0 not, 1 skipped" in capsys.readouterr().out
    assert balance.debited.micros == 2 * 100_000


def test_cases_that_could_all_not_be_asked_are_no_success(
    settings: Settings, tmp_path: Path
) -> None:
    with running_engine(tmp_path / "engine") as engine:
        status = rehearse(settings, [DATA / "cases"], address=engine.address, junit=None)

    assert status == 1
