"""The commands of `callgate`: ask the engine, print what it says, end with a status for scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from callgate.command.answer import balance_text, decision_text, emergency_numbers_text
from callgate.command.question import DEFAULT_GATEWAY, KIND_NAMES, Given, option_of, question_of
from callgate.connection import DEFAULT_ADDRESS, Connection
from callgate.errors import CallgateError, Mistake, NoAnswer
from callgate.v1.authorization_pb2 import AuthorizeCallRequest, GetEmergencyNumbersRequest
from callgate.v1.credits_pb2 import GetBalanceRequest

WRONG_USAGE, REFUSED, NO_ANSWER = 2, 3, 4

_EPILOG = (
    "Exit status: 0 granted or told, 3 refused, 2 wrong usage or a question the engine does not"
    " accept, 4 no answer."
)

_address = click.option(
    "--address",
    metavar="HOST:PORT",
    envvar="CALLGATE_ADDRESS",
    show_envvar=True,
    default=DEFAULT_ADDRESS,
    show_default=True,
    help="Where the engine listens; also unix:/path.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as protobuf's JSON.")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="callgate", message="callgate %(version)s")
@click.pass_context
def callgate(context: click.Context) -> None:
    """Ask whether a user may place a call, for how long, and who pays."""
    if os.environ.get("NO_COLOR"):
        context.color = False


@callgate.command(epilog=_EPILOG)
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
@_json
@_address
@click.pass_context
def authorize(context: click.Context, /, *, as_json: bool, address: str, **options: Any) -> None:
    r"""Ask whether a call may be placed.

    \b
    callgate authorize --tenant contoso --user adele --to +14255550123
    callgate authorize --tenant contoso --kind meeting --organizer dan --to +14255550123
    callgate authorize --kind toll-free --from +14255550123 --to +18005550100
    """
    question = question_of(Given(**options))
    with _engine(address, question) as engine:
        answer = engine.authorize_call(question)
    _print(answer, as_json, lambda: decision_text(question, answer))
    context.exit(0 if answer.HasField("grant") else REFUSED)


@callgate.command(epilog=_EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@_json
@_address
def balance(tenant: str, as_json: bool, address: str) -> None:
    """Tell a tenant's balance, and what of it a new call may take."""
    with _engine(address) as engine:
        answer = engine.get_balance(GetBalanceRequest(tenant_id=tenant))
    _print(answer, as_json, lambda: balance_text(tenant, answer))


@callgate.command("emergency-numbers", epilog=_EPILOG)
@click.option("--location", metavar="CC", default="", help="One country, as IT.  [default: all]")
@_json
@_address
def emergency_numbers(location: str, as_json: bool, address: str) -> None:
    """List the emergency numbers, to let pass when the engine does not answer."""
    with _engine(address) as engine:
        answer = engine.get_emergency_numbers(GetEmergencyNumbersRequest(location=location))
    _print(answer, as_json, lambda: emergency_numbers_text(answer))


class _NotAccepted(click.ClickException):
    """The engine does not accept the question."""

    exit_code = WRONG_USAGE


class _NotAnswered(click.ClickException):
    """The engine does not answer."""

    exit_code = NO_ANSWER


@contextmanager
def _engine(address: str, question: AuthorizeCallRequest | None = None) -> Iterator[Connection]:
    """Connect, and turn what goes wrong into a text and an exit status."""
    try:
        with Connection(address) as connection:
            yield connection
    except Mistake as mistake:
        raise _NotAccepted(_mistake_text(mistake)) from mistake
    except NoAnswer as silence:
        raise _NotAnswered(_silence_text(silence, address, question)) from silence


def _mistake_text(mistake: Mistake) -> str:
    text = _told(mistake)
    option = option_of(mistake.metadata.get("field", ""))
    return f"{text}\nThe option to mend: {option}." if option else text


def _silence_text(silence: NoAnswer, address: str, question: AuthorizeCallRequest | None) -> str:
    lines = [f"No answer from {address}. {_told(silence)}"]
    if silence.code == "UNAVAILABLE" and not silence.reason:
        # Without a reason of the engine's it was grpc that gave up: nobody listens there.
        lines.append("Is the engine running there? `make run` starts one; --address names another.")
    if question is not None and not question.dry_run:
        again = f"--call-id {question.call_id} --sequence {question.sequence}"
        lines.append(f"To ask the same again, and pay once at the most: {again}")
    return "\n".join(lines)


def _told(error: CallgateError) -> str:
    reason = f" ({error.reason})" if error.reason else ""
    return f"{error.code}{reason}: {error}"


def _print(answer: Message, as_json: bool, text: Callable[[], str]) -> None:
    click.echo(MessageToJson(answer) if as_json else text())
