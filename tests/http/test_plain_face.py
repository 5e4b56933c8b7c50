"""A switch that reads no JSON asks by query parameters, and is charged as everybody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count
from typing import NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import grpc
import pytest

from callgate.v1 import credits_pb2, credits_pb2_grpc
from engines import Engine, running_engine

SECONDS = 20.0
ROME = "+390612345678"
_calls = (f"plain-{number}" for number in count())


class Caller:
    """One engine, and where it listens for HTTP."""

    def __init__(self, engine: Engine) -> None:
        found = re.search(r"Questions over HTTP on http://127.0.0.1:(\d+)", engine.log)
        assert found is not None, engine.log
        self.port = int(found[1])
        self.channel = grpc.insecure_channel(engine.address)


class Line(NamedTuple):
    """One answer of the plain face."""

    status: int
    kind: str
    text: str

    @property
    def fields(self) -> dict[str, str]:
        parts = (part.partition("=") for part in self.text.split())
        return {name: value for name, equals, value in parts if equals}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("engine")
    with running_engine(folder, http_listen="127.0.0.1:0", http_token_prefix="/key/") as running:
        caller = Caller(running)
        yield caller
        caller.channel.close()


def ask(caller: Caller, path: str, method: str = "GET", **parameters: object) -> Line:
    query = urlencode({name.rstrip("_"): value for name, value in parameters.items()})
    return send(caller, f"{path}?{query}", method)


def send(
    caller: Caller, target: str, method: str = "GET", body: str | None = None, **headers: str
) -> Line:
    connection = HTTPConnection("127.0.0.1", caller.port, timeout=SECONDS)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body, named)
    response = connection.getresponse()
    line = Line(response.status, response.headers["Content-Type"], response.read().decode())
    connection.close()
    return line


def a_call(caller: Caller, **changes: object) -> tuple[str, Line]:
    call = next(_calls)
    fields = {"tenant": "contoso", "user": "adele", "to": ROME, "call": call} | changes
    return call, ask(caller, "/ask", "GET", **fields)


def balance(caller: Caller) -> credits_pb2.GetBalanceResponse:
    stub = credits_pb2_grpc.CreditServiceStub(caller.channel)
    return stub.GetBalance(credits_pb2.GetBalanceRequest(tenant_id="contoso"), timeout=SECONDS)


def test_a_grant_is_one_line(engine: Caller) -> None:
    call, line = a_call(engine, seconds=300)

    assert (line.status, line.kind) == (200, "text/plain; charset=utf-8")
    assert line.text == f"granted 300 final=0 dial={ROME} call={call} seq=1\n"
    assert ask(engine, "/release", tenant="contoso", call=call).text.startswith("released ")


def test_a_refusal_has_the_status_the_cause_and_a_sentence(engine: Caller) -> None:
    _, line = a_call(engine, user="nobody")

    assert line.status in {403, 404}
    word, reason, cause, help_text = line.text.split(" ", 3)
    assert (word, reason, cause.isdigit()) == ("refused", "USER_UNKNOWN", True)
    assert len(help_text) > 10


def test_a_plus_that_is_not_escaped_is_read_as_it_was_meant(engine: Caller) -> None:
    call = next(_calls) + "+x"
    line = send(engine, f"/ask?tenant=contoso&user=adele&to={ROME}&call={call}")

    assert (line.status, line.fields["dial"], line.fields["call"]) == (200, ROME, call)
    assert ask(engine, "/release", tenant="contoso", call=call).status == 200


def test_a_form_is_read_as_a_query_is(engine: Caller) -> None:
    call = next(_calls)
    body = f"user=adele&call={call}"
    kind = "application/x-www-form-urlencoded"
    line = send(engine, "/ask?tenant=contoso&to=%2B390612345678", "POST", body, content_type=kind)

    assert line.status == 200
    assert ask(engine, "/release", tenant="contoso", call=call).status == 200


def test_a_whole_call_is_charged_once_however_often_it_is_told(engine: Caller) -> None:
    before = balance(engine)
    call, first = a_call(engine, seconds=60)
    again = ask(engine, "/ask", tenant="contoso", user="adele", to=ROME, call=call, seconds=60)
    assert again == first

    report = {"tenant": "contoso", "call": call}
    later = ask(engine, "/report", **report, seconds=30)
    assert later.text.startswith("granted ")
    assert int(later.text.split()[1]) > 30
    held = balance(engine)
    assert ask(engine, "/report", **report, seconds=30) == later
    late = ask(engine, "/report", **report, seconds=10)
    assert late.fields["superseded"] == "1"
    assert balance(engine) == held

    end = ask(engine, "/report", **report, seconds=45, end=1)
    assert end.text.startswith("settled ")
    after = balance(engine)
    assert ask(engine, "/report", **report, seconds=45, end=1) == end
    over = ask(engine, "/report", **report, seconds=30)
    assert (over.status, over.text.split()[0]) == (410, "over")
    assert ask(engine, "/report", **report, seconds=46, end=1).status == 409
    assert ask(engine, "/release", **report).status == 409
    assert balance(engine) == after
    paid = before.available.micros - after.available.micros
    assert paid == int(end.fields["debited_micros"]) > 0


def test_a_call_that_was_released_is_not_settled(engine: Caller) -> None:
    before = balance(engine)
    call, _ = a_call(engine)

    released = ask(engine, "/release", tenant="contoso", call=call)

    assert released.text.startswith("released ")
    assert ask(engine, "/release", tenant="contoso", call=call) == released
    assert ask(engine, "/report", tenant="contoso", call=call, seconds=9, end=1).status == 409
    assert balance(engine).available == before.available


def test_another_question_of_the_same_call_is_a_conflict(engine: Caller) -> None:
    call, _ = a_call(engine)

    _, other = a_call(engine, call=call, to="+390612345679")

    assert (other.status, other.text.split()[:2]) == (409, ["error", "REQUEST_REUSED"])
    ask(engine, "/release", tenant="contoso", call=call)


def test_a_caller_may_count_itself(engine: Caller) -> None:
    call, line = a_call(engine, sequence=7)

    assert line.fields["seq"] == "7"
    report = ask(engine, "/report", tenant="contoso", call=call, seconds=0, sequence=8)
    assert (report.status, report.fields["seq"]) == (200, "8")
    assert ask(engine, "/release", tenant="contoso", call=call, sequence=9).status == 200


MALFORMED = [
    ("/ask", {"tenant": "NO/ONE"}, "tenant"),
    ("/ask", {"tenant": ""}, "tenant"),
    ("/ask", {"call": ""}, "call"),
    ("/ask", {"call": "x" * 300}, "call"),
    ("/ask", {"call": "a\r\nb"}, "call"),
    ("/ask", {"gateway": "g" * 65}, "gateway"),
    ("/ask", {"user": "u" * 129}, "user"),
    ("/ask", {"kind": "phone"}, "kind"),
    ("/ask", {"to": "\x00" * 5}, "to"),
    ("/ask", {"to": "9" * 65}, "to"),
    ("/ask", {"from": "9" * 65}, "from"),
    ("/ask", {"location": "Italy"}, "location"),
    ("/ask", {"seconds": "soon"}, "seconds"),
    ("/ask", {"seconds": "-1"}, "seconds"),
    ("/ask", {"seconds": "1e3"}, "seconds"),
    ("/ask", {"seconds": "\u0661"}, "seconds"),
    ("/ask", {"seconds": "999999999999999"}, "seconds"),
    ("/ask", {"sequence": "0"}, "sequence"),
    ("/ask", {"sequence": "x"}, "sequence"),
    ("/ask", {"format": "yaml"}, "format"),
    ("/ask", {"colour": "blue"}, "colour"),
    ("/ask", {"bad\nname": "1"}, "bad?name"),
    ("/report", {}, "seconds"),
    ("/report", {"seconds": ""}, "seconds"),
    ("/report", {"seconds": "3000000"}, "seconds"),
    ("/report", {"seconds": "3", "end": "yes"}, "end"),
    ("/report", {"seconds": "3", "tenant": ""}, "tenant"),
    ("/report", {"seconds": "3", "call": ""}, "call"),
    ("/report", {"seconds": "3", "user": "adele"}, "user"),
    ("/release", {"seconds": "3"}, "seconds"),
    ("/release", {"tenant": ""}, "tenant"),
    ("/release", {"call": "a b\x7f"}, "call"),
]


@pytest.mark.parametrize(("path", "changes", "field"), MALFORMED)
def test_what_is_malformed_is_named(
    engine: Caller, path: str, changes: dict[str, str], field: str
) -> None:
    fields = {"tenant": "contoso", "call": "malformed"}
    if path == "/ask":
        fields |= {"user": "adele", "to": ROME}

    line = send(engine, f"{path}?{urlencode(fields | changes)}")

    assert 400 <= line.status < 500
    word, _, text = line.text.split(" ", 2)
    assert (word, text.partition(":")[0]) == ("error", field)
    assert line.text.count("\n") == 1
    assert line.text.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("target", "method", "status", "word"),
    [
        ("/ask?tenant", "GET", 400, "query:"),
        ("/ask?to=%ff", "GET", 400, "query:"),
        ("/ask?to=1&to=2", "GET", 400, "to:"),
        ("/ask", "GET", 400, ":"),
        ("/ask?to=1", "PUT", 405, "method:"),
        ("/report", "DELETE", 405, "method:"),
    ],
)
def test_requests_that_are_no_question_are_refused(
    engine: Caller, target: str, method: str, status: int, word: str
) -> None:
    line = send(engine, target, method)

    assert (line.status, word in line.text) == (status, True), line


def test_a_page_that_somebody_looks_at_may_not_ask_by_a_picture(engine: Caller) -> None:
    target = f"/ask?tenant=contoso&user=adele&to=390612345678&call={next(_calls)}"

    assert send(engine, target, sec_fetch_site="cross-site").status == 403
    assert send(engine, "/ask?to=1", "POST", "{}", content_type="application/json").status == 415


@pytest.mark.parametrize(
    "query",
    [
        "to=911",
        "to=911&tenant=contoso",
        "to=911&tenant=contoso&seconds=soon&kind=phone&colour=1&format=yaml",
        "to=911&tenant=contoso&sequence=&call=",
        "to=911&tenant=contoso&user=%ff&broken",
        "to=911&to=912&tenant=contoso",
    ],
)
def test_an_emergency_goes_through_whatever_else_is_wrong(engine: Caller, query: str) -> None:
    line = send(engine, f"/ask?{query}")

    assert (line.status, line.text.split()[0]) == (200, "granted")
    assert (line.fields["dial"], line.fields["emergency"]) == ("911", "1")
    assert int(line.text.split()[1]) == 86_400


def test_other_formats_say_the_same(engine: Caller) -> None:
    call, line = a_call(engine, format="json", seconds=60)
    told = json.loads(line.text)
    assert (told["outcome"], told["seconds"], told["dial"]) == ("granted", "60", ROME)

    _, line = a_call(engine, call=call, format="xml", seconds=60)
    answer = ET.fromstring(line.text)  # noqa: S314 -- Our own.
    assert (answer.get("outcome"), answer.get("call")) == ("granted", call)

    _, line = a_call(engine, call=call, format="radius", seconds=60)
    told = json.loads(line.text)
    assert (told["control:Auth-Type"], told["reply:Session-Timeout"]) == ("Accept", "60")
    ask(engine, "/release", tenant="contoso", call=call)

    _, line = a_call(engine, user="nobody", format="radius")
    told = json.loads(line.text)
    assert (line.status, told["control:Auth-Type"]) == (200, "Reject")
    assert told["reply:Reply-Message"].startswith("refused USER_UNKNOWN")
