"""The NoticeService and `callgate notices`, on an engine with its keeper and a mail server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from click.testing import CliRunner, Result

from callgate.command.commands import callgate
from callgate.v1 import credits_pb2, notices_pb2
from callgate.v1.credits_pb2_grpc import CreditServiceStub
from callgate.v1.money_pb2 import Money
from callgate.v1.notices_pb2_grpc import NoticeServiceStub
from engines import ROOT, Engine, failure_of, running_engine, wait_until
from mail_sinks import MailSink, sink_in_a_thread, text_of

BILLING = "billing@contoso.example"
NOTICES = """
[notices]
recipients = ["billing@contoso.example"]
language = "it"
low_balance = "10.00"
"""
_SENT = notices_pb2.DELIVERY_STATE_SENT
_UNKNOWN_LANGUAGE = notices_pb2.PreviewNoticeRequest(
    tenant_id="contoso", kind=notices_pb2.NOTICE_KIND_POOL_80, language="x"
)


@dataclass(frozen=True, slots=True)
class House:
    """An engine, its mail server, and stubs."""

    engine: Engine
    sink: MailSink
    notices: NoticeServiceStub
    credits: CreditServiceStub

    def debit(self, micros: int, name: str) -> None:
        self.credits.Debit(
            credits_pb2.DebitRequest(
                tenant_id="contoso",
                request_id=name,
                amount=Money(micros=micros, currency_code="USD"),
                note="test",
            ),
            timeout=5,
        )

    def listed(self) -> list[notices_pb2.Notice]:
        question = notices_pb2.ListNoticesRequest(tenant_id="contoso")
        return list(self.notices.ListNotices(question, timeout=5).notices)

    def command(self, *arguments: str) -> Result:
        typed = ["notices", "--tenant", "contoso", "--address", self.engine.address, *arguments]
        return CliRunner().invoke(callgate, typed)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("engine")
    directory = folder / "directory"
    shutil.copytree(ROOT / "data" / "directory", directory)
    tenant = directory / "contoso.toml"
    text = tenant.read_text()
    before, _, rest = text.partition("[notices]")
    tenant.write_text(before + NOTICES + "\n[users" + rest.partition("\n[users")[2])
    with (
        sink_in_a_thread() as sink,
        running_engine(
            folder,
            directory_folder=directory,
            smtp_url=f"smtp://127.0.0.1:{sink.port}",
            smtp_from="callgate@callgate.example",
        ) as engine,
    ):
        channel = grpc.insecure_channel(engine.address)
        yield House(engine, sink, NoticeServiceStub(channel), CreditServiceStub(channel))
        channel.close()


def test_a_notice_is_mailed_listed_and_sent_again_when_asked(house: House) -> None:
    house.debit(40_000_001, "debit-1")
    wait_until(lambda: len(house.sink.of(BILLING)) == 1)
    house.debit(9_999_999, "debit-2")
    wait_until(lambda: len(house.sink.of(BILLING)) == 2)
    low, zero = house.sink.of(BILLING)
    assert "9,999999 USD" in low["Subject"]
    assert "esauriti" in text_of(zero)
    wait_until(lambda: {d.state for n in house.listed() for d in n.deliveries} == {_SENT})

    newest, older = house.listed()
    assert [newest.kind, older.kind] == [
        notices_pb2.NOTICE_KIND_BALANCE_ZERO,
        notices_pb2.NOTICE_KIND_BALANCE_LOW,
    ]
    assert newest.facts["balance_micros"] == 0
    ask = notices_pb2.ResendNoticeRequest(tenant_id="contoso", notice_id=newest.notice_id)
    again = house.notices.ResendNotice(ask, timeout=5).notice
    wait_until(lambda: len(house.sink.of(BILLING)) == 3)

    assert [delivery.round for delivery in again.deliveries] == [0, 1]
    third = house.sink.of(BILLING)[2]
    assert third["Subject"] == zero["Subject"]
    assert third["Message-ID"] != zero["Message-ID"]


def test_pages_lead_from_the_newest_to_the_oldest(house: House) -> None:
    everything = [notice.notice_id for notice in house.listed()]
    found, token = [], ""
    for _ in range(10):
        page = house.notices.ListNotices(
            notices_pb2.ListNoticesRequest(tenant_id="contoso", page_size=1, page_token=token),
            timeout=5,
        )
        found += [notice.notice_id for notice in page.notices]
        token = page.next_page_token
        if not token:
            break

    assert found == everything


def test_a_preview_is_in_the_tenant_s_language_unless_asked_otherwise(house: House) -> None:
    before = len(house.sink.mails)
    shown = house.command("--preview", "recharge-failed")
    english = house.command("--preview", "recharge-failed", "--language", "en", "--json")
    page = house.command("--preview", "pool-80", "--html")

    assert "ricarica non riuscita" in shown.stdout
    assert f"To:      {BILLING}" in shown.stdout
    assert "the card was declined" in json.loads(english.stdout)["text"]
    assert page.stdout.startswith("<!doctype html>")
    assert len(house.sink.mails) == before


def test_the_command_lists_and_tells_the_key(house: House) -> None:
    listed = house.command()
    key = house.command("--webhook-key")
    wrong = house.command("--resend", "abc")

    assert f"sent to {BILLING}" in listed.stdout
    assert key.stdout.startswith("whsec_")
    assert key.stdout == house.command("--webhook-key").stdout
    assert (wrong.exit_code, "NOTICE_UNKNOWN" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (notices_pb2.ListNoticesRequest(tenant_id="a b"), "tenant_id"),
        (notices_pb2.ListNoticesRequest(tenant_id="contoso", page_size=1_001), "page_size"),
        (notices_pb2.ListNoticesRequest(tenant_id="contoso", page_token="x"), "page_token"),
        (notices_pb2.PreviewNoticeRequest(tenant_id="contoso"), "kind"),
        (_UNKNOWN_LANGUAGE, "language"),
        (notices_pb2.ResendNoticeRequest(tenant_id="contoso", notice_id="'"), "notice_id"),
    ],
)
def test_a_wrong_field_is_named(house: House, request_: object, field: str) -> None:
    name = type(request_).__name__.removesuffix("Request")

    failed = failure_of(lambda: getattr(house.notices, name)(request_, timeout=5))

    assert (failed.reason, failed.metadata["field"]) == ("FIELD_INVALID", field)


def test_a_tenant_that_names_nobody_gets_nothing_again(house: House) -> None:
    ask = notices_pb2.ResendNoticeRequest(tenant_id="nobody-at-all", notice_id="ab")

    assert failure_of(lambda: house.notices.ResendNotice(ask, timeout=5)).reason == (
        "TENANT_FORBIDDEN"
    )
