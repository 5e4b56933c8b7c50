"""TLS: who is trusted, what is negotiated, what a servicer learns, and certificates that change."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from interop import InteropServicer, pb, stubs
from server.transport import TlsFiles, TransportOptions, make_server
from serving import OWN_CONNECTION

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"
AUTHORITY = CERTIFICATES / "authority.crt"


class Secured:
    """A server with TLS, and clients for it."""

    def __init__(
        self, port: int, servicer: InteropServicer, folder: Path, refused: list[str]
    ) -> None:
        self.refused = refused
        self.port = port
        self.servicer = servicer
        self.folder = folder

    def install(self, name: str) -> None:
        """Put another certificate where the server looks."""
        shutil.copy(CERTIFICATES / f"{name}.crt", self.folder / "server.crt")
        shutil.copy(CERTIFICATES / f"{name}.key", self.folder / "server.key")

    async def call(self, client: str | None = None) -> Any:
        """Make one call on a connection of its own, with a client's certificate if one is named."""
        pair: tuple[bytes | None, bytes | None] = (None, None)
        if client is not None:
            pair = (
                (CERTIFICATES / f"{client}.key").read_bytes(),
                (CERTIFICATES / f"{client}.crt").read_bytes(),
            )
        credentials = grpc.ssl_channel_credentials(AUTHORITY.read_bytes(), *pair)
        async with grpc.aio.secure_channel(
            f"localhost:{self.port}", credentials, options=OWN_CONNECTION
        ) as channel:
            return await stubs.TestServiceStub(channel).UnaryCall(pb.SimpleRequest(), timeout=5)

    async def shown_certificate(self) -> str:
        """Connect and return the certificate that the server shows."""
        context = ssl.create_default_context(cafile=str(AUTHORITY))
        context.set_alpn_protocols(["h2"])
        _reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname="localhost"
        )
        session = writer.get_extra_info("ssl_object")
        shown = session.getpeercert(binary_form=True)
        assert session.selected_alpn_protocol() == "h2"
        writer.transport.abort()
        return ssl.DER_cert_to_PEM_cert(shown)


async def secured(transport: Any, folder: Path, **files: Path) -> AsyncIterator[Secured]:
    refused: list[str] = []
    inner = make_server(transport, TransportOptions(), refused.append)
    servicer = InteropServicer()
    stubs.add_TestServiceServicer_to_server(servicer, inner)
    shutil.copy(CERTIFICATES / "server.crt", folder / "server.crt")
    shutil.copy(CERTIFICATES / "server.key", folder / "server.key")
    tls = TlsFiles(certificate_file=folder / "server.crt", key_file=folder / "server.key", **files)
    port = inner.add_secure_port("localhost:0", tls)
    await inner.start()
    try:
        yield Secured(port, servicer, folder, refused)
    finally:
        await inner.stop(0)


