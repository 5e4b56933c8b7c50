"""The demo: a whole engine of its own, telling questions on the sample tenants, their answers.

Ends with 0 when every answer is the expected one, else with 1 and what was expected. Every
question is shown as the command that asks it; with `make run` up, it can be typed as it stands.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from callgate.command import words
from callgate.command.answer import decision_text
from callgate.command.commands import authorize
from callgate.command.question import Given, question_of
from callgate.connection import Connection
from callgate.errors import Mistake, NoAnswer
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceRequest
from integrations.demo_money import play_money
from integrations.mailbox import Mailbox, mailbox
from integrations.own_engine import EngineDidNotStart, OwnEngine, own_engine, store_frozen

MINUTES, CREDITS, EMERGENCY = "granted: minutes", "granted: credits", "granted: emergency"
FREE, NO_ANSWER, MISTAKE = "granted: free", "no answer", "not accepted"
_PURSES = {
    pb.PURSE_KIND_POOL: MINUTES,
    pb.PURSE_KIND_CREDITS: CREDITS,
    pb.PURSE_KIND_FREE: FREE,
}
# Of an answer that is not explained, these lines are shown besides the first.
_SHOWN = ("  pays", "  route", "  say", "  short of")


@dataclass(frozen=True, slots=True)
class Scene:
    """Questions that show one thing; each with the outcome that is right."""

    title: str
    questions: tuple[tuple[str, str], ...]
    # What all the grants of the scene must have in common.
    alike: Callable[[pb.AuthorizeCallResponse], object] | None = None


SCENES = (
    Scene(
        "A call inside the plan is paid by its minutes",
        (("--tenant contoso --user adele --to +14255550123", MINUTES),),
    ),
    Scene(
        "Abroad, her domestic plan does not reach: the tenant's credits pay",
        (("--tenant contoso --user adele --to +390612345678", CREDITS),),
    ),
    Scene(
        "A premium number is blocked, whoever pays",
        (("--tenant contoso --user adele --to +19005551234", "refused: destination blocked"),),
    ),
    Scene(
        "One number, spelled three ways by a user in Italy",
        (
            ("--tenant contoso --user bruno --to '+39 06 1234 5678' --dry-run", MINUTES),
            ("--tenant contoso --user bruno --to 00390612345678 --dry-run", MINUTES),
            ("--tenant contoso --user bruno --to '06 1234 5678' --dry-run", MINUTES),
        ),
        alike=lambda answer: answer.called_number,
    ),
    Scene(
        "Beyond his plan, he has no licence for credits",
        (("--tenant contoso --user bruno --to +14255550123", "refused: payer not enabled"),),
    ),
    Scene(
        "An international plan has minutes for abroad, counted on their own",
        (("--tenant contoso --user chiara --to +14255550123", MINUTES),),
    ),
    Scene(
        "No calling plan, but a conferencing licence: not as a user, but from a meeting",
        (
            ("--tenant contoso --user dan --to +14255550123", "refused: licence missing"),
            ("--tenant contoso --kind meeting --organizer dan --to +14255550123", MINUTES),
        ),
    ),
    Scene(
        "Pay as you go: no minutes, credits from the first second",
        (("--tenant contoso --user eve --to +442079460000", CREDITS),),
    ),
    Scene(
        "Toll-free numbers need a positive balance: contoso has one, fabrikam has none",
        (
            ("--kind toll-free --from +14255550123 --to +18005550100", CREDITS),
            (
                "--kind toll-free --from +390612345678 --to +39800555010",
                "refused: toll free needs credit",
            ),
        ),
    ),
    Scene(
        "A balance of 0.00 stops credits, not the minutes of a plan; why, and what would help",
        (
            ("--tenant fabrikam --user gina --to +390612345678", MINUTES),
            (
                "--tenant fabrikam --user gina --to +14255550123 --dry-run --explain",
                "refused: credits exhausted",
            ),
        ),
    ),
    Scene(
        "The same question twice is one question; with another number it is a mistake",
        (
            ("--tenant contoso --user adele --to +14255550123 --call-id demo-1", MINUTES),
            ("--tenant contoso --user adele --to +14255550123 --call-id demo-1", MINUTES),
            (
                "--tenant contoso --user adele --to +14255550199 --call-id demo-1",
                MISTAKE,
            ),
        ),
        alike=lambda answer: answer.SerializeToString(deterministic=True),
    ),
    Scene(
        "Without a licence: nothing but emergency calls",
        (
            ("--tenant contoso --user frank --to +14255550123", "refused: licence missing"),
            ("--tenant contoso --user frank --to 911", EMERGENCY),
        ),
    ),
)
STORE_AWAY = Scene(
    "The store hangs: no call is granted unpaid, and emergency calls go through",
    (
        ("--tenant contoso --user adele --to +14255550123", NO_ANSWER),
        ("--tenant contoso --user frank --to 911", EMERGENCY),
    ),
)
STORE_BACK = Scene(
    "The store is back, and so is the engine",
    (("--tenant contoso --user adele --to +14255550123", MINUTES),),
)
# The engine is back within 2 s of its store.
BACK_SECONDS = 5


def main() -> int:
    """Play every scene and return the exit status."""
    show("Starting an engine of our own, with the sample tenants ...")
    wrong: list[str] = []
    try:
        with mailbox() as box, own_engine(settings_of(box)) as engine:
            show(f"It answers at {engine.address}.")
            for number, scene in enumerate(SCENES, 1):
                wrong += play(number, scene, engine)
            with store_frozen(engine):
                wrong += play(len(SCENES) + 1, STORE_AWAY, engine)
            wait_for_the_store(engine)
            wrong += play(len(SCENES) + 2, STORE_BACK, engine)
            wrong += play_money(engine.address, box, show, number=len(SCENES) + 3)
    except EngineDidNotStart as error:
        print(error, file=sys.stderr)
        return 1
    return told(wrong)


def settings_of(box: Mailbox) -> dict[str, str]:
    """Let the engine mail to a box of ours, and recharge without moving any money."""
    return {
        "CALLGATE_SMTP_URL": box.url,
        "CALLGATE_SMTP_FROM": "callgate@demo.invalid",
        "CALLGATE_PAYMENTS": "rehearsal",
    }


def wait_for_the_store(engine: OwnEngine) -> None:
    """Look at a balance until it is told again; if it never is, the next scene says so."""
    give_up_at = time.monotonic() + BACK_SECONDS
    with Connection(engine.address) as connection:
        while time.monotonic() < give_up_at:
            try:
                connection.get_balance(GetBalanceRequest(tenant_id="contoso"))
            except NoAnswer:
                time.sleep(0.05)
            else:
                return


def told(wrong: list[str]) -> int:
    """Say how the demo went."""
    if not wrong:
        questions = sum(len(scene.questions) for scene in (*SCENES, STORE_AWAY, STORE_BACK))
        show(f"\nAll {questions} answers, and the money, are as expected; the engine is stopped.")
        return 0
    print("\nNot as expected:", *wrong, sep="\n  ", file=sys.stderr)
    return 1


def play(number: int, scene: Scene, engine: OwnEngine) -> list[str]:
    """Ask the questions of a scene, show the answers, and return what was not as expected."""
    show(f"\n{number:2}. {scene.title}")
    wrong = []
    grants = []
    for typed, expected in scene.questions:
        show(f"    $ callgate authorize {typed}")
        outcome, text, answer = asked(typed, engine.address)
        show("\n".join(f"      {line}".rstrip() for line in text))
        if outcome != expected:
            wrong.append(f"{typed}\n    expected {expected}, got {outcome}")
        if answer is not None and answer.HasField("grant"):
            grants.append(answer)
    if scene.alike and len({scene.alike(answer) for answer in grants}) > 1:
        wrong.append(f"{scene.title}: the answers differ")
    return wrong


def asked(typed: str, address: str) -> tuple[str, list[str], pb.AuthorizeCallResponse | None]:
    """Ask one question; return the outcome in two words, the lines to show, and the answer."""
    options = authorize.make_context("authorize", shlex.split(typed)).params
    given = {name: value for name, value in options.items() if name not in {"as_json", "address"}}
    question = question_of(Given(**given))
    try:
        with Connection(address) as connection:
            answer = connection.authorize_call(question)
    except Mistake as error:
        return MISTAKE, [f"NOT ACCEPTED  {error.code}: {error}"], None
    except NoAnswer as error:
        return NO_ANSWER, [f"NO ANSWER  {error.code}: {error}"], None
    lines = decision_text(question, answer).splitlines()
    if not question.explain:
        lines = [line for line in lines if line.startswith(_SHOWN) or not line.startswith(" ")]
    return outcome_of(answer), lines, answer


def show(text: str) -> None:
    """Print, in colour on a terminal alone and not where NO_COLOR forbids it."""
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def outcome_of(answer: pb.AuthorizeCallResponse) -> str:
    """Say a grant by what pays its first second, and a refusal by its reason."""
    if answer.HasField("refusal"):
        return f"refused: {words.reason(answer.refusal.reason)}"
    if answer.grant.emergency:
        return EMERGENCY
    return _PURSES[answer.grant.purse.kind]


if __name__ == "__main__":
    sys.exit(main())
