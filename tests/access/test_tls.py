"""An engine behind TLS: who is known by a certificate, who by a token, and who by neither."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from callgate.credentials import Credentials
from callgate.v1.authorization_pb2_grpc import AuthorizationServiceStub
from engines import ROOT, Engine, Failed, a_question, failure_of, running_engine
from identities import TOKENS, an_identities_file, identity

CERTIFICATES = ROOT / "tests" / "support" / "certificates"
AUTHORITY = CERTIFICATES / "authority.crt"
TLS = {
    "tls_certificate": CERTIFICATES / "server.crt",
    "tls_key": CERTIFICATES / "server.key",
}


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def mutual(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine that every client shows a certificate."""
    folder = tmp_path_factory.mktemp("engine")
    path = an_identities_file(folder)
    sbc = identity("sbc", "bridge", tenants='["contoso"]', certificate_names='["bridge-7.example"]')
    path.write_text(path.read_text() + sbc)
    with running_engine(
        folder,
        transport=request.param,
        identities=path,
        run_keeper=False,
        tls_client_ca=AUTHORITY,
        **TLS,
    ) as engine:
        yield engine


def asked(engine: Engine, shown: Credentials, tenant_id: str = "contoso") -> Failed | None:
    """Ask about a call; tell how that failed, or nothing."""
    address = engine.address.replace("127.0.0.1", "localhost")
    with shown.open_channel(address) as channel:
        stub = AuthorizationServiceStub(channel)
        question = a_question(tenant_id=tenant_id)
        call = stub.AuthorizeCall.future(question, metadata=shown.metadata, timeout=5)
        if call.code() is grpc.StatusCode.OK:
            return None
        return failure_of(call.result)


def shown_by(name: str, token: str = "") -> Credentials:
    return Credentials(
        ca=AUTHORITY,
        certificate=CERTIFICATES / f"{name}.crt",
        key=CERTIFICATES / f"{name}.key",
        token=token,
    )


def test_a_certificate_is_the_identity_of_its_connection(mutual: Engine) -> None:
    own = asked(mutual, shown_by("client"))
    anothers = asked(mutual, shown_by("client"), "fabrikam")

    assert own is None
    assert anothers is not None
    assert (anothers.code, anothers.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "TENANT_FORBIDDEN",
    )


def test_a_token_goes_before_the_certificate_of_its_connection(mutual: Engine) -> None:
    anothers = asked(mutual, shown_by("client", TOKENS["other-bridge"]))
    wrong = asked(mutual, shown_by("client", TOKENS["nobody"]))

    assert anothers is not None
    assert anothers.reason == "TENANT_FORBIDDEN"
    assert wrong is not None
    assert wrong.reason == "IDENTITY_UNKNOWN"


def test_without_a_certificate_nobody_gets_as_far_as_a_question(mutual: Engine) -> None:
    failed = asked(mutual, Credentials(ca=AUTHORITY, token=TOKENS["bridge"]))

    assert failed is not None
    assert failed.code is grpc.StatusCode.UNAVAILABLE


def test_the_command_line_shows_certificates_and_tokens(mutual: Engine) -> None:
    address = mutual.address.replace("127.0.0.1", "localhost")
    command = [str(Path(sys.executable).parent / "callgate"), "balance", "--tenant", "contoso"]
    files = [
        *("--ca", str(AUTHORITY)),
        *("--cert", str(CERTIFICATES / "client.crt")),
        *("--key", str(CERTIFICATES / "client.key")),
    ]

    known = _run([*command, *files, "--address", address])
    by_token = _run([*command, *files, "--address", address], CALLGATE_TOKEN=TOKENS["reader"])
    wrong = _run([*command, *files, "--address", address, "--token", TOKENS["nobody"]])

    assert known.returncode == by_token.returncode == 0
    assert wrong.returncode == 2
    assert "UNAUTHENTICATED (IDENTITY_UNKNOWN)" in wrong.stderr
    assert TOKENS["nobody"] not in wrong.stdout + wrong.stderr


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Start engines behind TLS that ask their clients for no certificate."""
    started: list[Engine] = []

    def start(**settings: object) -> Engine:
        engine = Engine(tmp_path / f"engine-{len(started)}", run_keeper=False, **TLS, **settings)
        started.append(engine)
        engine.start()
        return engine

    yield start
    for engine in started:
        engine.stop()


def test_with_tls_and_identities_an_engine_may_listen_to_everybody(
    private: Callable[..., Engine], tmp_path: Path
) -> None:
    path = an_identities_file(tmp_path)

    engine = private(listen="0.0.0.0:0", identities=path)

    engine.address = "localhost:" + engine.address.rpartition(":")[2]
    assert asked(engine, Credentials(ca=AUTHORITY, token=TOKENS["bridge"])) is None
    assert "insecure_listen" not in engine.log
    assert TOKENS["bridge"] not in engine.log


def test_a_certificate_without_its_key_ends_the_start(tmp_path: Path) -> None:
    engine = Engine(tmp_path, tls_certificate=TLS["tls_certificate"], tls_key=AUTHORITY)
    engine.launch()

    assert engine.process.wait(30) == 1
    assert "Cannot start: tls_certificate, tls_key or tls_client_ca: " in engine.log
