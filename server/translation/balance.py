"""A balance for the wire."""

from __future__ import annotations

from callgate.v1 import credits_pb2 as pb
from callgate.v1.money_pb2 import Money
from server.ledger import Balance


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
