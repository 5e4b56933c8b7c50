"""What is printed: for people, for programs, and in which colours."""

from __future__ import annotations

import json

from google.protobuf.json_format import Parse

from answers import emergency, explained, minutes_then_credits, refusal, usd
from callgate.v1 import authorization_pb2 as pb
from callgate.v1.credits_pb2 import GetBalanceResponse
from scripted_engine import Script
from terminal import Terminal

ADELE_TO_ROME = (
    *("authorize", "--tenant", "contoso", "--user", "adele", "--to", "0039 06 1234 5678"),
    *("--call-id", "call-1"),
)


def test_a_grant_is_told_at_a_glance(engine: Script, terminal: Terminal) -> None:
    engine.answer = minutes_then_credits()

    result = terminal.type(*ADELE_TO_ROME)

    assert result.stdout == (
        "GRANTED   10 min to +390612345678, Italy, Rome (IT)\n"
        "  payer     adele of contoso\n"
        "  pays      minutes of pool US:MCOPSTN1, domestic, 2026-11 to 2 min,"
        " then credits to 10 min (0.096 USD held)\n"
        "  price     0.012 USD a minute, charged by 60 s, then by 6 s, and 0.05 USD to connect\n"
        "  left      0 s in the pool, 49.904 USD of credits\n"
        "  report by 2026-11-22 17:40:03 UTC\n"
        "  final     the last grant of this call; then end it\n"
        "  call      call-1, sequence 1\n"
        "  decision  d-1\n"
    )


def test_a_refusal_is_told_at_a_glance(engine: Script, terminal: Terminal) -> None:
    engine.answer = refusal()

    result = terminal.type(*ADELE_TO_ROME)

    assert result.stdout == (
        "REFUSED   call to +390612345678, Italy, Rome (IT)\n"
        "  reason    credits exhausted\n"
        "  say       The balance does not cover the first minute. Please top up.\n"
        "  short of  0.062 USD\n"
        "  payer     adele of contoso would have paid\n"
        "  signal    SIP 402, Reason: Q.850;cause=21\n"
        "  call      call-1, sequence 1\n"
        "  decision  d-2\n"
    )


