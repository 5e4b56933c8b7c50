"""`callgate recharge`, `lots`, `statement`: how money comes in, what is there, what moved."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import click
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.money import Amount, confirm, money_of, tenant_option, yes_option
from callgate.connection import Connection
from callgate.v1 import credits_pb2 as pb
from callgate.v1.money_pb2 import Money

_SHOWN_CHARGES = 10
_PAGE = 1_000
_SETTLEMENTS = {
    "charge": pb.IMPLAUSIBLE_USE_SETTLEMENT_CHARGE,
    "waive": pb.IMPLAUSIBLE_USE_SETTLEMENT_WAIVE,
}
_ID_BYTES = 8
_AMOUNTS: tuple[Literal["trigger", "amount", "monthly_limit"], ...] = (
    "trigger",
    "amount",
    "monthly_limit",
)


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--on/--off", "enabled", default=None, help="Whether it recharges by itself.")
@click.option("--trigger", metavar="M", type=Amount(), help="Strictly below this it recharges.")
@click.option("--amount", metavar="M", type=Amount(), help="How much one recharge adds.")
@click.option("--monthly-limit", metavar="M", type=Amount(), help="The most of a month; 0: none.")
@click.option("--customer", metavar="ID", help="How the payment provider knows whom to charge.")
@click.option("--billing-country", metavar="CC", help="The country of the billing address.")
@click.option("--region-override", metavar="WHY", help="Why a foreign one is in order.")
@yes_option
@json_option
@address_option
def recharge(*, tenant: str, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """Show or change how a tenant buys credits by itself, and what was charged.

    \u0008
    callgate recharge --tenant contoso
    callgate recharge --tenant contoso --on --trigger 10 --amount 20 --customer cus_1:pm_1
    callgate recharge --tenant contoso --off
    """
    with connected(address) as engine:
        if any(value is not None for value in given.values()):
            confirm(f"Change how {tenant} buys credits?", yes)
            engine.ask_credits("UpdateFunding", _change(engine, tenant, given))
        answer: pb.GetFundingResponse = engine.ask_credits(
            "GetFunding", pb.GetFundingRequest(tenant_id=tenant)
        )
        charges: pb.ListChargesResponse = engine.ask_credits(
            "ListCharges", pb.ListChargesRequest(tenant_id=tenant, page_size=_SHOWN_CHARGES)
        )
    print_answer(answer, as_json, lambda: _funding_text(tenant, answer.funding, charges.charges))


@click.command("resolve-charge", epilog=EPILOG)
@click.argument("charge_id")
@tenant_option
@click.option("--taken/--not-taken", default=None, required=True, help="What the provider says.")
@click.option("--note", metavar="TEXT", default="", help="How that is known, for the audit trail.")
@yes_option
@json_option
@address_option
def resolve_charge(
    *, tenant: str, charge_id: str, as_json: bool, address: str, yes: bool, **given: Any
) -> None:
    """Say what became of a charge that is unresolved: credited if it was taken."""
    fate = "taken: credit it" if given["taken"] else "not taken: give it up"
    confirm(f"The money of {charge_id} of {tenant} was {fate}?", yes)
    with connected(address) as engine:
        answer: pb.ResolveChargeResponse = engine.ask_credits(
            "ResolveCharge",
            pb.ResolveChargeRequest(
                tenant_id=tenant, charge_id=charge_id, taken=given["taken"], note=given["note"]
            ),
        )
    print_answer(answer, as_json, lambda: f"{charge_id} is {_state(answer.charge)}")


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--all", "show_spent", is_flag=True, help="Also those used up, expired or voided.")
@click.option("--void", "void_lot_id", metavar="ID", help="Take this lot out of use.")
@yes_option
@json_option
@address_option
def lots(*, tenant: str, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """List the lots of a tenant; the first one is spent first."""
    with connected(address) as engine:
        if given["void_lot_id"]:
            lot_id = given["void_lot_id"]
            confirm(f"Forfeit what is left of {lot_id} of {tenant}?", yes)
            request_id = f"cli-{secrets.token_hex(_ID_BYTES)}"
            engine.ask_credits(
                "VoidLot",
                pb.VoidLotRequest(tenant_id=tenant, request_id=request_id, lot_id=lot_id),
            )
        question = pb.ListLotsRequest(
            tenant_id=tenant, show_spent=given["show_spent"], page_size=_PAGE
        )
        found = pb.ListLotsResponse(lots=_pages(engine, "ListLots", question, field="lots"))
    print_answer(found, as_json, lambda: _lots_text(found.lots))


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--charge", metavar="DECISION", help="Debit what is held apart of this call.")
@click.option("--waive", metavar="DECISION", help="Forget what is held apart of this call.")
@click.option("--note", metavar="TEXT", default="", help="Why, for the audit trail.")
@yes_option
@json_option
@address_option
def implausible(*, tenant: str, as_json: bool, address: str, yes: bool, **given: Any) -> None:
    """List reported use that cannot have passed and is held apart; charge or waive it."""
    if given["charge"] and given["waive"]:
        raise click.UsageError("Give --charge or --waive, not both.")
    if given["charge"] or given["waive"]:
        how = "charge" if given["charge"] else "waive"
        decision_id = given[how]
        confirm(f"{how.title()} what is held apart of {decision_id} of {tenant}?", yes)
        with connected(address) as engine:
            answer: pb.ResolveImplausibleUseResponse = engine.ask_credits(
                "ResolveImplausibleUse",
                pb.ResolveImplausibleUseRequest(
                    tenant_id=tenant,
                    decision_id=decision_id,
                    settlement=_SETTLEMENTS[how],
                    note=given["note"],
                ),
            )
        text = f"{decision_id} is settled: {words.money(answer.charged)} charged"
        print_answer(answer, as_json, lambda: text)
    else:
        _list_uses(tenant, address, as_json=as_json)


def _list_uses(tenant: str, address: str, *, as_json: bool) -> None:
    question = pb.ListImplausibleUseRequest(tenant_id=tenant, page_size=_PAGE)
    with connected(address) as engine:
        uses = list(_pages(engine, "ListImplausibleUse", question, field="uses"))
    found = pb.ListImplausibleUseResponse(uses=uses)
    print_answer(found, as_json, lambda: _uses_text(found.uses))


@click.command(epilog=EPILOG)
@tenant_option
@click.option("--from", "since", metavar="DATE", type=click.DateTime(), help="From then on, UTC.")
@click.option("--to", "until", metavar="DATE", type=click.DateTime(), help="Before then, UTC.")
@json_option
@address_option
def statement(*, tenant: str, as_json: bool, address: str, **given: Any) -> None:
    """Tell every movement of a balance, the oldest first, and the balance after each."""
    question = pb.GetStatementRequest(tenant_id=tenant, page_size=_PAGE)
    for name, moment in (("start_time", given["since"]), ("end_time", given["until"])):
        if moment is not None:
            getattr(question, name).CopyFrom(timestamp_of(moment))
    with connected(address) as engine:
        lines = list(_pages(engine, "GetStatement", question, field="lines"))
    found = pb.GetStatementResponse(lines=lines)
    print_answer(found, as_json, lambda: _statement_text(found.lines))


def _change(engine: Connection, tenant: str, given: dict[str, Any]) -> pb.UpdateFundingRequest:
    """Build the change; of auto-recharge what was not said stays as it is."""
    now: pb.GetFundingResponse = engine.ask_credits(
        "GetFunding", pb.GetFundingRequest(tenant_id=tenant)
    )
    change = pb.UpdateFundingRequest(tenant_id=tenant, etag=now.funding.etag)
    amounts = {
        name: money_of(engine, tenant, given[name]) for name in _AMOUNTS if given[name] is not None
    }
    if given["enabled"] is not None or amounts:
        change.auto_recharge.CopyFrom(now.funding.auto_recharge)
        _change_recharge(change.auto_recharge, given["enabled"], amounts)
    for field, name in (
        ("payment_customer", "customer"),
        ("billing_country", "billing_country"),
        ("region_override", "region_override"),
    ):
        if given[name] is not None:
            setattr(change, field, given[name])
    return change


def _change_recharge(
    recharge_now: pb.AutoRecharge, enabled: bool | None, amounts: Mapping[Any, Money]
) -> None:
    recharge_now.ClearField("rest_until_time")
    if enabled is not None:
        recharge_now.enabled = enabled
    for name, amount in amounts.items():
        getattr(recharge_now, name).CopyFrom(amount)
    for name in _AMOUNTS:
        if not getattr(recharge_now, name).micros:
            # Never set, or taken back.
            recharge_now.ClearField(name)


def _pages(engine: Connection, method: str, question: Any, *, field: str) -> Iterator[Any]:
    while True:
        page = engine.ask_credits(method, question)
        yield from getattr(page, field)
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _funding_text(tenant: str, funding: pb.Funding, charges: Sequence[pb.Charge]) -> str:
    recharge_now = funding.auto_recharge
    told = f"{tenant}: auto-recharge is off"
    if recharge_now.enabled:
        told = (
            f"{tenant}: {words.money(recharge_now.amount)} when the balance is below "
            f"{words.money(recharge_now.trigger)}"
        )
    lines = [told]
    if recharge_now.HasField("monthly_limit"):
        lines.append(f"  at most    {words.money(recharge_now.monthly_limit)} a month")
    if recharge_now.HasField("rest_until_time"):
        lines.append(f"  rests      until {words.clock(recharge_now.rest_until_time)}")
    for label, text in (
        ("customer", funding.payment_customer),
        ("billing", funding.billing_country),
        ("override", funding.region_override),
        ("closed", "for good" if funding.closed else ""),
    ):
        if text:
            lines.append(f"  {label:<11}{text}")
    rows = [
        (words.clock(each.create_time), words.money(each.amount), _state(each), _why(each))
        for each in charges
    ]
    return "\n".join([*lines, *_table(rows)])


def _state(charge: pb.Charge) -> str:
    if charge.state not in pb.ChargeState.values():
        return f"state {charge.state}"
    return pb.ChargeState.Name(charge.state).removeprefix("CHARGE_STATE_").lower()


def _why(charge: pb.Charge) -> str:
    """Say why a charge went wrong, or what was taken back of it since."""
    if not charge.HasField("reversed"):
        return charge.reason
    told = f"{words.money(charge.reversed)} taken back"
    if charge.shortfall.micros:
        told += f", {words.money(charge.shortfall)} of it were spent"
    return told


def _lots_text(found: Sequence[pb.Lot]) -> str:
    if not found:
        return "There is no lot with anything left."
    rows = [
        (
            words.clock(lot.expire_time),
            f"{words.money(lot.left)} of {words.money(lot.amount)}",
            "voided" if lot.voided else "",
            lot.lot_id,
        )
        for lot in found
    ]
    return "\n".join(_table([("expires", "left", "", "lot"), *rows]))


def _uses_text(found: Sequence[pb.ImplausibleUse]) -> str:
    if not found:
        return "Nothing is held apart."
    rows = [
        (
            f"{use.duration.seconds} s",
            words.money(use.amount),
            use.gateway_id,
            use.call_id,
            use.decision_id,
        )
        for use in found
    ]
    return "\n".join(_table([("held", "price", "gateway", "call", "decision"), *rows]))


def _statement_text(found: Sequence[pb.StatementLine]) -> str:
    if not found:
        return "Nothing moved."
    rows = [("time", "what", "amount", "balance", "of")]
    for line in found:
        kind = pb.StatementKind.Name(line.kind).removeprefix("STATEMENT_KIND_").lower()
        whose = " ".join(filter(None, (line.account_id, line.call_id, line.lot_id)))
        balance = words.money(line.balance) if line.HasField("balance") else "-"
        rows.append(
            (
                words.clock(line.time),
                kind.replace("_", "-"),
                words.money(line.amount),
                balance,
                whose or line.reference_id,
            )
        )
    return "\n".join(_table(rows))


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def timestamp_of(moment: datetime) -> Timestamp:
    """Write a time of the command line, UTC."""
    stamp = Timestamp()
    stamp.FromDatetime(moment.replace(tzinfo=UTC))
    return stamp
