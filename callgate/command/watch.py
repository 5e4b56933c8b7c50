"""`callgate watch`: a tenant's money and minutes as they move."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from google.protobuf.json_format import MessageToJson

from callgate.client.watching import NewEpoch
from callgate.command import words
from callgate.command.engine import EPILOG, address_option, json_option, looked_after
from callgate.command.terminal import echo, style
from callgate.v1.debits_pb2 import (
    JournalEntry,
    JournalEntryKind,
    Movement,
    WatchDebitsRequest,
    WatchDebitsResponse,
)
from callgate.v1.money_pb2 import Money

_KIND_WIDTH = 12


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@click.option("--call-id", metavar="ID", default="", help="Only this call.")
@click.option("--cursor", metavar="C", default="", help="Go on after an earlier response.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest entry there is.")
@json_option
@address_option
def watch(*, as_json: bool, address: str, tenant: str, **options: object) -> None:
    """Print a tenant's movements as they happen, until Ctrl-C.

    Goes on by itself after the last response when the engine stops, or does not answer for a while.

    \u0008
    callgate watch --tenant contoso
    callgate watch --tenant contoso --from-beginning --json
    """
    question = WatchDebitsRequest(tenant_id=tenant, **options)  # type: ignore[arg-type] # click's.
    try:
        with looked_after(address) as client, _going_on_told():
            for response in client.watch(question):
                question.cursor = response.cursor
                _print(response, as_json)
    except KeyboardInterrupt:
        if question.cursor:
            echo(f"To go on from here: --cursor {question.cursor}", err=True)


@contextmanager
def _going_on_told() -> Iterator[None]:
    """Tell on standard error when a stream ended and another one is begun."""
    told = logging.StreamHandler(sys.stderr)
    watching = logging.getLogger("callgate.client.watching")
    watching.addHandler(told)
    watching.setLevel(logging.INFO)
    try:
        yield
    finally:
        watching.removeHandler(told)


def _print(response: WatchDebitsResponse | NewEpoch, as_json: bool) -> None:
    if isinstance(response, NewEpoch):
        sums = ", ".join(f"{words.money(amount)} {name}" for name, amount in _sums(response))
        echo(f"The store was filled anew; from here on: {sums}", err=True)
        return
    if as_json:
        echo(MessageToJson(response, indent=None))
        return
    for number, entry in enumerate(response.entries, start=1):
        is_last = number == len(response.entries)
        left = ""
        if is_last and response.account.HasField("available"):
            left = f"   {words.money(response.account.available)} available"
        echo(_line(entry) + left)


def _sums(snapshot: NewEpoch) -> Iterator[tuple[str, Money]]:
    for field, amount in snapshot.account.ListFields():
        yield field.name, amount


def _line(entry: JournalEntry) -> str:
    whose = entry.call_id or entry.lot_id or entry.reference_id
    moves = "; ".join(filter(None, map(_move, entry.movements)))
    kind = style(f"{_kind(entry.kind):<{_KIND_WIDTH}}", bold=True)
    return f"{words.clock(entry.entry_time)}  {kind}{'  '.join(filter(None, (whose, moves)))}"


def _kind(kind: JournalEntryKind.ValueType) -> str:
    if kind not in JournalEntryKind.values():
        return f"kind {kind}"
    name = JournalEntryKind.Name(kind).removeprefix("JOURNAL_ENTRY_KIND_")
    return name.replace("_", " ").lower()


def _move(move: Movement) -> str:
    """Tell what moved in one purse: "credits: 0.10 USD held, 0.10 USD debited for 60 s"."""
    parts = []
    if move.HasField("added"):
        parts.append(f"{words.money(move.added)} added")
    if move.HasField("held"):
        parts.append(f"{words.money(move.held)} held")
    elif move.HasField("held_duration"):
        parts.append(f"{move.held_duration.seconds} s held")
    if move.HasField("debited_duration"):
        debited = f"{words.money(move.debited)} debited for " if move.HasField("debited") else ""
        parts.append(f"{debited}{move.debited_duration.seconds} s used")
    elif move.HasField("debited"):
        parts.append(f"{words.money(move.debited)} debited")
    return f"{words.purse(move.purse)}: {', '.join(parts)}" if parts else ""
