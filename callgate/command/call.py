"""`callgate call`: a call played from its set-up to its end, as a gateway would."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from callgate.command import words
from callgate.command.answer import balance_text, decision_text
from callgate.command.engine import EPILOG, REFUSED, address_option, connected
from callgate.command.question import DEFAULT_GATEWAY, Given, question_of
from callgate.command.terminal import echo, harmless, style
from callgate.connection import Connection
from callgate.v1.authorization_pb2 import (
    AuthorizeCallRequest,
    ExtendCallRequest,
    ExtendCallResponse,
    Grant,
    SettleCallRequest,
    SettleCallResponse,
)
from callgate.v1.credits_pb2 import GetBalanceRequest

DEFAULT_SLICE_SECONDS = 60
# A gateway asks for more before the time it has is over.
EARLY_SECONDS = 5
_BAR_WIDTH = 40
_DRAWN_EVERY_SECONDS = 0.1


@click.command(epilog=EPILOG)
@click.option("--tenant", metavar="T", required=True, help="The tenant.")
@click.option("--user", metavar="U", required=True, help="Who calls.")
@click.option("--to", metavar="N", required=True, help="The number called, as dialled.")
@click.option(
    "--seconds", metavar="S", type=click.IntRange(0, 86_400), required=True, help="How long."
)
@click.option(
    "--speed",
    metavar="X",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds of talk in one second; what is reported stays the same.",
)
@click.option(
    "--slice",
    "slice_seconds",
    metavar="S",
    type=click.IntRange(1, 86_400),
    default=DEFAULT_SLICE_SECONDS,
    show_default=True,
    help="How much time is asked for at once.",
)
@click.option("--call-id", metavar="ID", help="The call's id.  [default: a random one]")
@click.option("--location", metavar="CC", default="", help="The country the caller is in, as IT.")
@address_option
@click.pass_context
def call(
    context: click.Context, /, *, address: str, seconds: int, speed: float, **options: Any
) -> None:
    """Play a call: its grants, extensions, debits and its settlement.

    Ctrl-C hangs up.

    \u0008
    callgate call --tenant contoso --user adele --to +390612345678 --seconds 150 --speed 50
    """
    slice_seconds = options.pop("slice_seconds")
    question = question_of(_given(options, slice_seconds))
    with connected(address, question) as engine:
        player = _Player(engine, question, seconds, slice_seconds, _Pace(seconds, speed))
        granted = player.play()
    context.exit(0 if granted else REFUSED)


def _given(options: dict[str, Any], slice_seconds: int) -> Given:
    return Given(
        kind=None,
        organizer=None,
        accounts=(),
        calling="",
        service_number=None,
        seconds=slice_seconds,
        sequence=1,
        gateway=DEFAULT_GATEWAY,
        dry_run=False,
        explain=False,
        **options,
    )


_TOO_FAST = (
    "TOO FAST  the engine does not believe so many seconds in so short a time; "
    "play with a lower --speed, or set report_tolerance_seconds higher"
)


@dataclass(slots=True)
class _Pace:
    """Lets time pass, faster where wanted; draws a bar where somebody watches."""

    total_seconds: int
    speed: float
    talked_seconds: float = 0.0

    def talk_until(self, seconds: int) -> None:
        """Let the call go on until so many seconds since its answer."""
        began, talked = time.monotonic(), self.talked_seconds
        while self.talked_seconds < seconds:
            left = (seconds - self.talked_seconds) / self.speed
            time.sleep(min(left, _DRAWN_EVERY_SECONDS))
            passed = (time.monotonic() - began) * self.speed
            self.talked_seconds = min(seconds, talked + passed)
            self._draw()

    def tell(self, text: str) -> None:
        """Print a line above the bar, with the second it belongs to."""
        if sys.stdout.isatty():
            click.echo("\r\x1b[K", nl=False)
        echo(f"{math.floor(self.talked_seconds):>6} s  {text}")

    def _draw(self) -> None:
        if not sys.stdout.isatty():
            return
        done = round(_BAR_WIDTH * self.talked_seconds / max(1, self.total_seconds))
        bar = "#" * done + "-" * (_BAR_WIDTH - done)
        told = f"[{bar}] {math.floor(self.talked_seconds)} of {self.total_seconds} s"
        click.echo(f"\r\x1b[K{harmless(told)}", nl=False)


@dataclass(slots=True)
class _Player:
    """One call and how far it is."""

    engine: Connection
    question: AuthorizeCallRequest
    total_seconds: int
    slice_seconds: int
    pace: _Pace
    sequence: int = 1

    def play(self) -> bool:
        """Play the call to its end; say whether it was granted."""
        answer = self.engine.authorize_call(self.question)
        echo(decision_text(self.question, answer))
        if not answer.HasField("grant"):
            return False
        if answer.grant.emergency:
            # It is not metered: there is nothing to report.
            return True
        try:
            self._talk(answer.grant)
        except KeyboardInterrupt:
            self.pace.tell("hung up")
        self._settle()
        return True

    def _talk(self, grant: Grant) -> None:
        while True:
            granted_seconds = grant.granted_duration.seconds
            if grant.final and granted_seconds < self.total_seconds:
                end = words.minutes(grant.granted_duration)
                self.pace.tell(style(f"WARNING   the call will end at {end}", fg="yellow"))
            if grant.final or granted_seconds >= self.total_seconds:
                self.pace.talk_until(min(granted_seconds, self.total_seconds))
                return
            asked_at = granted_seconds - EARLY_SECONDS
            self.pace.talk_until(
                asked_at if asked_at > self.pace.talked_seconds else granted_seconds
            )
            extended = self._extend()
            if not extended.HasField("grant"):
                reason = words.reason(extended.refusal.reason)
                self.pace.tell(style(f"REFUSED   no more time: {reason}", fg="red"))
                self.pace.talk_until(granted_seconds)
                return
            self.pace.tell(_extension_text(extended))
            if extended.implausible_duration.seconds:
                # No grant follows a talk that runs ahead of the engine's clock.
                self.pace.tell(style(_TOO_FAST, fg="yellow"))
                return
            grant = extended.grant

    def _extend(self) -> ExtendCallResponse:
        extension = ExtendCallRequest(**self._next_question())
        extension.used_duration.seconds = math.ceil(self.pace.talked_seconds)
        extension.requested_duration.seconds = self.slice_seconds
        return self.engine.extend_call(extension)

    def _settle(self) -> None:
        settlement = SettleCallRequest(**self._next_question())
        settlement.used_duration.seconds = math.ceil(self.pace.talked_seconds)
        settled = self.engine.settle_call(settlement)
        self.pace.tell(_settlement_text(settlement, settled))
        tenant_id = self.question.tenant_id
        balance = self.engine.get_balance(GetBalanceRequest(tenant_id=tenant_id))
        echo(balance_text(tenant_id, balance))

    def _next_question(self) -> dict[str, Any]:
        self.sequence += 1
        return {
            "tenant_id": self.question.tenant_id,
            "gateway_id": self.question.gateway_id,
            "call_id": self.question.call_id,
            "sequence": self.sequence,
        }


def _extension_text(extended: ExtendCallResponse) -> str:
    until = words.minutes(extended.grant.granted_duration)
    return f"EXTENDED  to {until}{_debited(extended)}"


def _settlement_text(settlement: SettleCallRequest, settled: SettleCallResponse) -> str:
    text = f"SETTLED   {words.minutes(settlement.used_duration)} talked{_debited(settled)}"
    if settled.overrun_duration.seconds:
        text += f", {words.minutes(settled.overrun_duration)} of it beyond what was granted"
    if settled.uncollected.micros:
        text += f", {words.money(settled.uncollected)} uncollected"
    return style(text, fg="green", bold=True)


def _debited(answer: ExtendCallResponse | SettleCallResponse) -> str:
    """Tell what the call was debited so far, purse by purse."""
    parts = []
    for usage in answer.usages:
        money = f"{words.money(usage.debited)} for " if usage.debited.micros else ""
        parts.append(f"{money}{words.minutes(usage.used_duration)} by {words.purse(usage.purse)}")
    return f", debited {' and '.join(parts)}" if parts else ""
