"""Joining what moves money in: the same parts in a server, which is asked, and in a keeper."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from policy.lot_life import LotLife
from policy.money import MICROS_PER_UNIT
from server.funding.auto_recharge import Burst, Recharging
from server.funding.charging import BackOff, Charging
from server.funding.provider_events import PaymentEvents
from server.funding.providers import Payments
from server.funding.providers.minor_units import ISO_4217, STRIPE
from server.funding.purchase_rules import LEAST_UNITS, PurchaseRules
from server.funding.requests import FundingRequests
from server.funding.reversing import Reversing
from server.funding.unfinished import Finishing
from server.ledger import Ledger
from server.settings import Settings
from server.settings.money import Provider
from server.storage.sql.audit import AuditTrail
from server.storage.sql.database import Database
from server.transport.http import OutgoingHttp, WebhookKey

_MS_PER_MINUTE = 60_000
_LONGEST_REST_DOUBLINGS = 5
_KEY_BYTES = 32
_ROUND_SECONDS = 1.0
_EXPIRY_ROUND_SECONDS = 60.0
_TIDY_SECONDS = 3_600.0


AroundPayments = Callable[[Payments], Payments]


@dataclass(frozen=True, slots=True)
class MoneyIn:
    """The parts. Without a payment provider there is no `charging`, and nothing that needs it."""

    funding_requests: FundingRequests
    finishing: Finishing
    rules: PurchaseRules
    charging: Charging | None
    recharging: Recharging | None
    events: PaymentEvents | None
    reversing: Reversing | None


def plain(payments: Payments) -> Payments:
    """Take money by the means of payment itself."""
    return payments


def make_money_in(
    settings: Settings,
    database: Database,
    ledger: Ledger,
    *,
    now_ms: Callable[[], int],
    around: AroundPayments = plain,
) -> MoneyIn:
    """Join them; nothing connects yet. `around` may put something around the means of payment."""
    funding_requests = FundingRequests(database, ledger, AuditTrail(now_ms), now_ms)
    rules = rules_of(settings)
    finishing = Finishing(database, funding_requests, ledger, now_ms)
    payments = _make_payments(settings, now_ms)
    if payments is None:
        return MoneyIn(funding_requests, finishing, rules, None, None, None, None)
    rest_ms = settings.recharge_rest_minutes * _MS_PER_MINUTE
    back_off = BackOff(rest_ms, rest_ms << _LONGEST_REST_DOUBLINGS)
    charging = Charging(database, ledger, around(payments), now_ms, back_off)
    reversing = Reversing(database, funding_requests, now_ms)
    return MoneyIn(
        funding_requests,
        finishing,
        rules,
        charging,
        Recharging(database, charging, now_ms, rules, burst_of(settings)),
        PaymentEvents(database, payments, charging, reversing, now_ms),
        reversing,
    )


def money_duties(money: MoneyIn) -> list[tuple[Callable[[], Awaitable[None]], float]]:
    """List what a keeper does for it, each with the pause between two rounds in seconds."""
    duties: list[tuple[Callable[[], Awaitable[None]], float]] = [
        (money.finishing.work, _ROUND_SECONDS),
        (money.finishing.expire_lots, _EXPIRY_ROUND_SECONDS),
    ]
    if money.recharging is not None:
        duties.append((money.recharging.work, _ROUND_SECONDS))
    if money.reversing is not None:
        duties.append((money.reversing.work, _ROUND_SECONDS))
        duties.append((money.reversing.tidy, _TIDY_SECONDS))
    return duties


def burst_of(settings: Settings) -> Burst:
    """Read how many recharges may follow each other."""
    return Burst(settings.recharge_burst, settings.recharge_burst_minutes * _MS_PER_MINUTE)


def rules_of(settings: Settings) -> PurchaseRules:
    """Read what purchases have to keep to."""
    most = settings.max_balance_units
    return PurchaseRules(
        least_micros=settings.minimum_funding_units * MICROS_PER_UNIT,
        max_balance_micros=most * MICROS_PER_UNIT if most else None,
        lot_life=LotLife(settings.lot_months, settings.lot_days),
        counting=STRIPE if settings.payments is Provider.STRIPE else ISO_4217,
        least_micros_of={
            currency: units * MICROS_PER_UNIT
            for currency, units in {
                **LEAST_UNITS,
                **settings.minimum_funding_by_currency,
            }.items()
        },
    )


def _make_payments(settings: Settings, now_ms: Callable[[], int]) -> Payments | None:
    match settings.payments:
        case Provider.BILLING:
            from server.funding.providers.billing import Billing

            key = WebhookKey.read(settings.payments_key)
            http = OutgoingHttp(settings.outgoing_hosts)
            return Billing(settings.payments_url, key, http, now_ms)
        case Provider.STRIPE:
            from server.funding.providers.stripe_payments import StripePayments

            return StripePayments(
                settings.stripe_api_key, settings.stripe_webhook_secret, settings.payments_url
            )
        case Provider.REHEARSAL:
            from server.funding.providers.simulated import Rehearsal

            text = (
                settings.payments_key
                or "whsec_" + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
            )
            return Rehearsal(WebhookKey.read(text))
        case Provider.OFF:
            return None
