"""Notices in English."""

from __future__ import annotations

from server.notices.wording.language import Language, Wording

_BALANCE = ("Balance", "balance")
_WHEN = ("Time", "time")

ENGLISH = Language(
    code="en",
    thousands=",",
    decimal=".",
    months=(
        *("January", "February", "March", "April", "May", "June", "July", "August"),
        *("September", "October", "November", "December"),
    ),
    wordings={
        "recharge_succeeded": Wording(
            "{tenant}: credits recharged by {amount}",
            ("The credits of {tenant} were recharged automatically by {amount}.",),
            (("Amount", "amount"), _BALANCE, ("Valid until", "expire"), _WHEN),
        ),
        "recharge_failed": Wording(
            "{tenant}: the recharge failed ({reason})",
            (
                "The credits of {tenant} could not be recharged by {amount}: {reason}.",
                "Calls go on while there is credit left, and stop when it reaches zero. Look at "
                "the means of payment, or top up by hand.",
            ),
            (
                ("Amount", "amount"),
                ("Reason", "reason"),
                ("Detail", "detail"),
                _BALANCE,
                ("Next attempt not before", "next_try"),
                _WHEN,
            ),
        ),
        "balance_low": Wording(
            "{tenant}: credits are low ({balance})",
            ("The credits of {tenant} fell below {threshold}.",),
            (_BALANCE, ("Told below", "threshold"), _WHEN),
        ),
        "balance_zero": Wording(
            "{tenant}: credits have reached zero",
            (
                "The credits of {tenant} are used up. What credits pay for stops: calls to its "
                "toll-free numbers, and calls and dial-outs beyond the minutes of its plans.",
                "Minutes of plans and emergency calls go on. Top up to have the rest back at once.",
            ),
            (_BALANCE, _WHEN),
        ),
        "balance_zero_post_paid": Wording(
            "{tenant}: credits have reached zero",
            (
                "The credits of {tenant} are used up. Calls go on; what credits paid for is "
                "invoiced from now on.",
            ),
            (_BALANCE, _WHEN),
        ),
        "pool_80": Wording(
            "{tenant}: 80 % of a pool's {counter} minutes are used",
            ("Of the {counter} minutes of pool {pool_id} for {period}, 80 % are used.",),
            (("Used", "used"), ("Pool", "size"), _WHEN),
        ),
        "pool_100": Wording(
            "{tenant}: a pool's {counter} minutes are used up",
            (
                "The {counter} minutes of pool {pool_id} for {period} are used up.",
                "Until the next month, calls that they paid for are paid by credits where the "
                "caller is licensed for them, and refused where not.",
            ),
            (("Used", "used"), ("Pool", "size"), _WHEN),
        ),
        "credits_expiring": Wording(
            "{tenant}: {left} of credits will expire",
            ("{left} of the credits of {tenant} expire on {expire} if they are not used before.",),
            (("Left", "left"), ("Expires", "expire")),
        ),
        "credits_expired": Wording(
            "{tenant}: {expired} of credits have expired",
            ("{expired} of the credits of {tenant} were not used in time and have expired.",),
            (("Expired", "expired"), _BALANCE, _WHEN),
        ),
        "payment_reversed": Wording(
            "{tenant}: {reversed} of a payment were taken back",
            (
                "Of a payment of {amount} for the credits of {tenant}, {reversed} were taken back "
                "by a refund or a dispute. What was left of its credits is void.",
                "What had been spent already is listed below as still to be paid. After a dispute "
                "automatic recharge is off until its settings are saved again.",
            ),
            (
                ("Payment", "charge_id"),
                ("Amount", "amount"),
                ("Taken back", "reversed"),
                ("Spent already", "shortfall"),
                _WHEN,
            ),
        ),
        "payment_restored": Wording(
            "{tenant}: a payment that was taken back came in again",
            (
                "Money that was taken back of a payment of {amount} came in again; the credits of "
                "{tenant} have it.",
            ),
            (
                ("Payment", "charge_id"),
                ("Amount", "amount"),
                ("Taken back still", "reversed"),
                ("Spent already", "shortfall"),
                _WHEN,
            ),
        ),
        "implausible_use": Wording(
            "{tenant}: a call was reported longer than it can have lasted",
            (
                "Gateway {gateway_id} reported more use of a call of {tenant} than can have "
                "passed since the call began. {counted} are counted; the other {implausible} "
                "are held apart and not charged.",
                "The operator will look at it, and charge or waive what is held apart. The clock "
                "or the counter of the gateway may be wrong.",
            ),
            (
                ("Call", "call_id"),
                ("Decision", "decision_id"),
                ("Gateway", "gateway_id"),
                ("Counted", "counted"),
                ("Held apart", "implausible"),
                _WHEN,
            ),
        ),
        "usage_report": Wording(
            "{tenant}: usage report {report}, {first_day} to {last_day}",
            (
                "The usage of {tenant} that was booked from {first_day} to {last_day}, as the "
                "report {report} chooses it. The file {file} is attached where it is small enough.",
                "Its bytes never change once the period is over. This writes it anew: {command}",
            ),
            (
                ("Records", "records"),
                ("Charged", "charge"),
                ("Bytes", "bytes"),
                ("SHA-256", "sha256"),
                _WHEN,
            ),
        ),
    },
    reasons={
        "card_declined": "the card was declined",
        "expired_card": "the card has expired",
        "insufficient_funds": "the card has not enough funds",
        "authentication_required": "the bank wants the payment confirmed",
        "region_mismatch": "the region of the purchase is not that of the billing address",
        "payment_declined": "the payment was declined",
        "max_balance": "the balance would exceed its limit",
        "recharge_limit": "this month's limit for recharges is reached",
        "recharge_burst": "too many recharges in a short time",
        "below_minimum": "the amount is below the smallest purchase",
        "credits_not_sold": "credits are not sold in the tenant's country",
        "funding_model": "the tenant's funding model buys no credits",
    },
    counters={
        "domestic": "domestic",
        "international": "international",
        "zone_a": "zone A",
        "us_ca": "US and Canada",
    },
    footer="callgate sent notice {notice_id} to {target}, as the settings of {tenant} ask.",
)
