"""Handing mails over: TLS, login, and servers that are not who they should be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from couriers import BILLING, SENDER
from mail_sinks import CERTIFICATES, PASSWORD, USER, MailSink, mail_sink
from server.notices.outbox import NoticeKind
from server.notices.rendering import Told
from server.notices.smtp import MailServer, MailServerAway, MailTls, SmtpClient, mail_of

TOLD = Told("notice-1", NoticeKind.BALANCE_ZERO, "contoso", 0, {"currency": "USD"}, target=BILLING)


@pytest.fixture
async def guarded() -> AsyncIterator[MailSink]:
    async with mail_sink(MailSink(tls=True, login=True)) as running:
        yield running


async def hand_over(sink: MailSink, *, tls: MailTls, user: str = "", password: str = "") -> None:
    postman = SmtpClient(MailServer("localhost", sink.port, tls, user, password), SENDER)
    mail = mail_of(TOLD, sender=SENDER, number=0)

    async def goes_out() -> bool:
        return True

    async with postman.round() as round_:
        assert await round_.hand_over(mail, BILLING, goes_out)


async def test_starttls_and_a_login(guarded: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.crt"))

    await hand_over(guarded, tls=MailTls.STARTTLS, user=USER, password=PASSWORD)

    (mail,) = guarded.mails
    assert mail["To"] == BILLING


async def test_a_wrong_password_keeps_everything_waiting(
    guarded: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.crt"))

    with pytest.raises(MailServerAway, match="535"):
        await hand_over(guarded, tls=MailTls.STARTTLS, user=USER, password="wrong")

    assert guarded.mails == []


async def test_a_server_that_cannot_prove_its_name_gets_nothing(guarded: MailSink) -> None:
    with pytest.raises(MailServerAway):
        await hand_over(guarded, tls=MailTls.STARTTLS, user=USER, password=PASSWORD)

    assert guarded.mails == []


async def test_a_server_that_no_longer_offers_tls_gets_nothing(sink: MailSink) -> None:
    with pytest.raises(MailServerAway):
        await hand_over(sink, tls=MailTls.STARTTLS)

    assert sink.mails == []


async def test_a_server_that_wants_a_login_is_away_without_one(
    guarded: MailSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.crt"))

    with pytest.raises(MailServerAway, match="530"):
        await hand_over(guarded, tls=MailTls.STARTTLS)


async def test_nobody_there_is_away(sink: MailSink) -> None:
    await sink.stop()

    with pytest.raises(MailServerAway):
        await hand_over(sink, tls=MailTls.NEVER)
