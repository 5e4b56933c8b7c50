"""What notices say: every kind in every language, and nothing that others smuggle in."""

from __future__ import annotations

import itertools
from email import message_from_bytes
from email.policy import default
from string import Formatter
from typing import Any

import pytest

from couriers import BILLING, SENDER
from server.notices.outbox import NoticeKind
from server.notices.rendering import Told, render
from server.notices.smtp import mail_of, message_id
from server.notices.wording import LANGUAGES

TIME_MS = 1_800_000_000_000
FACTS: dict[NoticeKind, dict[str, Any]] = {
    NoticeKind.RECHARGE_SUCCEEDED: {"amount_micros": 50_000_000, "balance_micros": 59_500_000},
    NoticeKind.RECHARGE_FAILED: {
        "amount_micros": 50_000_000,
        "reason": "card_declined",
        "next_try_ms": TIME_MS + 3_600_000,
    },
    NoticeKind.BALANCE_LOW: {"balance_micros": 9_999_999, "threshold_micros": 10_000_000},
    NoticeKind.BALANCE_ZERO: {"balance_micros": 0},
    NoticeKind.POOL_80: {"used_seconds": 48_000, "size_seconds": 60_000},
    NoticeKind.POOL_100: {"used_seconds": 60_000, "size_seconds": 60_000},
    NoticeKind.CREDITS_EXPIRING: {"left_micros": 12_000_000, "expire_ms": TIME_MS + 86_400_000},
    NoticeKind.CREDITS_EXPIRED: {"expired_micros": 12_000_000, "lots": 1},
    NoticeKind.PAYMENT_REVERSED: {"amount_micros": 1, "reversed_micros": 1, "shortfall_micros": 0},
    NoticeKind.PAYMENT_RESTORED: {"amount_micros": 1, "reversed_micros": 0, "shortfall_micros": 0},
    NoticeKind.IMPLAUSIBLE_USE: {
        "call_id": "call-1",
        "gateway_id": "sbc-1",
        "decision_id": "decision-1",
        "counted_seconds": 60,
        "implausible_seconds": 940,
    },
    NoticeKind.USAGE_REPORT: {
        "report": "italy",
        "first_day": "2026-11-01",
        "last_day": "2026-11-30",
        "records": 12,
        "charge_micros": 3_000_000,
        "file": "italy-2026-11-01-2026-11-30.csv",
        "bytes": 4_321,
        "sha256": "9f86d081",
        "command": "callgate reports run italy",
    },
}
POOL = {"pool_id": "US:MCOPSTN1", "counter": "domestic", "period": "2027-01"}


def told(kind: NoticeKind = NoticeKind.BALANCE_ZERO, language: str = "en", **facts: Any) -> Told:
    return Told(
        notice_id="notice-1",
        kind=kind,
        tenant_id="contoso",
        time_ms=TIME_MS,
        facts={"currency": "USD", **POOL, **FACTS[kind], **facts},
        language=language,
        time_zone="Europe/Rome",
        target=BILLING,
    )


@pytest.mark.parametrize(("kind", "language"), list(itertools.product(NoticeKind, LANGUAGES)))
def test_every_kind_is_told_whole_in_every_language(kind: NoticeKind, language: str) -> None:
    rendered = render(told(kind, language))

    assert rendered.language == language
    assert "contoso" in rendered.subject
    for text in (rendered.subject, rendered.text, rendered.html):
        # No field is left open: neither as its name nor as a gap.
        assert "{" not in text.replace("font-family: sans-serif", "")
        assert " ." not in text
        assert "  ." not in text
    assert render(told(kind, "en")).text != rendered.text or language == "en"


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages_have_the_same_kinds_fields_reasons_and_counters(language: str) -> None:
    english, other = LANGUAGES["en"], LANGUAGES[language]

    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text)} - {None}

    assert other.wordings.keys() == english.wordings.keys()
    assert other.reasons.keys() == english.reasons.keys()
    assert other.counters.keys() == english.counters.keys()
    for name, wording in english.wordings.items():
        same = other.wordings[name]
        assert fields(same.subject) == fields(wording.subject)
        assert [field for _, field in same.rows] == [field for _, field in wording.rows]
        assert len(same.paragraphs) == len(wording.paragraphs)


@pytest.mark.parametrize(
    ("language", "micros", "written"),
    [
        ("en", 1_250_000_000, "1,250.00 USD"),
        ("it", 1_250_000_000, "1.250,00 USD"),
        ("en", 9_999_999, "9.999999 USD"),
        ("it", -500_000, "-0,50 USD"),
        ("en", 0, "0.00 USD"),
        ("en", 3_000_000_000, "3,000 JPY"),
        ("it", -1_250_500_000, "-1.250,500 KWD"),
    ],
)
def test_amounts_are_written_exactly_as_the_language_does(
    language: str, micros: int, written: str
) -> None:
    assert LANGUAGES[language].money(micros, written[-3:]) == written


def test_a_zero_that_is_followed_by_invoices_says_so() -> None:
    assert "stops" in render(told()).text
    assert "invoiced" in render(told(post_paid_follows=True)).text


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    nasty = "<script>\r\nBcc: thief@evil.test\r\n\r\n{tenant}\u202etxt\x00"

    mail = mail_of(
        told(NoticeKind.RECHARGE_FAILED, reason=nasty, detail=nasty), sender=SENDER, number=0
    )
    read = message_from_bytes(mail.as_bytes(), policy=default)

    assert read["Bcc"] is None
    assert "{tenant}" in read["Subject"]
    html = render(told(NoticeKind.RECHARGE_FAILED, detail=nasty)).html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for text in (html, render(told(NoticeKind.RECHARGE_FAILED, detail=nasty)).text):
        assert "\u202e" not in text
        assert "\x00" not in text
        assert "\nBcc" not in text


def test_a_mail_is_well_formed_and_of_seven_bits() -> None:
    mail = mail_of(told(NoticeKind.RECHARGE_FAILED, "it"), sender=SENDER, number=0)
    data = mail.as_bytes()

    assert data.isascii()
    assert max(len(line) for line in data.splitlines()) <= 998
    read = message_from_bytes(data, policy=default)
    assert read.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["From"] == f"callgate <{SENDER}>"
    assert read["Date"].datetime.timestamp() * 1_000 == TIME_MS


def test_a_mail_s_name_is_its_own_and_stays() -> None:
    one = message_id(told(), sender=SENDER, number=0)

    assert one == message_id(told(), sender=SENDER, number=0)
    assert one != message_id(told(), sender=SENDER, number=1)
    assert one.endswith("@callgate.test>")


def test_an_unknown_language_is_written_in_english() -> None:
    assert render(told(language="tlh")).language == "en"
