"""`callgate rates` and `callgate back-test` at a running engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from callgate.v1 import authorization_pb2
from engines import ROOT, Engine, a_question, running_engine
from terminal import Terminal

LONDON = "+442071234567"
DECK = "Code;Rate (USD);Billing\n44;0,75;30/6\n1206;0,02;60/60\n1425;0,02;60/60\n"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rates") / "catalogue"
    return Path(shutil.copytree(ROOT / "data" / "catalogue", folder))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine"), catalogue_folder=catalogue) as engine:
        yield engine


def _ask(engine: Engine, *words: str) -> Result:
    return Terminal(engine.address).type(*words)


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    path = tmp_path / "deck.csv"
    path.write_text(DECK, "utf-8")
    return path


def test_a_number_is_looked_up_and_rates_are_listed(engine: Engine) -> None:
    found = _ask(engine, "rates", "look-up", LONDON, "--currency", "USD", "--json")
    listed = _ask(engine, "rates", "list", "--currency", "usd", "--prefix", "4477", "--limit", "3")

    assert json.loads(found.stdout)["country"] == "GB"
    assert len(listed.stdout.splitlines()) == 4
    assert _ask(engine, "rates", "look-up", LONDON, "--currency", "CHF").exit_code == 2


def test_a_deck_with_bad_lines_is_told_by_file_line_and_column(
    engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("Code,Rate USD\n44,0.1\n4y,0.1\n39,free\n", "utf-8")

    result = _ask(engine, "rates", "import", str(path), "--dry-run")

    assert result.exit_code == 2
    assert "bad.csv:3: Code: is '4y'" in result.stderr
    assert "bad.csv:4: Rate USD: is 'free'" in result.stderr
    assert "2 mistakes; nothing was changed." in result.stderr


def test_a_deck_is_looked_at_then_put_in_use_and_a_running_call_keeps_its_rate(
    engine: Engine, catalogue: Path, deck: Path, tmp_path: Path
) -> None:
    before = (catalogue / "rates/USD.csv").read_bytes()
    question = a_question(LONDON)
    granted = engine.ask(question).grant
    assert granted.price.per_minute.micros != 750_000

    tables = _ask(engine, "rates", "import", str(deck), "--output", str(tmp_path / "tables"))
    looked = _ask(engine, "rates", "import", str(deck))

    assert (looked.exit_code, tables.exit_code) == (1, 0), tables.output
    assert (catalogue / "rates/USD.csv").read_bytes() == before
    assert "44,,0.7500,0.0000,30/6," in (tmp_path / "tables/USD.csv").read_text()
    assert "USD: 3 new" in looked.output
    assert "nothing was used" in looked.output

    applied = _ask(engine, "rates", "import", str(deck), "--yes", "--json")

    assert applied.exit_code == 0, applied.output
    result = json.loads(applied.stdout.splitlines()[-1])
    assert result["applied"]
    assert result["takenOverCount"] == 1
    report = authorization_pb2.ExtendCallRequest(
        tenant_id=question.tenant_id,
        gateway_id=question.gateway_id,
        call_id=question.call_id,
        sequence=2,
    )
    report.used_duration.seconds = 1
    extended = engine.stub.ExtendCall(report)
    assert extended.grant.price == granted.price
    asked_anew = engine.ask(a_question(LONDON)).grant.price
    assert asked_anew.per_minute.micros == 750_000
    again = _ask(engine, "rates", "import", str(deck), "--dry-run", "--no-cost")
    assert "0 new, 0 gone, 0 up, 0 down, 0 terms, 0 dropped, 3 unchanged" in again.stdout
    audit = _ask(engine, "audit", "--json")
    assert "ImportRates" in audit.stdout


def test_a_tenants_usage_is_played_with_another_file_of_it(engine: Engine) -> None:
    file = ROOT / "data" / "directory" / "contoso.toml"

    result = _ask(engine, "back-test", str(file), "--tenant", "contoso")
    wrong = _ask(engine, "back-test", str(file), "--tenant", "fabrikam")

    assert result.exit_code == 0, result.output
    assert "nothing was used" in result.stdout
    assert wrong.exit_code == 2
    assert "it is fabrikam that is played" in wrong.stderr
