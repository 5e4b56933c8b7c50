"""The restrictions an administrator can set, against every kind of destination."""

from __future__ import annotations

import pytest

from facts import NOW_MS, a_call, a_resource_account, a_user, some_facts
from policy.admission import admit
from policy.decision import Admission, Refusal
from policy.facts import CallKind, ConferenceScope, Connectivity, PstnScope, Restriction
from policy.reasons import Reason

US, CANADA, UNITED_KINGDOM, ZIMBABWE = (
    "+14255550123",
    "+14165550123",
    "+442079460000",
    "+263242123456",
)
LICENCES = ("ENTERPRISEPREMIUM", "MCOPSTN2", "MCOPSTNPP")


def is_restricted(decision: Admission | Refusal) -> bool:
    return isinstance(decision, Refusal) and decision.reason is Reason.DESTINATION_RESTRICTED


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (PstnScope.INTERNATIONAL, {US, CANADA, UNITED_KINGDOM, ZIMBABWE}),
        (PstnScope.DOMESTIC, {US}),
        (PstnScope.NONE, set()),
    ],
)
def test_the_scope_of_a_users_own_calls(scope: PstnScope, allowed: set[str]) -> None:
    restriction = Restriction("Own", ConferenceScope.ANY, scope)
    world = some_facts(a_user("anna", *LICENCES, restriction=restriction))

    reached = {
        number
        for number in (US, CANADA, UNITED_KINGDOM, ZIMBABWE)
        if not is_restricted(admit(a_call(number), world, NOW_MS))
    }

    assert reached == allowed


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (ConferenceScope.ANY, {US, CANADA, UNITED_KINGDOM, ZIMBABWE}),
        (ConferenceScope.SAME_COUNTRY_AS_ORGANIZER, {US}),
        (ConferenceScope.ZONE_A, {US, CANADA, UNITED_KINGDOM}),
        (ConferenceScope.NONE, set()),
    ],
)
@pytest.mark.parametrize("kind", [CallKind.MEETING_DIAL_OUT, CallKind.CALL_ME])
def test_the_scope_of_a_users_meetings(
    kind: CallKind, scope: ConferenceScope, allowed: set[str]
) -> None:
    restriction = Restriction("Own", scope, PstnScope.NONE)
    world = some_facts(a_user("anna", *LICENCES, restriction=restriction))

    reached = {
        number
        for number in (US, CANADA, UNITED_KINGDOM, ZIMBABWE)
        if not is_restricted(admit(a_call(number, kind=kind), world, NOW_MS))
    }

    assert reached == allowed


@pytest.mark.parametrize(
    "kind", [CallKind.USER, CallKind.FORWARDED, CallKind.TRANSFERRED, CallKind.ADDED_PARTY]
)
@pytest.mark.parametrize("connectivity", list(Connectivity))
def test_a_restriction_holds_for_every_call_of_a_user_whoever_carries_it(
    kind: CallKind, connectivity: Connectivity
) -> None:
    restriction = Restriction("Own", ConferenceScope.ANY, PstnScope.DOMESTIC)
    user = a_user("anna", *LICENCES, restriction=restriction, connectivity=connectivity)

    assert is_restricted(admit(a_call(UNITED_KINGDOM, kind=kind), some_facts(user), NOW_MS))


def test_a_users_own_restriction_replaces_the_tenants() -> None:
    own = Restriction("Own", ConferenceScope.ANY, PstnScope.INTERNATIONAL)
    everybodys = Restriction("Global", ConferenceScope.NONE, PstnScope.NONE)
    world = some_facts(a_user("anna", *LICENCES, restriction=own), restriction=everybodys)

    assert not is_restricted(admit(a_call(UNITED_KINGDOM), world, NOW_MS))


def test_a_queue_is_restricted_as_its_account_is() -> None:
    restriction = Restriction("Own", ConferenceScope.ANY, PstnScope.DOMESTIC)
    desk = a_resource_account("desk", "PHONESYSTEM_VIRTUALUSER", restriction=restriction)
    call = a_call(UNITED_KINGDOM, "desk", kind=CallKind.QUEUE_TRANSFER)

    assert is_restricted(admit(call, some_facts(desk), NOW_MS))


@pytest.mark.parametrize(
    ("organizer", "destination", "capability"),
    [
        # The published table: Zone A decides, never the organizer's country.
        ("US", US, "MCOMEETADD"),
        ("US", UNITED_KINGDOM, "MCOMEETADD"),
        ("US", ZIMBABWE, "MCOPSTNPP"),
        ("GB", UNITED_KINGDOM, "MCOMEETADD"),
        ("GB", US, "MCOMEETADD"),
        ("GB", ZIMBABWE, "MCOPSTNPP"),
        ("ZW", ZIMBABWE, "MCOPSTNPP"),
        ("ZW", US, "MCOMEETADD"),
        ("ZW", UNITED_KINGDOM, "MCOMEETADD"),
        ("CK", US, "MCOMEETADD"),
        ("CK", UNITED_KINGDOM, "MCOMEETADD"),
    ],
)
def test_what_pays_a_dial_out_first(organizer: str, destination: str, capability: str) -> None:
    world = some_facts(a_user("anna", "MCOMEETADV", "MCOPSTNPP", location=organizer))

    decision = admit(a_call(destination, kind=CallKind.MEETING_DIAL_OUT), world, NOW_MS)

    assert isinstance(decision, Admission)
    assert decision.purses[0].capability == capability