def test_an_emergency_says_what_to_route_and_nothing_of_money(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = emergency()

    result = terminal.type("authorize", "--to", "9911", "--location", "US")

    assert result.stdout == (
        "GRANTED   emergency call to 911\n"
        "  route     911, at once and without an end; not metered, nobody pays\n"
    )


def test_a_call_that_arrives_is_told_with_both_its_ends(engine: Script, terminal: Terminal) -> None:
    arriving = ("authorize", "--kind", "toll-free", "--to", "+18005550100")
    engine.answer = minutes_then_credits()
    known = terminal.type(*arriving, "--from", "+390612345678").stdout
    engine.answer = pb.AuthorizeCallResponse(refusal=refusal().refusal)
    withheld = terminal.type(*arriving).stdout

    assert known.startswith(
        "GRANTED   10 min to +18005550100 from +390612345678, Italy, Rome (IT)\n"
    )
    assert withheld.startswith("REFUSED   call to +18005550100 from a withheld number\n")


def test_of_a_call_that_costs_nothing_no_remainder_is_told(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = pb.AuthorizeCallResponse(grant=pb.Grant(remaining=pb.Remaining()))
    engine.answer.grant.purse.kind = pb.PURSE_KIND_FREE

    told = terminal.type("authorize", "--kind", "inbound", "--user", "adele").stdout

    assert "free of charge" in told
    assert "left" not in told


def test_a_number_that_leads_nowhere_is_shown_as_it_was_dialled(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = pb.AuthorizeCallResponse(
        refusal=pb.Refusal(reason=pb.REASON_NUMBER_INVALID, sip_status=484, q850_cause=28)
    )

    result = terminal.type("authorize", "--tenant", "t", "--user", "u", "--to", "12ab")

    assert result.stdout.startswith("REFUSED   call to 12ab\n  reason    number invalid\n")


def test_a_reason_of_a_newer_engine_is_told_by_its_number(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = pb.AuthorizeCallResponse.FromString(
        bytes([0x12, 0x02, 0x08, 99])  # The refusal is field 2, its reason field 1.
    )

    assert "reason 99" in terminal.type(*ADELE_TO_ROME).stdout


def test_what_is_special_about_an_answer_is_noted(engine: Script, terminal: Terminal) -> None:
    engine.answer = minutes_then_credits()
    engine.answer.superseded = engine.answer.origin_assumed = True

    result = terminal.type(*ADELE_TO_ROME, "--dry-run")

    assert "nothing was reserved" in result.stdout
    assert "an older question" in result.stdout
    assert "where the caller is was not known" in result.stdout


def test_an_explanation_shows_each_check_its_inputs_and_what_would_help(
    engine: Script, terminal: Terminal
) -> None:
    engine.answer = explained(refusal(), remedy="Top up 0.062 USD.")

    result = terminal.type(*ADELE_TO_ROME, "--explain")

    assert result.stdout.endswith(
        "\n"
        "How it was decided\n"
        "  ok  licence  a plan covers the call\n"
        "               user=adele\n"
        "  NO  credits  the balance was compared with the first increment\n"
        "               available=0.00 USD, needed=0.062 USD\n"
        "\n"
        "What would turn it into a yes\n"
        "  Top up 0.062 USD.\n"
    )


def test_an_explained_grant_asks_for_no_remedy(engine: Script, terminal: Terminal) -> None:
    engine.answer = explained(minutes_then_credits())

    result = terminal.type(*ADELE_TO_ROME, "--explain")

    assert "How it was decided" in result.stdout
    assert "What would turn" not in result.stdout


def test_json_is_protobufs_own(engine: Script, terminal: Terminal) -> None:
    engine.answer = explained(refusal(), remedy="Top up 0.062 USD.")

    result = terminal.type(*ADELE_TO_ROME, "--json")

    assert json.loads(result.stdout)["refusal"]["reason"] == "REASON_CREDITS_EXHAUSTED"
    assert Parse(result.stdout, pb.AuthorizeCallResponse()) == engine.answer


def test_a_screen_gets_colours_and_a_pipe_does_not(engine: Script, terminal: Terminal) -> None:
    engine.answer = refusal()

    piped = terminal.type(*ADELE_TO_ROME).stdout
    terminal.is_screen = True
    shown = terminal.type(*ADELE_TO_ROME).stdout
    terminal.environment["NO_COLOR"] = "1"
    plain = terminal.type(*ADELE_TO_ROME).stdout

    assert "\x1b[" in shown
    assert "\x1b[" not in piped
    assert plain == piped


def test_a_balance_is_told_with_what_a_new_call_may_take(
    engine: Script, terminal: Terminal
) -> None:
    engine.balance = GetBalanceResponse(
        balance=usd(50_000_000),
        available=usd(49_904_000),
        reserved=usd(96_000),
        debited=usd(1_250_000_000),
    )

    told = terminal.type("balance", "--tenant", "contoso").stdout
    as_json = terminal.type("balance", "--tenant", "contoso", "--json").stdout

    assert told == (
        "contoso: 49.904 USD available\n"
        "  balance   50.00 USD, not yet spent\n"
        "  reserved  0.096 USD, held by running calls\n"
        "  debited   1,250.00 USD, spent so far\n"
    )
    assert Parse(as_json, GetBalanceResponse()) == engine.balance


def test_a_tenant_without_a_prepaid_balance_is_told_so(engine: Script, terminal: Terminal) -> None:
    assert "no prepaid balance" in terminal.type("balance", "--tenant", "later").stdout


def test_emergency_numbers_are_listed_by_country(engine: Script, terminal: Terminal) -> None:
    engine.emergency_numbers.locations.add(location="IT", numbers=["112", "113"])
    engine.emergency_numbers.locations.add(
        location="US", numbers=["911"], dial_masks={"9911": "911", "1911": "911"}
    )

    every = terminal.type("emergency-numbers").stdout
    italian = terminal.type("emergency-numbers", "--location", "IT").stdout
    as_json = terminal.type("emergency-numbers", "--location", "IT", "--json").stdout

    assert every == "IT  112 113\nUS  911 1911 (for 911) 9911 (for 911)\n"
    assert italian == "IT  112 113\n"
    assert json.loads(as_json) == {"locations": [{"location": "IT", "numbers": ["112", "113"]}]}
