"""The commands of `callgate`: ask the engine, print what it says, end with a status for scripts."""

from __future__ import annotations

import os
from typing import Any

import click

from callgate.command.advise import advise
from callgate.command.advise_plans import advise_plans
from callgate.command.answer import balance_text, decision_text, emergency_numbers_text
from callgate.command.audit import audit
from callgate.command.call import call
from callgate.command.calls import calls
from callgate.command.cdr import cdr
from callgate.command.decisions import decisions
from callgate.command.directory import COMMANDS
from callgate.command.engine import (
    EPILOG,
    REFUSED,
    NotAnswered,
    address_option,
    connected,
    json_option,
    print_answer,
)
from callgate.command.funding import implausible, lots, recharge, resolve_charge, statement
from callgate.command.money import credit_limit, debit, freeze, refund, top_up, transfer
from callgate.command.notices import notices
from callgate.command.question import DEFAULT_GATEWAY, KIND_NAMES, Given, question_of
from callgate.command.rates import back_test, rates
from callgate.command.reports import reports
from callgate.command.route import route
from callgate.command.terminal import echo
from callgate.command.tokens import tokens
from callgate.command.transfer import export, import_
from callgate.command.usage import attempts, pools, usage
from callgate.command.watch import watch
from callgate.v1.authorization_pb2 import GetEmergencyNumbersRequest
from callgate.v1.credits_pb2 import GetBalanceRequest


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="callgate", message="callgate %(version)s")
@click.pass_context
def callgate(context: click.Context) -> None:
    """Ask whether a user may place a call, for how long, and who pays."""
    if os.environ.get("NO_COLOR"):
        context.color = False


@callgate.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", default="", help="The tenant; not needed with toll numbers.")
@click.option("--user", metavar="U", help="Who calls, forwards, transfers, adds or is called.")
@click.option("--to", metavar="N", help="The number called, as dialled.")
@click.option("--kind", type=click.Choice(KIND_NAMES), help="What kind of call.  [default: user]")
@click.option("--organizer", metavar="U", help="The organizer of the meeting.")
@click.option(
    "--account",
    "accounts",
    metavar="A",
    multiple=True,
    help="With attendant or queue: a resource account the call has passed; repeat in order.",
)
@click.option("--from", "calling", metavar="N", default="", help="The number that calls.")
@click.option("--service-number", metavar="N", help="With toll-free or toll: the same as --to.")
@click.option("--location", metavar="CC", default="", help="The country the caller is in, as IT.")
@click.option("--seconds", metavar="S", type=int, help="How long the grant should be.")
@click.option("--call-id", metavar="ID", help="The call's id.  [default: a random one]")
@click.option(
    "--sequence",
    metavar="N",
    type=int,
    default=1,
    show_default=True,
    help="The question's place in the call; the same one again gets the same answer.",
)
@click.option(
    "--gateway",
    metavar="ID",
    default=DEFAULT_GATEWAY,
    show_default=True,
    help="Who carries the call.",
)
@click.option("--dry-run", is_flag=True, help="Decide, and change nothing.")
@click.option(
    "--explain", is_flag=True, help="Tell each check, and what would turn a no into a yes."
)
@json_option
@address_option
@click.pass_context
def authorize(context: click.Context, /, *, as_json: bool, address: str, **options: Any) -> None:
    """Ask whether a call may be placed.

    \u0008
    callgate authorize --tenant contoso --user adele --to +14255550123
    callgate authorize --tenant contoso --kind meeting --organizer dan --to +14255550123
    callgate authorize --kind toll-free --from +14255550123 --to +18005550100
    """
    question = question_of(Given(**options))
    with connected(address, question) as engine:
        answer = engine.authorize_call(question)
    print_answer(answer, as_json, lambda: decision_text(question, answer))
    context.exit(0 if answer.HasField("grant") else REFUSED)


@callgate.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@json_option
@address_option
def balance(tenant: str, as_json: bool, address: str) -> None:
    """Tell a tenant's balance, and what of it a new call may take."""
    with connected(address) as engine:
        answer = engine.get_balance(GetBalanceRequest(tenant_id=tenant))
    print_answer(answer, as_json, lambda: balance_text(tenant, answer))


@callgate.command("emergency-numbers", epilog=EPILOG)
@click.option("--location", metavar="CC", default="", help="One country, as IT.  [default: all]")
@json_option
@address_option
def emergency_numbers(location: str, as_json: bool, address: str) -> None:
    """List the emergency numbers, to let pass when the engine does not answer."""
    with connected(address) as engine:
        answer = engine.get_emergency_numbers(GetEmergencyNumbersRequest(location=location))
    print_answer(answer, as_json, lambda: emergency_numbers_text(answer))


@callgate.command(epilog=EPILOG)
@click.option(
    "--service",
    metavar="NAME",
    default="",
    help='A part of it: "callgate.ledger" or "callgate.accounts".  [default: the engine]',
)
@address_option
def health(service: str, address: str) -> None:
    """Probe whether the engine serves, as a container's health check does.

    \u0008
    callgate health
    callgate health --service callgate.ledger
    """
    with connected(address) as engine:
        serves = engine.check_health(service)
    if not serves:
        raise NotAnswered(f"{service or 'The engine'} is not serving.")
    echo("serving")


for _command in (
    recharge,
    resolve_charge,
    top_up,
    debit,
    refund,
    transfer,
    credit_limit,
    freeze,
    lots,
    implausible,
    statement,
    advise,
    advise_plans,
):
    callgate.add_command(_command)
for _command in (
    *(*COMMANDS, export, import_, audit, back_test, call, calls, cdr, decisions, notices, rates),
    *(route, tokens, watch),
    *(usage, attempts, pools, reports),
):
    callgate.add_command(_command)
