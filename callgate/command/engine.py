"""What the commands share: their options, the way to the engine, and how failures are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from callgate.command.question import option_of
from callgate.command.terminal import echo, harmless
from callgate.connection import DEFAULT_ADDRESS, Connection
from callgate.credentials import TOKEN_VARIABLE, Credentials
from callgate.errors import CallgateError, Mistake, NoAnswer
from callgate.v1.authorization_pb2 import AuthorizeCallRequest

if TYPE_CHECKING:
    from callgate.blocking import Client

Command = Callable[..., Any]

WRONG_USAGE, REFUSED, NO_ANSWER = 2, 3, 4

EPILOG = (
    "Exit status: 0 granted or told, 1 not done (a no to a question of ours, an interrupt, a failed"
    " write), 2 wrong usage or a question the engine does not accept, 3 refused, 4 no answer."
)

_META = "callgate.credentials"

_address: Callable[[Command], Command] = click.option(
    "--address",
    metavar="HOST:PORT",
    envvar="CALLGATE_ADDRESS",
    show_envvar=True,
    default=DEFAULT_ADDRESS,
    show_default=True,
    help="Where the engine listens; also unix:/path.",
)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep what a command shows the engine beside its arguments."""
    assert parameter.name is not None
    context.meta.setdefault(_META, {})[parameter.name] = value


def _file(name: str, metavar: str, text: str, *, called: str) -> Callable[[Command], Command]:
    return click.option(
        name,
        called,
        metavar=metavar,
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=f"CALLGATE_{name.removeprefix('--').upper()}",
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help=text,
    )


_SHOWN: tuple[Callable[[Command], Command], ...] = (
    _file("--ca", "FILE", "The engine's authority, PEM; turns TLS on.", called="ca"),
    _file("--cert", "FILE", "Your certificate, PEM.", called="certificate"),
    _file("--key", "FILE", "The key of your certificate, PEM.", called="key"),
    click.option(
        "--token",
        metavar="TOKEN",
        envvar=TOKEN_VARIABLE,
        # It is a secret: other users of the machine may see command lines, not variables.
        help=f"Who you are; better given as {TOKEN_VARIABLE}.",
        expose_value=False,
        callback=_keep,
    ),
)


def address_option(command: Command) -> Command:
    """Give a command the options for the way to the engine, and for what is shown there."""
    for option in (*reversed(_SHOWN), _address):
        command = option(command)
    return command


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the answer as protobuf's JSON."
)


class _Told(click.ClickException):
    def format_message(self) -> str:
        """Tell it without whatever would command a terminal."""
        return harmless(self.message)


class NotAccepted(_Told):
    """The engine does not accept the question."""

    exit_code = WRONG_USAGE


class NotAnswered(_Told):
    """The engine does not answer."""

    exit_code = NO_ANSWER


@contextmanager
def connected(address: str, question: AuthorizeCallRequest | None = None) -> Iterator[Connection]:
    """Connect, and turn what goes wrong into a text and an exit status."""
    with _failing_by_status(address, question):
        try:
            opened = Connection(address, credentials=_credentials())
        except (OSError, ValueError) as wrong:
            raise NotAccepted(str(wrong)) from wrong
        with opened as connection:
            yield connection


@contextmanager
def looked_after(address: str) -> Iterator[Client]:
    """Connect with a client that stays and goes on by itself; failures as with `connected`."""
    # It takes a moment to load, which the commands of one question do without.
    from callgate.blocking import Client
    from callgate.client.client import ClientOptions

    with _failing_by_status(address, None):
        client = Client(address, ClientOptions(credentials=_credentials()))
        try:
            client.start()
        except (OSError, ValueError) as wrong:
            raise NotAccepted(str(wrong)) from wrong
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _failing_by_status(address: str, question: AuthorizeCallRequest | None) -> Iterator[None]:
    try:
        yield
    except Mistake as mistake:
        raise NotAccepted(_mistake_text(mistake, question)) from mistake
    except NoAnswer as silence:
        raise NotAnswered(_silence_text(silence, address, question)) from silence


def _credentials() -> Credentials:
    context = click.get_current_context(silent=True)
    shown = dict(context.meta.get(_META, {})) if context is not None else {}
    return Credentials(**{name: value for name, value in shown.items() if value is not None})


def _mistake_text(mistake: Mistake, question: AuthorizeCallRequest | None) -> str:
    text = told(mistake)
    if mistake.reason == "TENANT_FORBIDDEN":
        if question is not None and not question.tenant_id:
            return f"{text}\nGive --tenant, or a --to that is a tenant's service number."
        return f"{text}\nThose that you may ask about: `callgate tenants list`."
    option = option_of(mistake.metadata.get("field", ""))
    return f"{text}\nThe option to mend: {option}." if option else text


def _silence_text(silence: NoAnswer, address: str, question: AuthorizeCallRequest | None) -> str:
    lines = [f"No answer from {address}. {told(silence)}"]
    if silence.code == "UNAVAILABLE" and not silence.reason:
        # Without a reason of the engine's it was grpc that gave up: nobody listens there.
        lines.append("Is the engine running there? `make run` starts one; --address names another.")
    if silence.code == "DEADLINE_EXCEEDED" and question is None:
        lines.append("It may be busy: ask again in a moment.")
    if question is not None and not question.dry_run:
        again = f"--call-id {question.call_id} --sequence {question.sequence}"
        lines.append(f"To ask the same again, and pay once at the most: {again}")
    return "\n".join(lines)


def told(error: CallgateError) -> str:
    """Tell what went wrong, with its status and reason."""
    reason = f" ({error.reason})" if error.reason else ""
    return f"{error.code}{reason}: {error}"


def print_answer(answer: Message, as_json: bool, text: Callable[[], str]) -> None:
    """Print an answer: as text, or as protobuf's JSON."""
    echo(MessageToJson(answer) if as_json else text())
