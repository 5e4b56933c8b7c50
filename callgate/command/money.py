"""`callgate top-up`, `debit`, `refund`, `transfer`, `credit-limit`, `freeze`: money on the move."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.command import words
from callgate.command.engine import (
    EPILOG,
    NotAnswered,
    address_option,
    connected,
    json_option,
    print_answer,
)
from callgate.connection import Connection
from callgate.v1 import credits_pb2 as pb
from callgate.v1.money_pb2 import Money

_MICROS_PER_UNIT = 1_000_000
_ID_BYTES = 8

Command = Callable[..., Any]


class Amount(click.ParamType[Decimal]):
    """An amount of money such as 25 or 12.50, in the tenant's currency."""

    name = "amount"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read it exactly: at most six decimals."""
        try:
            return Decimal(words.micros_of(str(value))) / _MICROS_PER_UNIT
        except ValueError:
            self.fail(f"{value!r} is no amount: give it as 25 or 12.50", param, ctx)


tenant_option = click.option("--tenant", metavar="T", required=True, help="The tenant.")
amount_option = click.option(
    "--amount", metavar="M", type=Amount(), required=True, help="How much, as 25 or 12.50."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
_note_option = click.option("--note", metavar="TEXT", default="", help="Why, for the audit trail.")
_request_option = click.option(
    "--request-id",
    metavar="ID",
    default=lambda: f"cli-{secrets.token_hex(_ID_BYTES)}",
    help="Names the request: the same again moves nothing twice.  [default: a random one]",
)
_expires_option = click.option(
    "--expires",
    metavar="DATE",
    type=click.DateTime(),
    help="When the credits expire, UTC.  [default: after the usual time]",
)


def moving(command: Command) -> Command:
    """Give a command the options of all that moves money."""
    for option in (address_option, json_option, yes_option, _note_option, _request_option):
        command = option(command)
    return tenant_option(command)


@click.command("top-up", epilog=EPILOG)
@moving
@amount_option
@click.option("--charge", is_flag=True, help="Charge the tenant's means of payment for it.")
@_expires_option
def top_up(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Add credits: a lot of their own, that expires by itself.

    \u0008
    callgate top-up --tenant contoso --amount 25 --note "invoice 4711"
    callgate top-up --tenant contoso --amount 25 --charge
    """
    with asking(address, given["request_id"]) as engine:
        amount = money_of(engine, given["tenant"], given["amount"])
        what = "Charge the means of payment of" if given["charge"] else "Add to the balance of"
        confirm(f"{what} {given['tenant']}: {words.money(amount)}?", yes)
        question = pb.TopUpRequest(**_head(given), amount=amount, charge=given["charge"])
        _set_expiry(question, given["expires"])
        answer: pb.TopUpResponse = engine.ask_credits("TopUp", question)
    print_answer(answer, as_json, lambda: _topped_up(answer))


