"""Signed events: ours, those of others, and those that only look like it."""

from __future__ import annotations

import base64

import pytest

from server.transport.http import SignatureWrong, WebhookKey

NOW_MS = 1_800_000_000_000
KEY = WebhookKey.read("whsec_" + base64.b64encode(b"k" * 32).decode())
BODY = b'{"kind": "balance_zero"}'


def test_a_signed_event_is_believed_and_names_itself() -> None:
    headers = KEY.sign("event-1", BODY, now_ms=NOW_MS)

    assert KEY.verify(headers, BODY, now_ms=NOW_MS) == "event-1"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the published specification.
    key = WebhookKey.read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = key.sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', now_ms=1_614_265_330_000
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("seconds", "fine"), [(300, True), (301, False), (-300, True)])
def test_an_event_is_believed_for_five_minutes(seconds: int, fine: bool) -> None:
    headers = KEY.sign("event-1", BODY, now_ms=NOW_MS)
    later_ms = NOW_MS + seconds * 1_000

    if fine:
        assert KEY.verify(headers, BODY, now_ms=later_ms)
    else:
        with pytest.raises(SignatureWrong, match="300 s"):
            KEY.verify(headers, BODY, now_ms=later_ms)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "event-2"},
        {"webhook-timestamp": str(NOW_MS // 1_000 + 1)},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1a,\u00e4"},
        {"webhook-signature": ""},
        {"webhook-id": ""},
        {"webhook-id": "event 1"},
        {"webhook-timestamp": "\u0661"},
        {"webhook-timestamp": "-1"},
    ],
)
def test_an_event_that_was_changed_is_not_believed(change: dict[str, str]) -> None:
    headers = KEY.sign("event-1", BODY, now_ms=NOW_MS) | change

    with pytest.raises(SignatureWrong):
        KEY.verify(headers, BODY, now_ms=NOW_MS)


def test_the_body_counts_byte_for_byte() -> None:
    headers = KEY.sign("event-1", BODY, now_ms=NOW_MS)

    with pytest.raises(SignatureWrong):
        KEY.verify(headers, BODY + b" ", now_ms=NOW_MS)


def test_while_keys_change_one_right_signature_is_enough() -> None:
    headers = KEY.sign("event-1", BODY, now_ms=NOW_MS)
    old = WebhookKey(b"o" * 32).sign("event-1", BODY, now_ms=NOW_MS)
    headers["webhook-signature"] = f"{old['webhook-signature']} {headers['webhook-signature']}"

    assert KEY.verify(headers, BODY, now_ms=NOW_MS) == "event-1"


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_!", "whsec_" + base64.b64encode(b"short").decode()]
)
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="a key"):
        WebhookKey.read(text)


def test_a_key_is_never_shown() -> None:
    assert "kkk" not in repr(KEY)
