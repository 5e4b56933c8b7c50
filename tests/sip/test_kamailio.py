"""Calls through a real proxy: refused, cut, extended, given up, with the engine hung or gone."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from callgate.testing import Engine, Recorded
from engines import wait_until
from sip_house import Calls, House

ADELE, PAULA, BOB, FRANK = (
    "adele@acme.example",
    "paula@poor.example",
    "bob@broke.example",
    "frank@acme.example",
)
ROME = "+390612345678"
OUTSIDE = "+14255550123@carrier.example"
EMERGENCIES = (
    "911",
    "9911",
    "911#",
    "%39%31%31",
    "9-1-1",
    "911;phone-context=+1",
    "sip:911@127.0.0.1;user=phone",
    "tel:911;phone-context=+1",
    "urn:service:sos",
    "URN:service:SOS.police",
)


@pytest.mark.parametrize(
    ("who", "number", "status", "cause", "reason"),
    [
        (BOB, ROME, "402", 0, "CREDITS_EXHAUSTED"),
        (FRANK, ROME, "403", 0, "LICENCE_MISSING"),
        (ADELE, "+19005551234", "403", 21, "DESTINATION_BLOCKED"),
        (ADELE, "+19075550123", "403", 21, "DESTINATION_BLOCKED"),
        (ADELE, "12ab", "484", 28, "NUMBER_INVALID"),
        (FRANK, "9112025551234", "484", 28, "NUMBER_INVALID"),
        ("nobody@acme.example", ROME, "403", 0, "USER_UNKNOWN"),
        (OUTSIDE, "+18005550199", "402", 21, "TOLL_FREE_NEEDS_CREDIT"),
    ],
)
def test_a_refusal_is_the_status_and_the_cause_that_the_engine_suggests(
    engine: Engine, house: House, who: str, number: str, status: str, cause: int, reason: str
) -> None:
    calls = house.call("is_refused", (who, number), expect=status)

    refused = calls.refusal()
    assert (calls.status, refused.kind) == (0, status), refused.text
    assert "Reason: Q.850;cause=" in refused.text
    if cause:
        assert f"Reason: Q.850;cause={cause}" in refused.text
    engine.expect_refused(refused.call_id, reason)
    assert calls.retransmissions == 0


def test_a_call_is_talked_and_paid_to_the_second(engine: Engine, house: House) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (ADELE, ROME), talk_ms=1_500)

    [(call_id, talked)] = calls.talks().items()
    assert calls.status == 0
    assert callees.called() == [ROME]
    engine.expect_debit("acme", call_id, f"0.0{math.ceil(talked)}")
    engine.expect_nothing_reserved("acme")
    engine.expect_one_settlement(call_id)


def test_when_the_money_ends_both_sides_get_a_bye(engine: Engine, house: House) -> None:
    with house.callees() as callees:
        calls = house.call("is_cut", (PAULA, ROME))

    [(call_id, talked)] = calls.talks().items()
    assert callees.called() == [ROME]
    print(f"cut off {1_000 * (talked - 3):+.0f} ms from the granted second")  # noqa: T201 -- Its table.
    assert calls.status == 0
    assert 3 <= talked < 5
    engine.expect_debit("poor", call_id, "0.03")
    engine.expect_balance("poor", available=0, reserved=0)


@pytest.mark.parametrize("engine", [{"slice_seconds": 3}], indirect=True)
def test_more_time_is_asked_for_while_money_lasts(engine: Engine, house: House) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (ADELE, ROME), talk_ms=7_200)

    [(call_id, talked)] = calls.talks().items()
    assert callees.called() == [ROME]
    extensions = engine.asked(call_id, "ExtendCall")
    assert calls.status == 0
    assert talked >= 7.2
    assert len(extensions) >= 2
    engine.expect_debit("acme", call_id, f"0.0{math.ceil(talked)}")


def test_who_gives_up_while_it_rings_pays_nothing(engine: Engine, house: House) -> None:
    with house.callees("rings") as callees:
        calls = house.call("cancels", (ADELE, "00390612345678"))

    [call_id] = {one.call_id for one in calls.messages}
    assert calls.status == 0
    assert callees.called() == [ROME]
    wait_until(lambda: engine.asked(call_id, "ReleaseCall"))
    engine.expect_balance("acme", available="100.00", reserved=0)


@pytest.mark.parametrize(
    "headers",
    [
        (f"Diversion: <sip:{ADELE}>",),
        ("Diversion: <sip:adele@ACME.Example;user=phone>;reason=unconditional",),
        ("Diversion: <sip:%61dele@acme.example>",),
        ("Diversion: <tel:+12065550123>;reason=no-answer",),
        ("Diversion: <tel:+1-206-555-0123>, <sip:first@elsewhere.example>",),
        ("Diversion: <sip:last@elsewhere.example>", f"Diversion: <sip:{ADELE}>"),
        (
            "History-Info: <sip:adele@acme.example?Reason=SIP%3Bcause%3D302>;index=1,"
            "<sip:+390612345678@127.0.0.1;cause=302>;index=1.1",
        ),
        (
            "History-Info: <tel:+12065550123>;index=1",
            "History-Info: <sip:+390612345678@127.0.0.1;cause=480>;index=1.1;mp=1",
        ),
    ],
)
def test_a_diverted_call_is_the_diverters(
    engine: Engine, house: House, headers: tuple[str] | tuple[str, str]
) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (OUTSIDE, ROME, *headers), talk_ms=300)

    [call_id] = calls.talks()
    [asked] = engine.asked(call_id, "AuthorizeCall")
    assert asked.question["forwarded_call"] == {"user_id": "adele"}
    assert asked.answer["call_type"] == "user_out_forwarding"
    assert callees.called() == [ROME]
    engine.expect_debit("acme", call_id, "0.01")


@pytest.mark.parametrize(
    ("who", "headers", "calling_number"),
    [
        (OUTSIDE, ("P-Asserted-Identity: <sip:adele@acme.example>",), ""),
        (OUTSIDE, ("P-Asserted-Identity: <sip:adele@ACME.example>",), ""),
        (
            OUTSIDE,
            ('P-Asserted-Identity: "A, <b>" <sip:adele@acme.example>, <tel:+12065550123>',),
            "+12065550123",
        ),
        (OUTSIDE, ("P-Asserted-Identity: <tel:+1-206-555-0123>",), "+12065550123"),
        (
            OUTSIDE,
            (
                "P-Asserted-Identity: <sip:adele@acme.example>",
                "P-Asserted-Identity: <tel:+12065550123;verstat=TN-Validation-Passed>",
            ),
            "+12065550123",
        ),
        ("ADELE@x.example", ("P-Asserted-Identity: <sip:%61dele@acme.example>",), ""),
        ("adele@Acme.EXAMPLE", (), ""),
        ("tel:+12065550123", (), "+12065550123"),
    ],
)
def test_who_calls_is_whom_the_network_asserts(
    engine: Engine, house: House, who: str, headers: tuple[str, ...], calling_number: str
) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (who, ROME, *headers), talk_ms=300)  # type: ignore[arg-type] # One or two.

    [call_id] = calls.talks()
    [asked] = engine.asked(call_id, "AuthorizeCall")
    assert asked.question["user_call"] == {"user_id": "adele"}
    assert asked.question.get("calling_number", "") == calling_number
    assert callees.called() == [ROME]


@pytest.mark.parametrize("identity", ["<tel:+14255550123>", "<sip:mallory@elsewhere.example>"])
def test_a_from_counts_for_nothing_beside_an_asserted_identity(
    engine: Engine, house: House, identity: str
) -> None:
    header = f"P-Asserted-Identity: {identity}"

    calls = house.call("is_refused", (ADELE, ROME, header), expect="403")

    assert calls.status == 0
    [asked] = engine.asked(calls.refusal().call_id, "AuthorizeCall")
    assert asked.question["service_number_call"] == {}


@pytest.mark.parametrize(
    "called",
    [
        ROME,
        "00390612345678",
        "%2B390612345678",
        "+39-06-12345678",
        "+390612345678;npdi;rn=+390600000000",
        "+390612345678;phone-context=+39",
        "tel:+39-06-12345678",
        "tel:+390612345678;verstat=TN-Validation-Passed;cic=+1-6789",
    ],
)
def test_what_is_called_leaves_as_e164(engine: Engine, house: House, called: str) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (ADELE, called), talk_ms=300)

    [call_id] = calls.talks()
    assert callees.called() == [ROME]
    engine.expect_debit("acme", call_id, "0.01")


@pytest.mark.parametrize("called", ["+18005550100", "%2B18005550100", "+18005550100;npdi"])
def test_a_toll_free_number_is_the_tenants_that_has_it(
    engine: Engine, house: House, called: str
) -> None:
    """What arrives goes where it is addressed to, not back to who calls."""
    with house.callees() as callees:
        calls = house.call("talks", (OUTSIDE, called), talk_ms=300)

    [call_id] = calls.talks()
    [asked] = engine.asked(call_id, "AuthorizeCall")
    assert calls.status == 0
    assert callees.called() == [called]
    assert asked.answer["payer"] == {"kind": "PAYER_KIND_TENANT", "tenant_id": "acme"}
    assert asked.answer["far_end_number"] == "+14255550123"
    assert "dial" not in asked.answer


@pytest.mark.parametrize("called", EMERGENCIES)
def test_an_emergency_passes_whoever_calls(engine: Engine, house: House, called: str) -> None:
    with house.callees() as callees:
        calls = house.call("talks", (FRANK, called), talk_ms=300)

    assert calls.status == 0
    assert callees.called() == ["911"]
    engine.expect_nothing_reserved("acme")


def test_an_emergency_passes_in_any_spelling_with_the_sidecar_gone(house: House) -> None:
    house.stop_sidecar(signal.SIGKILL)
    with house.callees() as callees:
        calls = [house.call("talks", (FRANK, one), talk_ms=100) for one in EMERGENCIES]
        refused = house.call("is_refused", (FRANK, "9112025551234"), expect="503")

    assert [one.status for one in (*calls, refused)] == [0] * (len(EMERGENCIES) + 1)
    assert callees.called() == ["911"] * len(EMERGENCIES)


def test_with_the_engine_hung_calls_are_refused_in_time_and_emergencies_pass(
    engine: Engine, house: House
) -> None:
    with engine.frozen(), house.callees() as callees:
        refused = house.call("is_refused", (ADELE, ROME), expect="503", rate=40, count=40)
        emergency = house.call("talks", (FRANK, "urn:service:sos"), talk_ms=300)
    back = wait_until(lambda: house.call("is_refused", (FRANK, ROME), expect="403").status == 0)

    assert (refused.status, emergency.status) == (0, 0)
    assert callees.called() == ["911"]
    assert refused.kinds(is_sent=False)["503"] == 40
    # Their INVITEs are answered 100 at once, so nobody sends one again.
    assert refused.retransmissions == 0
    assert back < 10


def test_with_the_sidecar_gone_emergencies_pass_and_others_are_refused_at_once(
    engine: Engine, house: House
) -> None:
    house.stop_sidecar(signal.SIGKILL)
    with house.callees() as callees:
        refused = house.call("is_refused", (ADELE, ROME), expect="503")
        emergency = house.call("talks", (FRANK, "911"), talk_ms=300)
        house.start_sidecar()
        again = house.call("talks", (ADELE, ROME), talk_ms=300)

    assert (refused.status, emergency.status, again.status) == (0, 0, 0)
    assert callees.called() == ["911", ROME]


def test_a_hung_sidecar_holds_no_call_for_long(engine: Engine, house: House) -> None:
    assert house.sidecar is not None
    os.kill(house.sidecar.pid, signal.SIGSTOP)
    try:
        with house.callees() as callees:
            refused = house.call("is_refused", (ADELE, ROME), expect="503")
            emergency = house.call("talks", (FRANK, "urn:service:sos"), talk_ms=300)
    finally:
        os.kill(house.sidecar.pid, signal.SIGCONT)

    assert (refused.status, emergency.status) == (0, 0)
    assert callees.called() == ["911"]


def test_a_call_that_ends_while_the_sidecar_is_away_is_settled_by_the_next_one(
    engine: Engine, house: House
) -> None:
    """C13: kept by the proxy, and applied once when somebody hears it."""
    done: list[Calls] = []
    with house.callees() as callees:
        caller = threading.Thread(
            target=lambda: done.append(house.call("talks", (ADELE, ROME), talk_ms=4_000))
        )
        caller.start()
        wait_until(lambda: any(one.method == "AuthorizeCall" for one in engine.asked()))
        time.sleep(1)
        house.stop_sidecar()
        caller.join()
        house.start_sidecar()

    [(call_id, talked)] = done[0].talks().items()
    assert done[0].status == 0
    assert callees.called() == [ROME]
    [settled] = [one for one in wait_settled(engine, call_id) if not one.error]
    paid = int(settled.answer["usages"][0]["debited"]["micros"])
    assert abs(paid - 10_000 * math.ceil(talked)) <= 10_000
    engine.expect_nothing_reserved("acme")


def test_a_thousand_calls_at_a_hundred_a_second(engine: Engine, house: House) -> None:
    numbers = [("carl@busy.example", f"+3906123{number:05d}") for number in range(1_000)]
    with house.callees() as callees:
        calls = house.call("talks", *numbers, talk_ms=1_500, rate=100, count=1_000)

    talks = calls.talks()
    expected = sum(math.ceil(seconds) for seconds in talks.values())
    engine.settle_down()
    balance = engine.balance("busy")
    print(  # noqa: T201 -- Its table.
        f"{len(talks)} calls, {calls.retransmissions} retransmissions, "
        f"{expected} seconds by SIPp, {balance.debited.micros / 10_000:.0f} paid"
    )
    assert calls.status == 0
    assert len(talks) == 1_000
    assert sorted(callees.called()) == [number for _, number in numbers]
    assert calls.retransmissions == 0
    assert balance.reserved.micros == 0
    # Each side has its own clock: what is talked to within a few ms of a whole second may differ.
    near = sum(math.ceil(s) - s > 0.97 or math.ceil(s) - s < 0.03 for s in talks.values())
    assert abs(balance.debited.micros // 10_000 - expected) <= near


def wait_settled(engine: Engine, call_id: str) -> list[Recorded]:
    wait_until(lambda: engine.asked(call_id, "SettleCall"))
    return engine.asked(call_id, "SettleCall")


def test_its_files_are_where_an_operator_looks() -> None:
    folder = Path(__file__).parents[2] / "integrations" / "kamailio"

    assert (folder / "callgate-sidecar.service").exists()
    assert (folder / "README.md").exists()