@click.command(epilog=EPILOG)
@moving
@amount_option
def debit(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Take money that no running call holds: all of it or nothing."""
    with asking(address, given["request_id"]) as engine:
        amount = money_of(engine, given["tenant"], given["amount"])
        confirm(f"Take {words.money(amount)} from {given['tenant']}?", yes)
        answer: pb.DebitResponse = engine.ask_credits(
            "Debit", pb.DebitRequest(**_head(given), amount=amount)
        )
    text = f"{words.money(answer.amount)} taken; to give it back: --debit {given['request_id']}"
    print_answer(answer, as_json, lambda: text)


@click.command(epilog=EPILOG)
@moving
@click.option("--debit", "debit_request_id", metavar="ID", help="Of this debit.")
@click.option("--decision", "decision_id", metavar="ID", help="Of the call this decision began.")
@click.option("--amount", metavar="M", type=Amount(), help="How much.  [default: all that is left]")
def refund(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Give back what a debit or a call took, into the lots it came from."""
    of = {name: given[name] for name in ("debit_request_id", "decision_id") if given[name]}
    if len(of) != 1:
        raise click.UsageError("Of what? Give --debit or --decision.")
    with asking(address, given["request_id"]) as engine:
        question = pb.RefundRequest(**_head(given), **of)
        if given["amount"] is not None:
            question.amount.CopyFrom(money_of(engine, given["tenant"], given["amount"]))
        confirm(f"Give back to {given['tenant']} what {next(iter(of.values()))} took?", yes)
        answer: pb.RefundResponse = engine.ask_credits("Refund", question)
    print_answer(answer, as_json, lambda: _refunded(answer))


@click.command(epilog=EPILOG)
@moving
@click.option("--to", "to_tenant_id", metavar="T", required=True, help="The tenant it goes to.")
@amount_option
@_expires_option
def transfer(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Move money that no running call holds to another tenant."""
    receiver = given["to_tenant_id"]
    with asking(address, given["request_id"]) as engine:
        amount = money_of(engine, given["tenant"], given["amount"])
        confirm(f"Move {words.money(amount)} from {given['tenant']} to {receiver}?", yes)
        question = pb.TransferRequest(**_head(given), to_tenant_id=receiver, amount=amount)
        _set_expiry(question, given["expires"])
        answer: pb.TransferResponse = engine.ask_credits("Transfer", question)
    print_answer(answer, as_json, lambda: f"{_lot_text(answer.lot)}, of {receiver}")


@click.command("credit-limit", epilog=EPILOG)
@moving
@amount_option
def credit_limit(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Let an account go so far below zero; 0 takes it back."""
    with asking(address, given["request_id"]) as engine:
        amount = money_of(engine, given["tenant"], given["amount"])
        confirm(f"Let {given['tenant']} go {words.money(amount)} below zero?", yes)
        answer: pb.SetCreditLimitResponse = engine.ask_credits(
            "SetCreditLimit", pb.SetCreditLimitRequest(**_head(given), credit_limit=amount)
        )
    text = f"{given['tenant']} may go {words.money(answer.credit_limit)} below zero"
    print_answer(answer, as_json, lambda: text)


@click.command(epilog=EPILOG)
@moving
@click.option("--undo", is_flag=True, help="Grant again.")
@click.option("--close", is_flag=True, help="For good: nothing comes in any more, either.")
def freeze(*, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Grant nothing more of an account; running calls are told to end."""
    if given["undo"] and given["close"]:
        raise click.UsageError("A closed account stays closed: give --undo or --close.")
    method, text = "FreezeAccount", "frozen"
    if given["close"]:
        method, text = "CloseAccount", "closed for good"
    elif given["undo"]:
        method, text = "UnfreezeAccount", "not frozen any more"
    with asking(address, given["request_id"]) as engine:
        if not given["undo"]:
            confirm(f"End the calls of {given['tenant']}, and grant no more?", yes)
        answer = engine.ask_credits(method, getattr(pb, f"{method}Request")(**_head(given)))
    print_answer(answer, as_json, lambda: f"{given['tenant']} is {text}")


@contextmanager
def asking(address: str, request_id: str) -> Iterator[Connection]:
    """Connect; where no answer comes, tell how to ask the same again."""
    try:
        with connected(address) as engine:
            yield engine
    except NotAnswered as silence:
        again = f"To ask the same again, and move nothing twice: --request-id {request_id}"
        raise NotAnswered(f"{silence.message}\n{again}") from silence


def money_of(engine: Connection, tenant: str, amount: Decimal) -> Money:
    """Say an amount in the currency of a tenant."""
    funding: pb.GetFundingResponse = engine.ask_credits(
        "GetFunding", pb.GetFundingRequest(tenant_id=tenant)
    )
    currency = funding.funding.auto_recharge.trigger.currency_code
    return Money(micros=int(amount * _MICROS_PER_UNIT), currency_code=currency)


def confirm(what: str, yes: bool) -> None:
    """Ask whether it is meant, unless that was said."""
    if not yes:
        click.confirm(what, abort=True, err=True)


def _head(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "tenant_id": given["tenant"],
        "request_id": given["request_id"],
        "note": given["note"],
    }


def _set_expiry(question: pb.TopUpRequest | pb.TransferRequest, expires: Any) -> None:
    if expires is not None:
        moment = Timestamp()
        moment.FromDatetime(expires)
        question.expire_time.CopyFrom(moment)


def _topped_up(answer: pb.TopUpResponse) -> str:
    if not answer.HasField("lot"):
        return f"charge {answer.charge.charge_id} is pending; the credits come by themselves"
    return _lot_text(answer.lot)


def _lot_text(lot: pb.Lot) -> str:
    return f"{words.money(lot.amount)} added as {lot.lot_id}, until {words.clock(lot.expire_time)}"


def _refunded(answer: pb.RefundResponse) -> str:
    parts = [
        f"  {words.money(part.amount)} to {part.lot_id or 'what was owed'}" for part in answer.parts
    ]
    return "\n".join([f"{words.money(answer.amount)} given back", *parts])
