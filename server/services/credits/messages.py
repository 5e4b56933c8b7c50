"""Lots, charges, settings of funding and lines of a statement, for the wire."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from callgate.v1 import credits_pb2 as pb
from callgate.v1.money_pb2 import Money
from server.archive import LotRow
from server.calls.messages.fields import InvalidRequest
from server.calls.messages.parts import set_money, set_time
from server.funding.charge_rows import ChargeRow, ChargeState
from server.funding.funding_rows import FundingRow
from server.funding.statement import CORRECTION, Line, Place
from server.ledger import Balance
from server.ledger.decision_context import unpack

_PLACE = re.compile(r"1 (\d{1,16}) (\d{1,16}) (\d{1,16})")
_CHARGE_STATES = {
    ChargeState.INTENT: pb.CHARGE_STATE_PENDING,
    ChargeState.CHARGING: pb.CHARGE_STATE_PENDING,
    ChargeState.CHARGED: pb.CHARGE_STATE_CHARGED,
    ChargeState.CREDITED: pb.CHARGE_STATE_CREDITED,
    ChargeState.DECLINED: pb.CHARGE_STATE_DECLINED,
    ChargeState.REFUSED: pb.CHARGE_STATE_REFUSED,
    ChargeState.UNRESOLVED: pb.CHARGE_STATE_UNRESOLVED,
}
_LINE_KINDS = {
    "topped_up": pb.STATEMENT_KIND_TOP_UP,
    "debited": pb.STATEMENT_KIND_DEBIT,
    "refunded": pb.STATEMENT_KIND_REFUND,
    "lots_expired": pb.STATEMENT_KIND_EXPIRY,
    CORRECTION: pb.STATEMENT_KIND_CORRECTION,
}


def new_lot(lot_id: str, micros: int, expire_ms: int, *, currency: str) -> pb.Lot:
    """Describe a lot as it was asked for: the same whenever it is asked again."""
    lot = pb.Lot(lot_id=lot_id)
    set_money(lot.amount, micros, currency)
    set_money(lot.left, micros, currency)
    set_time(lot.expire_time, expire_ms)
    return lot


def set_lot(lot: pb.Lot, row: LotRow, currency: str) -> None:
    """Describe a lot as it is."""
    lot.lot_id = row.lot_id
    set_money(lot.amount, row.micros, currency)
    set_money(lot.left, row.left_micros, currency)
    set_time(lot.purchase_time, row.purchase_ms)
    set_time(lot.expire_time, row.expire_ms)
    lot.voided = row.voided


def set_charge(told: pb.Charge, charge: ChargeRow) -> None:
    """Describe a charge."""
    told.charge_id = charge.charge_id
    told.state = _CHARGE_STATES[charge.state]
    set_money(told.amount, charge.micros, charge.currency)
    told.reason, told.detail = charge.reason, charge.detail
    told.provider_reference = charge.provider_reference
    set_time(told.create_time, charge.create_ms)
    told.crossing, told.attempt = charge.crossing or 0, charge.attempt or 0
    if charge.reversed_micros:
        set_money(told.reversed, charge.reversed_micros, charge.currency)
        set_money(told.shortfall, charge.shortfall_micros, charge.currency)


def set_funding(funding: pb.Funding, row: FundingRow, currency: str) -> None:
    """Describe how a tenant buys credits."""
    recharge = funding.auto_recharge
    recharge.enabled = row.recharge_enabled
    set_money(recharge.trigger, row.trigger_micros, currency)
    set_money(recharge.amount, row.amount_micros, currency)
    if row.monthly_limit_micros is not None:
        set_money(recharge.monthly_limit, row.monthly_limit_micros, currency)
    if row.rest_until_ms:
        set_time(recharge.rest_until_time, row.rest_until_ms)
    funding.billing_country = row.billing_country
    funding.region_override = row.region_override
    if row.max_balance_micros is not None:
        set_money(funding.max_balance, row.max_balance_micros, currency)
    funding.payment_customer = row.payment_customer
    funding.closed = row.closed
    funding.etag = etag_of(row)


def etag_of(row: FundingRow) -> str:
    """Stand for the settings of a tenant's funding, whatever else happens to its money."""
    settings = (
        *(row.recharge_enabled, row.trigger_micros, row.amount_micros, row.monthly_limit_micros),
        *(row.billing_country, row.region_override, row.max_balance_micros, row.payment_customer),
    )
    return f"{binascii.crc32(repr(settings).encode()):08x}"


def set_line(told: pb.StatementLine, line: Line, currency: str) -> None:
    """Describe one movement."""
    set_time(told.time, line.time_ms)
    told.kind = _line_kind(line)
    set_money(told.amount, line.amount_micros, currency)
    if line.balance_micros is not None:
        set_money(told.balance, line.balance_micros, currency)
    told.call_id, told.decision_id = line.call_id, line.decision_id
    if line.context:
        told.account_id = unpack(line.context).account_id
    told.lot_id, told.reference_id = line.lot_id, line.reference_id


def page_token(place: Place | None) -> str:
    """Write where the next page begins; empty where there is none."""
    if place is None:
        return ""
    text = " ".join(["1", *map(str, place)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(token: str) -> Place | None:
    """Read where a page begins. Raises `InvalidRequest`."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidRequest("page_token", "the next_page_token of the page before")
    time_ms, epoch, n = map(int, found.groups())
    return time_ms, epoch, n


def refund_parts(body: Mapping[str, Any], currency: str) -> pb.RefundResponse:
    """Tell what a refund gave back, lot by lot."""
    response = pb.RefundResponse()
    set_money(response.amount, sum(part[2] for part in body["parts"]), currency)
    for _, lot_id, micros in body["parts"]:
        part = response.parts.add(lot_id=lot_id)
        set_money(part.amount, micros, currency)
    return response


def _line_kind(line: Line) -> pb.StatementKind.ValueType:
    if line.kind == "lots_expired" and line.voided:
        return pb.STATEMENT_KIND_VOID
    return _LINE_KINDS.get(line.kind, pb.STATEMENT_KIND_CALL)


def balance_response(balance: Balance) -> pb.GetBalanceResponse:
    """Build the answer; what does not exist is absent, not zero."""

    def money(micros: int) -> Money:
        return Money(micros=micros, currency_code=balance.currency)

    response = pb.GetBalanceResponse(
        reserved=money(balance.reserved_micros), debited=money(balance.debited_micros)
    )
    if balance.balance_micros is not None:
        response.balance.CopyFrom(money(balance.balance_micros))
    if balance.available_micros is not None:
        response.available.CopyFrom(money(balance.available_micros))
    return response
