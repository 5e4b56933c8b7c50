"""Posting to others' URLs: the way out never leads back in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from server.transport.http import OutgoingFailed, OutgoingHttp, OutgoingReply, UrlRefused
from server.transport.http.outgoing import MAX_REPLY_BYTES
from server.transport.http.url import require_outward

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"
LISTED = ("127.0.0.1", "localhost")


class Receiver:
    """A real HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        self.released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((request.path, await request.read(), dict(request.headers)))
        match request.path:
            case "/away":
                return web.Response(status=302, headers={"Location": "/elsewhere"})
            case "/slow":
                await self.released.wait()
            case "/long":
                return web.Response(body=b"x" * (MAX_REPLY_BYTES + 1))
            case "/broken":
                return web.Response(status=503, text="later")
            case _:
                pass
        return web.Response(text="taken")


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    one = Receiver()
    async with Serving(one, None) as port:
        yield one, port
        one.released.set()


class Serving:
    def __init__(self, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", receiver.handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        self._tls = tls

    async def __aenter__(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()


async def test_a_listed_host_gets_what_is_posted(receiver: tuple[Receiver, int]) -> None:
    one, port = receiver

    reply = await OutgoingHttp(LISTED).post(f"http://127.0.0.1:{port}/a", b"body", {"X-A": "b"})

    assert reply == OutgoingReply(200, b"taken")
    assert reply.taken
    ((path, body, headers),) = one.got
    assert (path, body, headers["X-A"]) == ("/a", b"body", "b")


async def test_a_redirect_is_an_answer_and_not_followed(receiver: tuple[Receiver, int]) -> None:
    one, port = receiver

    reply = await OutgoingHttp(LISTED).post(f"http://127.0.0.1:{port}/away", b"", {})

    assert (reply.status, reply.taken) == (302, False)
    assert [path for path, _, _ in one.got] == ["/away"]


async def test_an_error_of_theirs_is_an_answer(receiver: tuple[Receiver, int]) -> None:
    reply = await OutgoingHttp(LISTED).post(f"http://localhost:{receiver[1]}/broken", b"", {})

    assert (reply.status, reply.taken) == (503, False)


async def test_who_is_slow_or_endless_or_away_has_failed(receiver: tuple[Receiver, int]) -> None:
    outgoing = OutgoingHttp(LISTED, timeout_seconds=0.2)

    with pytest.raises(OutgoingFailed, match=r"within 0\.2 s"):
        await outgoing.post(f"http://127.0.0.1:{receiver[1]}/slow", b"", {})
    with pytest.raises(OutgoingFailed, match="longer than 65536"):
        await OutgoingHttp(LISTED).post(f"http://127.0.0.1:{receiver[1]}/long", b"", {})
    with pytest.raises(OutgoingFailed):
        await OutgoingHttp(LISTED).post("http://127.0.0.1:1/", b"", {})


async def test_https_is_spoken_to_who_proves_its_name(
    monkeypatch: pytest.MonkeyPatch, receiver: tuple[Receiver, int]
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATES / "server.crt", CERTIFICATES / "server.key")
    one = Receiver()
    async with Serving(one, tls) as port:
        url = f"https://localhost:{port}/a"

        with pytest.raises(OutgoingFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await OutgoingHttp(LISTED).post(url, b"", {})
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.crt"))
        reply = await OutgoingHttp(LISTED).post(url, b"", {})

    assert reply.taken
    assert len(one.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https:///path",
        "example.com",
        "https://user:secret@example.com/",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https://example.com\\@127.0.0.1/",
        "https://ex\u00e4mple.com/",
        "https://example.com/" + "x" * 2_048,
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://0.0.0.0/",
    ],
)
def test_a_url_that_is_none_of_ours_to_ask_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        OutgoingHttp().check(url)


def test_a_url_of_https_is_fine() -> None:
    OutgoingHttp().check("https://example.com:8443/hook?a=b")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1"),
        *("255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1"),
        *(
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::7f00:1",
            "::ffff:0:7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fec0::1",
        ),
    ],
)
def test_an_address_that_leads_inward_is_refused(address: str) -> None:
    with pytest.raises(UrlRefused, match="private network"):
        require_outward(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:21f:cb07::1"])
def test_an_address_that_leads_outward_is_fine(address: str) -> None:
    require_outward(address)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1"])
async def test_a_name_that_leads_inward_is_found_out_when_it_is_asked(
    receiver: tuple[Receiver, int], host: str
) -> None:
    one, port = receiver

    with pytest.raises(UrlRefused, match="private network"):
        await OutgoingHttp().post(f"https://{host}:{port}/", b"", {})

    assert one.got == []


async def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: tuple[Receiver, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, port = receiver
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    async def look_up(name: str, port: int, **_more: object) -> list[object]:
        asked.append(name)
        return [(2, 1, 6, "", (each, port)) for each in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up, raising=False)

    reply = await OutgoingHttp(("hook.test",)).post(f"http://hook.test:{port}/", b"", {})

    assert reply.taken
    assert asked == ["hook.test"]
    assert len(one.got) == 1


async def test_one_inward_address_among_others_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look_up(name: str, port: int, **_more: object) -> list[object]:
        return [(2, 1, 6, "", (each, port)) for each in ("93.184.215.14", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up, raising=False)

    with pytest.raises(UrlRefused, match=r"10\.0\.0\.1"):
        await OutgoingHttp().post("https://hook.test/", b"", {})