@pytest.fixture
async def private(transport: Any, tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that shows its certificate and asks for none."""
    async for running in secured(transport, tmp_path):
        yield running


@pytest.fixture
async def mutual(transport: Any, tmp_path: Path) -> AsyncIterator[Secured]:
    """A server that asks its clients for certificates."""
    async for running in secured(transport, tmp_path, client_ca_file=AUTHORITY):
        yield running


def pem(name: str) -> str:
    return (CERTIFICATES / f"{name}.crt").read_text(encoding="ascii")


async def test_a_call_over_tls_is_answered_and_says_so(private: Secured) -> None:
    seen: list[Any] = []

    async def look(_request: Any, context: Any) -> Any:
        seen.append((dict(context.auth_context()), context.peer_identities()))
        return pb.SimpleResponse()

    private.servicer.behaviour = look
    await private.call()

    context, identities = seen[0]
    assert list(context["transport_security_type"]) == [b"ssl"]
    assert not identities


async def test_a_client_certificate_names_the_caller(mutual: Secured) -> None:
    seen: list[Any] = []

    async def look(_request: Any, context: Any) -> Any:
        seen.append(
            (
                dict(context.auth_context()),
                list(context.peer_identities()),
                context.peer_identity_key(),
            )
        )
        return pb.SimpleResponse()

    mutual.servicer.behaviour = look
    await mutual.call("client")

    context, identities, key = seen[0]
    key = key.decode() if isinstance(key, bytes) else key  # grpcio says bytes.
    assert (identities, key) == ([b"bridge-7.example"], "x509_subject_alternative_name")
    assert list(context["x509_common_name"]) == [b"bridge-7"]
    assert pem("client").split()[2:4] == context["x509_pem_cert"][0].decode().split()[2:4]


@pytest.mark.parametrize("client", [None, "stranger"])
async def test_a_client_without_a_trusted_certificate_is_refused(
    mutual: Secured, client: str | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await mutual.call(client)

    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("transport", ["nghttp2"], indirect=True)
@pytest.mark.parametrize(
    ("client", "why"), [(None, "it showed none"), ("stranger", "self-signed certificate")]
)
async def test_a_refused_certificate_leaves_a_line_and_is_counted(
    mutual: Secured, client: str | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await mutual.call(client)

    assert set(mutual.refused) == {"certificate"}
    lines = [one.getMessage() for one in caplog.records if "certificate" in one.getMessage()]
    assert any("127.0.0.1" in line and why in line for line in lines), lines


async def test_a_client_without_tls_is_refused(private: Secured) -> None:
    async with grpc.aio.insecure_channel(
        f"localhost:{private.port}", options=OWN_CONNECTION
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.TestServiceStub(channel).EmptyCall(pb.Empty(), timeout=5)

    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("offered", [["http/1.1"], []])
async def test_a_client_that_does_not_offer_http2_is_refused(
    private: Secured, offered: list[str]
) -> None:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    if offered:
        context.set_alpn_protocols(offered)

    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", private.port, ssl=context, server_hostname="localhost"
        )
        left = await asyncio.wait_for(reader.read(), 5)
        writer.transport.abort()
    except (ssl.SSLError, ConnectionError):
        left = b""

    assert left == b""


async def test_old_versions_of_tls_are_refused(private: Secured) -> None:
    context = ssl.create_default_context(cafile=str(AUTHORITY))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(
            "127.0.0.1", private.port, ssl=context, server_hostname="localhost"
        )


async def test_a_new_certificate_is_shown_to_the_next_client(private: Secured) -> None:
    before = await private.shown_certificate()

    private.install("renewed")
    after = await private.shown_certificate()

    assert (before.strip(), after.strip()) == (pem("server").strip(), pem("renewed").strip())
    await private.call()


async def test_a_certificate_whose_key_is_not_there_yet_changes_nothing(
    private: Secured,
) -> None:
    shutil.copy(CERTIFICATES / "renewed.crt", private.folder / "server.crt")
    halfway = await private.shown_certificate()

    shutil.copy(CERTIFICATES / "renewed.key", private.folder / "server.key")
    after = await private.shown_certificate()

    assert (halfway.strip(), after.strip()) == (pem("server").strip(), pem("renewed").strip())


async def test_files_that_vanish_change_nothing(private: Secured) -> None:
    (private.folder / "server.key").unlink()

    assert (await private.shown_certificate()).strip() == pem("server").strip()


async def test_a_running_call_outlives_the_change_of_certificates(private: Secured) -> None:
    credentials = grpc.ssl_channel_credentials(AUTHORITY.read_bytes())
    async with grpc.aio.secure_channel(
        f"localhost:{private.port}", credentials, options=OWN_CONNECTION
    ) as channel:
        call = stubs.TestServiceStub(channel).FullDuplexCall()
        wanted = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=5)])
        await call.write(wanted)
        await call.read()

        private.install("renewed")
        await private.shown_certificate()
        await call.write(wanted)

        assert len((await call.read()).payload.body) == 5
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_renewed_authority_decides_about_the_next_client(
    transport: Any, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.crt"
    shutil.copy(CERTIFICATES / "stranger.crt", authority)
    async for running in secured(transport, tmp_path, client_ca_file=authority):
        with pytest.raises(grpc.aio.AioRpcError):
            await running.call("client")

        shutil.copy(AUTHORITY, authority)

        assert await running.call("client") == pb.SimpleResponse(payload=pb.Payload())


async def test_files_that_cannot_be_used_at_the_start_are_an_error(
    transport: Any, tmp_path: Path
) -> None:
    inner = make_server(transport, TransportOptions())
    missing = TlsFiles(certificate_file=tmp_path / "no.crt", key_file=tmp_path / "no.key")

    with pytest.raises(FileNotFoundError):
        inner.add_secure_port("localhost:0", missing)
    await inner.stop(0)
