"""Call records of a carrier: settled once however often they are told, and never half."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result

from callgate.connection import Connection
from callgate.v1.authorization_pb2 import AuthorizeCallRequest, UserCall
from callgate.v1.credits_pb2 import GetBalanceRequest
from integrations.own_engine import OwnEngine, own_engine
from terminal import Terminal

MAPPING = """
tenant = "contoso"
gateway = "carrier"
delimiter = ";"
zone = "Europe/Rome"
time_format = "%d/%m/%Y %H:%M:%S"

[columns]
call = "Call-ID"
kind = "Type"
account = "User"
to = "Called"
start = "Set-up"
seconds = "Talked"

[kinds]
MO = "user"
"""
HEADER = "Call-ID;Type;User;Called;Set-up;Talked"
ROME, SEATTLE = "+390612345678", "+14255550123"
REFUSED, WRONG_USAGE = 3, 2


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine() as engine:
        yield engine


def set_up(ago: timedelta = timedelta(hours=2)) -> str:
    began = (datetime.now(UTC) - ago).astimezone(ZoneInfo("Europe/Rome"))
    return f"{began:%d/%m/%Y %H:%M:%S}"


def line(call: str, *, to: str = ROME, talked: object = "00:01:01", user: str = "adele") -> str:
    return f"{call};MO;{user};{to};{set_up()};{talked}"


def given(folder: Path, *lines: str) -> Path:
    (folder / "map.toml").write_text(MAPPING, encoding="utf-8")
    file = folder / "records.csv"
    file.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")
    return file


def imported(engine: OwnEngine, file: Path, *words: str) -> Result:
    mapping = str(file.with_name("map.toml"))
    return Terminal(engine.address).type("cdr", "import", str(file), "--map", mapping, *words)


def balance(engine: OwnEngine) -> int:
    with Connection(engine.address) as connection:
        found = connection.get_balance(GetBalanceRequest(tenant_id="contoso"))
    return found.available.micros + found.reserved.micros


def rejects(file: Path) -> list[dict[str, str]]:
    with file.with_name(f"{file.name}.rejects.csv").open(
        encoding="utf-8-sig", newline=""
    ) as written:
        return list(csv.DictReader(written, delimiter=";"))


def cost_of(engine: OwnEngine, seconds: int) -> int:
    """The price of a call to Rome, by the rate that the engine tells."""
    question = AuthorizeCallRequest(
        tenant_id="contoso", called_number=ROME, user_call=UserCall(user_id="adele"), dry_run=True
    )
    with Connection(engine.address) as connection:
        price = connection.authorize_call(question).grant.price
    first, following = price.first_increment.seconds, price.next_increment.seconds
    charged = max(first, first + -(-(seconds - first) // following) * following)
    return price.connection_fee.micros + -(-charged * price.per_minute.micros // 60)


def test_a_file_that_is_imported_three_times_charges_once(
    engine: OwnEngine, tmp_path: Path
) -> None:
    file = given(tmp_path, line("three-1"), line("three-2", talked=180), line("three-3", talked=0))
    before = balance(engine)

    results = [imported(engine, file) for _ in range(3)]

    assert [result.exit_code for result in results] == [0, 0, 0]
    assert before - balance(engine) == cost_of(engine, 61) + cost_of(engine, 180)


def test_a_call_that_was_granted_is_settled_by_its_record_alone(
    engine: OwnEngine, tmp_path: Path
) -> None:
    question = AuthorizeCallRequest(
        tenant_id="contoso",
        gateway_id="carrier",
        call_id="granted-1",
        sequence=1,
        called_number=ROME,
        user_call=UserCall(user_id="adele"),
    )
    before = balance(engine)
    with Connection(engine.address) as connection:
        connection.authorize_call(question)

    result = imported(engine, given(tmp_path, line("granted-1", talked="1:01")))

    assert result.exit_code == 0
    assert before - balance(engine) == cost_of(engine, 61)


def test_wrong_lines_are_named_in_a_file_of_their_own_and_the_others_are_settled(
    engine: OwnEngine, tmp_path: Path
) -> None:
    lines = [line(f"many-{number}", to=SEATTLE, talked=1) for number in range(200)]
    lines[50] = line("many-50", talked="soon")
    lines[60] = line("many-61", to=SEATTLE, talked=1)
    lines[61] = line("many-61", to=SEATTLE, talked=2)
    lines[70] = line("many-70", user="nobody")
    lines[80] = f"many-80;MO;adele;{ROME};yesterday;5"
    lines[90] = f"many-90;MO;adele;{ROME};{set_up(timedelta(days=29))};5"
    lines[91] = f"many-91;MO;adele;{ROME};{set_up(timedelta(hours=-2))};5"
    lines[100] = f"many-100;XX;adele;{ROME};{set_up()};5"
    lines[110] = "many-110;MO"

    result = imported(engine, file := given(tmp_path, *lines), "--json")

    assert result.exit_code == REFUSED
    told = {int(row["line"]) - 2: row["why"] for row in rejects(file)}
    assert told.keys() == {50, 61, 70, 80, 90, 91, 100, 110}
    assert "Talked: 'soon' is no duration" in told[50]
    assert "Call-ID: is the call of line 62 again" in told[61]
    assert "USER_UNKNOWN" in told[70]
    assert "Set-up: 'yesterday' is not written as %d/%m/%Y %H:%M:%S" in told[80]
    assert "more than 28 days ago" in told[90]
    assert "in the future" in told[91]
    assert "Type: 'XX' is no kind" in told[100]
    assert "as many cells" in told[110]
    outcomes = [json.loads(each)["outcome"] for each in result.stdout.splitlines()]
    assert outcomes.count("settled") == 200 - 8


def test_refused_lines_that_were_mended_are_read_by_the_same_mapping(
    engine: OwnEngine, tmp_path: Path
) -> None:
    file = given(tmp_path, line("mended-1", talked="soon"), line("mended-2"))
    before = balance(engine)
    imported(engine, file)
    written = file.with_name(f"{file.name}.rejects.csv")

    written.write_text(written.read_text().replace(";soon;", ";61;"))
    result = imported(engine, written, "--map", str(tmp_path / "map.toml"))

    assert result.exit_code == 0
    assert before - balance(engine) == 2 * cost_of(engine, 61)


def test_what_is_not_paid_in_full_is_one_line_of_the_sums(tmp_path: Path) -> None:
    dear = [line(f"dear-{number}", talked=40_000 + 600 * number) for number in range(3)]

    with own_engine() as engine:  # It takes all that the tenant has.
        for each in dear:
            question = AuthorizeCallRequest(
                tenant_id="contoso",
                gateway_id="carrier",
                call_id=each.partition(";")[0],
                sequence=1,
                called_number=ROME,
                user_call=UserCall(user_id="adele"),
            )
            with Connection(engine.address) as connection:
                connection.authorize_call(question)
        result = imported(engine, given(tmp_path, *dear))

    assert result.exit_code == 0
    assert "3 settled, a part held apart as implausible" in result.output


def test_rejects_go_into_no_file_that_is_read(engine: OwnEngine, tmp_path: Path) -> None:
    file = given(tmp_path, line("kept-1"))

    result = imported(engine, file, "--rejects", str(file))

    assert result.exit_code == WRONG_USAGE
    assert "kept-1" in file.read_text()


def test_a_refused_line_is_no_formula(engine: OwnEngine, tmp_path: Path) -> None:
    file = given(tmp_path, line("=cmd()", user="nobody"))

    imported(engine, file)

    assert rejects(file)[0]["Call-ID"] == "'=cmd()"


def test_a_dry_run_tells_what_would_be_charged_and_charges_nothing(
    engine: OwnEngine, tmp_path: Path
) -> None:
    before = balance(engine)

    result = imported(engine, given(tmp_path, line("dry-1", talked=61)), "--dry-run")

    assert result.exit_code == 0
    assert "dry-1" in result.output
    assert f"{cost_of(engine, 61) / 1e6:.2f} USD by credits" in result.output
    assert balance(engine) == before


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('"Talked"', '"Seconds"', "there is no column 'Seconds' (columns.seconds)"),
        ('zone = "Europe/Rome"', 'zone = "Rome"', "zone: 'Rome' is no time zone"),
        ('gateway = "carrier"', "", "gateway: is missing"),
        ('gateway = "carrier"', "gateway = 7", "gateway: 7 is no text"),
        ('call = "Call-ID"', 'caller = "Call-ID"', "columns.caller: is unknown"),
        ('delimiter = ";"', 'delimiter = ";;"', "is not one character"),
        ("[columns]", "[colums]", "colums: is no key"),
    ],
)
def test_a_wrong_mapping_is_told_before_anything_is_charged(
    engine: OwnEngine, tmp_path: Path, was: str, becomes: str, told: str
) -> None:
    file = given(tmp_path, line("mapped-1"))
    (tmp_path / "map.toml").write_text(MAPPING.replace(was, becomes), encoding="utf-8")
    before = balance(engine)

    result = imported(engine, file)

    assert result.exit_code == WRONG_USAGE
    assert told in result.output
    assert balance(engine) == before


def test_a_file_in_another_encoding_is_told(engine: OwnEngine, tmp_path: Path) -> None:
    file = given(tmp_path)
    file.write_bytes(f"{HEADER}\n{line('é')}\n".encode("cp1252"))

    result = imported(engine, file)

    assert result.exit_code == WRONG_USAGE
    assert 'encoding = "cp1252"' in result.output
