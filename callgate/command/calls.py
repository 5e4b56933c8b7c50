"""`callgate calls`: the running calls of a tenant."""

from __future__ import annotations

from collections.abc import Iterator

import click

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.command.terminal import style
from callgate.connection import Connection
from callgate.v1.authorization_pb2 import CallState, ListCallsRequest, ListCallsResponse

_PAGE_SIZE = 1_000


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@json_option
@address_option
def calls(tenant: str, as_json: bool, address: str) -> None:
    """List the running calls of a tenant."""
    with connected(address) as engine:
        running = ListCallsResponse(calls=_every_call(engine, tenant))
    print_answer(running, as_json, lambda: _text(tenant, running))


def _every_call(engine: Connection, tenant: str) -> Iterator[CallState]:
    question = ListCallsRequest(tenant_id=tenant, page_size=_PAGE_SIZE)
    while True:
        page = engine.list_calls(question)
        yield from page.calls
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _text(tenant: str, running: ListCallsResponse) -> str:
    count = len(running.calls)
    headline = f"{tenant}: {count} running {'call' if count == 1 else 'calls'}"
    return "\n".join([style(headline, bold=True), *map(_line, running.calls)])


def _line(state: CallState) -> str:
    used, granted = words.minutes(state.used_duration), words.minutes(state.granted_duration)
    return (
        f"  {state.call_id} of {state.gateway_id} to {state.called_number}: {used} used of"
        f" {granted}, {words.payer(state.payer)} pays{_paid(state)}"
    )


def _paid(state: CallState) -> str:
    paid = [words.money(usage.debited) for usage in state.usages if usage.debited.micros]
    return f", {' and '.join(paid)} debited" if paid else ""
