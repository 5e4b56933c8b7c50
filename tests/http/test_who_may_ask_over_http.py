"""Who may ask over HTTP: the very callers who may over gRPC, and nobody's web page."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from callgate.v1.access_pb2 import (
    ROLE_BRIDGE,
    CreateTokenRequest,
    Identity,
    RevokeTokenRequest,
    RotateTokenRequest,
)
from callgate.v1.access_pb2_grpc import AccessServiceStub
from callgate.v1.authorization_pb2 import AuthorizeCallRequest
from engines import ROOT, Engine, a_question, running_engine, running_redis, wait_until
from forks import run_command
from http_asking import JSON, PROTO, Answer, Caller, unary_methods
from identities import (
    TOKENS,
    Outcome,
    an_identities_file,
    ask,
    filled,
    identity,
    paths,
    served_services,
    with_id,
)
from server.access.roles import rule_of

ASK = "/callgate.v1.AuthorizationService/AuthorizeCall"
BALANCE = "/callgate.v1.CreditService/GetBalance"
CONTOSO = '{"tenantId": "contoso"}'
METHODS = unary_methods()
GUARDED = [
    path
    for path, method in METHODS.items()
    if not rule_of(method.containing_service.full_name, method.name).open_to_all
]
ROLES = {
    "bridge": "bridge",
    "administrator": "tenant-administrator",
    "operator": "operator",
    "reader": "reader",
}
CERTIFICATES = ROOT / "tests" / "support" / "certificates"


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("engine")
    path = an_identities_file(folder)
    with running_engine(
        folder,
        identities=f"{path},archive",
        run_keeper=False,
        http_listen="127.0.0.1:0",
        http_token_prefix="/key/",
        http_origins="https://desk.example",
    ) as engine:
        caller = Caller(engine)
        yield caller
        caller.channel.close()
    for token in TOKENS.values():
        assert token not in engine.log


@pytest.fixture(scope="module")
def served(caller: Caller) -> set[str]:
    return served_services(caller.channel)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def told(answer: Answer) -> tuple[str, str, str]:
    return answer.told["code"], answer.told["message"], answer.reason


def refused_as_over_grpc(caller: Caller, path: str, request: Message, token: str) -> Outcome:
    """Ask the same of gRPC and of HTTP, each way; give back how all of them failed."""
    outcome = ask(caller.channel, METHODS[path], request, token)
    expected = (outcome.code.name.lower(), outcome.text, outcome.reason)
    sent = request.SerializeToString()
    named = bearer(token)

    assert told(caller.ask(path, sent, PROTO, **named)) == expected
    assert told(caller.ask(path, json_format.MessageToJson(request), JSON, **named)) == expected
    if token:
        assert told(caller.ask(f"/key/{token}{path}", sent, PROTO)) == expected
    return outcome


# --- Every RPC -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GUARDED)
def test_a_method_refuses_over_http_whom_it_refuses_over_grpc(
    caller: Caller, served: set[str], path: str
) -> None:
    method = METHODS[path]
    if method.containing_service.full_name not in served:
        assert caller.ask(path, "{}", **bearer(TOKENS["insider"])).status == 404
        return
    request = filled(method.input_type)

    for token in ("", TOKENS["nobody"]):
        outcome = refused_as_over_grpc(caller, path, request, token)
        assert outcome.code is grpc.StatusCode.UNAUTHENTICATED
    for who, role in ROLES.items():
        if role not in rule_of(method.containing_service.full_name, method.name).roles:
            outcome = refused_as_over_grpc(caller, path, request, TOKENS[who])
            assert outcome.reason == "ROLE_MISSING"
    for place in paths(request):
        if place[-1][0].endswith(("tenant_id", "tenant_ids")):
            anothers = with_id(request, place, "fabrikam")
            outcome = refused_as_over_grpc(caller, path, anothers, TOKENS["insider"])
            assert outcome.code is not grpc.StatusCode.OK


def test_a_get_shows_nothing_to_who_may_not_ask(caller: Caller) -> None:
    asked = f"{BALANCE}?encoding=json&message=%7B%22tenantId%22%3A%22contoso%22%7D"

    assert caller.ask(asked).status == 401
    assert caller.ask(asked, **bearer(TOKENS["other-bridge"])).status == 403
    assert caller.ask(asked, **bearer(TOKENS["reader"])).status == 200
    # A token in the query is none: logs keep queries.
    assert caller.ask(f"{asked}&authorization=Bearer+{TOKENS['reader']}").status == 401


def test_a_stream_of_events_shows_nothing_to_who_may_not_watch(caller: Caller) -> None:
    watch = "/callgate.v1.DebitService/WatchDebits"

    for token, status in ((TOKENS["nobody"], 401), ("", 401), (TOKENS["other-bridge"], 403)):
        answer = caller.ask(watch, CONTOSO, accept="text/event-stream", **bearer(token))
        assert answer.status == status


@pytest.mark.parametrize("token", ["", TOKENS["nobody"], TOKENS["reader"]])
def test_an_emergency_is_granted_over_http_whoever_asks(caller: Caller, token: str) -> None:
    answer = caller.ask(ASK, json_format.MessageToJson(a_question("911")), **bearer(token))

    assert answer.told["grant"]["emergency"] is True


# --- Tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        "Basic eDp5",
        "Bearer",
        f"Bearer {TOKENS['reader']} x",
        TOKENS["reader"],
        f"Bearer {TOKENS['reader']}, Bearer {TOKENS['nobody']}",
    ],
)
def test_what_is_no_bearer_token_is_nobody(caller: Caller, shown: str) -> None:
    assert caller.ask(BALANCE, CONTOSO, authorization=shown).status == 401


@pytest.mark.parametrize("lead", ["/key/", "/key//", "/Key/", "/key/%00/", "/key/../", "//key/x/"])
def test_a_path_without_a_token_is_no_way_in(caller: Caller, lead: str) -> None:
    assert caller.ask(lead + BALANCE[1:], CONTOSO).status in {400, 401, 404}


def test_the_token_of_a_path_goes_before_that_of_a_header(caller: Caller) -> None:
    path = f"/key/{TOKENS['other-bridge']}{BALANCE}"

    assert caller.ask(path, CONTOSO, **bearer(TOKENS["reader"])).status == 403
    assert caller.ask(f"/key/{TOKENS['reader']}{BALANCE}", CONTOSO).status == 200


@pytest.mark.parametrize(
    ("token", "reason"),
    [("", "IDENTITY_UNKNOWN"), ("nobody", "IDENTITY_UNKNOWN"), ("reader", "ROLE_MISSING")],
)
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/ask", "?tenant=contoso&user=adele&to=%2B390612345678&call=plain-1"),
        ("/report", "?tenant=contoso&call=plain-1&seconds=1"),
        ("/release", "?tenant=contoso&call=plain-1"),
    ],
)
def test_the_plain_face_refuses_as_any_other(
    caller: Caller, path: str, question: str, *, token: str, reason: str
) -> None:
    shown = TOKENS[token] if token else ""

    for answer in (
        caller.ask(path + question, **bearer(shown)),
        caller.ask(f"/key/{shown}{path}{question}" if shown else path + question),
    ):
        assert answer.status == (403 if reason == "ROLE_MISSING" else 401)
        assert answer.body.startswith(f"error {reason} ".encode())


def test_the_plain_face_takes_the_token_of_its_path(caller: Caller) -> None:
    question = "?tenant=contoso&user=adele&to=%2B390612345678&call=plain-2"

    granted = caller.ask(f"/key/{TOKENS['bridge']}/ask{question}")
    foreign = caller.ask(f"/key/{TOKENS['other-bridge']}/ask{question}")

    assert granted.body.startswith(b"granted "), granted.body
    assert (foreign.status, foreign.body[:5]) == (403, b"error")


def test_a_token_that_was_revoked_or_is_over_opens_nothing(caller: Caller) -> None:
    access = AccessServiceStub(caller.channel)
    operator = (("authorization", f"Bearer {TOKENS['operator']}"),)
    someone = Identity(identity_id="http@contoso", roles=[ROLE_BRIDGE], tenant_ids=["contoso"])

    def status(token: str) -> tuple[int, int]:
        question = json_format.MessageToJson(a_question())
        by_header = caller.ask(ASK, question, **bearer(token))
        return by_header.status, caller.ask(f"/key/{token}{ASK}", question).status

    first = access.CreateToken(CreateTokenRequest(identity=someone), metadata=operator).token
    assert status(first) == (200, 200)
    rotate = RotateTokenRequest(identity_id="http@contoso")
    rotate.overlap_duration.SetInParent()
    second = access.RotateToken(rotate, metadata=operator).token
    assert status(first) == (401, 401)
    assert status(second) == (200, 200)
    access.RevokeToken(RevokeTokenRequest(identity_id="http@contoso"), metadata=operator)
    assert status(second) == (401, 401)
    assert first not in caller.engine.log
    assert second not in caller.engine.log


@pytest.mark.parametrize(
    "head",
    [
        "POST /key/{token}/callgate.v1.Nothing/AtAll HTTP/1.1\r\nhost: x",
        "POST /key/{token} HTTP/1.1\r\nhost: x",
        "GET /key/{token}\x01/x HTTP/1.1\r\nhost: x",
        "GET /key/{token} HTTP/9.9\r\nhost: x",
        "GET /x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nbad header",
        "GET /x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\x00",
        "GET /x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}" + "y" * 9_000,
    ],
)
def test_nothing_of_a_token_is_written_to_a_log(caller: Caller, head: str) -> None:
    token = "cg_0123456789abcdefghijklmnop"
    with socket.create_connection(("127.0.0.1", caller.port), timeout=20) as connection:
        connection.sendall(head.format(token=token).encode() + b"\r\n\r\n")
        answer = connection.recv(65_536)

    assert answer.split()[1].startswith(b"4")
    assert token not in caller.engine.log


@pytest.mark.parametrize("body", ["zz\r\nabc\r\n", "-1\r\n\r\n", "3\r\n{}abcdefg\r\n"])
def test_a_body_in_broken_chunks_is_the_callers_mistake(caller: Caller, body: str) -> None:
    lines = (
        f"POST {BALANCE} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {TOKENS['reader']}",
        "content-type: application/json",
        "transfer-encoding: chunked",
    )
    before = caller.engine.log
    with socket.create_connection(("127.0.0.1", caller.port), timeout=20) as connection:
        connection.sendall("\r\n".join((*lines, "", body)).encode())
        answer = connection.recv(65_536)

    assert answer.split()[1].startswith(b"4"), answer
    assert "Traceback" not in caller.engine.log.removeprefix(before)


# --- Web pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://desk.example.evil.example",
        "http://desk.example",
        "https://desk.example:444",
        "null",
        "file://",
        "http://[",
        "http://[::1",
        "http://",
        "é",
        "http://127.0.0.1:1",
    ],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_a_foreign_page_is_told_nothing(caller: Caller, origin: str, method: str) -> None:
    answer = caller.ask(BALANCE, CONTOSO, method=method, origin=origin, **bearer(TOKENS["reader"]))

    assert (answer.status, answer.told["code"]) == (403, "permission_denied")
    assert not [name for name in answer.headers if "access-control" in name.lower()]


def test_a_page_that_is_set_may_ask_with_its_token_alone(caller: Caller) -> None:
    page = "https://desk.example"
    before = caller.ask(BALANCE, method="OPTIONS", origin=page)
    known = caller.ask(BALANCE, CONTOSO, origin=page, **bearer(TOKENS["reader"]))
    nobody = caller.ask(BALANCE, CONTOSO, origin=page)

    assert (before.status, known.status, nobody.status) == (204, 200, 401)
    for answer in (before, known, nobody):
        assert answer.headers["Access-Control-Allow-Origin"] == page
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


# --- TLS, and several workers --------------------------------------------------------------------


def trusting(certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.crt"))
    if certificate:
        files = (CERTIFICATES / f"{certificate}.crt", CERTIFICATES / f"{certificate}.key")
        context.load_cert_chain(*files)
    return context


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    path = an_identities_file(folder)
    sbc = identity("sbc", "bridge", tenants='["contoso"]', certificate_names='["bridge-7.example"]')
    path.write_text(path.read_text() + sbc)
    with running_engine(
        folder,
        identities=path,
        run_keeper=False,
        http_listen="127.0.0.1:0",
        http_tls=True,
        tls_certificate=CERTIFICATES / "server.crt",
        tls_key=CERTIFICATES / "server.key",
        tls_client_ca=CERTIFICATES / "authority.crt",
    ) as engine:
        yield engine


def question(tenant_id: str = "contoso") -> bytes:
    asked: AuthorizeCallRequest = a_question(tenant_id=tenant_id)
    return asked.SerializeToString()


def test_a_certificate_is_the_identity_of_its_connection_over_https(mutual: Engine) -> None:
    caller = Caller(mutual, trusting("client"))

    assert caller.ask(ASK, question(), PROTO).status == 200
    anothers = caller.ask(ASK, question("fabrikam"), PROTO)
    assert (anothers.status, anothers.reason) == (403, "TENANT_FORBIDDEN")
    listing = caller.ask("/callgate.v1.AccessService/ListIdentities", "{}")
    assert (listing.status, listing.reason) == (403, "ROLE_MISSING")


def test_a_token_goes_before_the_certificate_over_https(mutual: Engine) -> None:
    caller = Caller(mutual, trusting("client"))

    anothers = caller.ask(ASK, question(), PROTO, **bearer(TOKENS["other-bridge"]))
    wrong = caller.ask(ASK, question(), PROTO, **bearer(TOKENS["nobody"]))

    assert (anothers.reason, wrong.reason) == ("TENANT_FORBIDDEN", "IDENTITY_UNKNOWN")


@pytest.mark.parametrize("certificate", ["", "stranger"])
def test_without_a_certificate_of_ours_nobody_gets_as_far_as_a_question(
    mutual: Engine, certificate: str
) -> None:
    caller = Caller(mutual, trusting(certificate))

    with pytest.raises(OSError, match=r"(?i)alert|reset|closed|eof|without response"):
        caller.ask(ASK, question(), PROTO, **bearer(TOKENS["bridge"]))


def test_without_tls_nobody_is_answered_on_the_https_port(mutual: Engine) -> None:
    port = Caller(mutual, trusting("client")).port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            answer = connection.recv(65_536)
        except ConnectionResetError:
            answer = b""

    assert b"callgate" not in answer


def test_every_worker_asks_who_asks(tmp_path: Path) -> None:
    path = an_identities_file(tmp_path)
    with (
        running_redis(tmp_path / "redis") as redis,
        running_engine(
            tmp_path,
            run_command,
            redis_url=redis.url,
            workers=2,
            identities=path,
            run_keeper=False,
            http_listen=free_address(),
            http_token_prefix="/key/",
        ) as engine,
    ):
        port = int(str(engine.settings["http_listen"]).rpartition(":")[2])
        caller = Caller(engine, port=port)
        wait_until(lambda: caller.ask(BALANCE, CONTOSO, **bearer(TOKENS["reader"])).status == 200)
        for _ in range(16):  # Each on a connection of its own, to whichever worker takes it.
            statuses = [
                caller.ask(BALANCE, CONTOSO).status,
                caller.ask(BALANCE, CONTOSO, **bearer(TOKENS["nobody"])).status,
                caller.ask(BALANCE, CONTOSO, **bearer(TOKENS["other-bridge"])).status,
                caller.ask(f"/key/{TOKENS['reader']}{BALANCE}", CONTOSO).status,
                caller.ask(BALANCE, CONTOSO, origin="https://evil.example").status,
            ]
            assert statuses == [401, 401, 403, 200, 403]
        caller.channel.close()
        assert engine.stop() == 0
        assert not [token for token in TOKENS.values() if token in engine.log]


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
