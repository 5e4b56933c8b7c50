"""Figures for a preview: what a notice of each kind could be about."""

from __future__ import annotations

from typing import Any

from server.notices.outbox import Facts, NoticeKind
from server.notices.preferences import NoticeSettings
from server.notices.rendering import Told

NOTICE_ID = "example"
_UNIT = 1_000_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# Where a tenant has not chosen a line.
_LOW_MICROS = 10 * _UNIT


def example(
    kind: NoticeKind, tenant_id: str, settings: NoticeSettings, *, currency: str, now_ms: int
) -> Told:
    """Make up a notice of this kind, for a tenant as its facts are."""
    return Told(
        notice_id=NOTICE_ID,
        kind=kind,
        tenant_id=tenant_id,
        time_ms=now_ms,
        facts={"currency": currency, **_facts(kind, settings, now_ms)},
        language=settings.language,
        time_zone=settings.time_zone,
        target=settings.recipients[0] if settings.recipients else "nobody",
    )


def _facts(kind: NoticeKind, settings: NoticeSettings, now_ms: int) -> Facts:
    low_micros = settings.low_balance_micros or _LOW_MICROS
    pool: dict[str, Any] = {
        "pool_id": "US:MCOPSTN1",
        "counter": "domestic",
        "period": "2027-01",
        "size_seconds": 18_000_000,
    }
    examples: dict[NoticeKind, Facts] = {
        NoticeKind.RECHARGE_SUCCEEDED: {"amount_micros": 50 * _UNIT},
        NoticeKind.RECHARGE_FAILED: {
            "amount_micros": 50 * _UNIT,
            "reason": "card_declined",
            "next_try_ms": now_ms + _HOUR_MS,
        },
        NoticeKind.BALANCE_LOW: {
            "balance_micros": low_micros - 200_000,
            "threshold_micros": low_micros,
        },
        NoticeKind.BALANCE_ZERO: {
            "balance_micros": 0,
            "post_paid_follows": settings.post_paid_follows,
        },
        NoticeKind.POOL_80: {**pool, "used_seconds": 14_400_000},
        NoticeKind.POOL_100: {**pool, "used_seconds": 18_000_000},
        NoticeKind.CREDITS_EXPIRING: {
            "left_micros": 12 * _UNIT,
            "expire_ms": now_ms + settings.expiring_days * _DAY_MS,
        },
        NoticeKind.CREDITS_EXPIRED: {
            "expired_micros": 12 * _UNIT,
            "lots": 1,
            "balance_micros": 38 * _UNIT,
        },
        NoticeKind.PAYMENT_REVERSED: {
            "charge_id": "5d41402abc4b2a76b9719d91",
            "amount_micros": 50 * _UNIT,
            "reversed_micros": 50 * _UNIT,
            "shortfall_micros": 12 * _UNIT,
        },
        NoticeKind.PAYMENT_RESTORED: {
            "charge_id": "5d41402abc4b2a76b9719d91",
            "amount_micros": 50 * _UNIT,
            "reversed_micros": 0,
            "shortfall_micros": 0,
        },
        NoticeKind.IMPLAUSIBLE_USE: {
            "call_id": "4f1a8d20-call",
            "gateway_id": "sbc-1",
            "decision_id": "0b9c7d5e1f3a4c68",
            "counted_seconds": 1_500,
            "implausible_seconds": 34_500,
        },
        NoticeKind.USAGE_REPORT: {
            "report": "daily-credits",
            "first_day": "2027-01-14",
            "last_day": "2027-01-14",
            "records": 1_280,
            "charge_micros": 42 * _UNIT,
            "file": "daily-credits-2027-01-14.csv",
            "bytes": 310_000,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "command": "callgate reports run daily-credits --from 2027-01-14 --to 2027-01-14",
        },
    }
    return examples[kind]
