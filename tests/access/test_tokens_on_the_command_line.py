"""`callgate tokens` and `callgate audit`, on a real engine."""

from __future__ import annotations

import json

import pytest

from engines import Engine
from identities import TOKENS
from terminal import Terminal


@pytest.fixture
def terminal(engine: Engine) -> Terminal:
    return Terminal(engine.address, environment={"CALLGATE_TOKEN": TOKENS["operator"]})


def test_a_token_is_made_used_rotated_and_revoked(terminal: Terminal) -> None:
    made = terminal.type(
        "tokens", "create", "desk", "--role", "reader", "--tenant", "contoso", "--expires-in", "90d"
    )
    token = next(line for line in made.output.splitlines() if line.startswith("cg_"))
    used = terminal.type("balance", "--tenant", "contoso", "--token", token)
    rotated = terminal.type("tokens", "rotate", "desk", "--overlap", "0s", "--json")
    fresh = json.loads(rotated.output)["token"]
    old = terminal.type("balance", "--tenant", "contoso", "--token", token)
    new = terminal.type("balance", "--tenant", "contoso", "--token", fresh)
    revoked = terminal.type("tokens", "revoke", "desk", "--yes")
    gone = terminal.type("balance", "--tenant", "contoso", "--token", fresh)

    assert "desk: reader of contoso. Its token, until " in made.output
    assert [one.exit_code for one in (made, used, rotated, old, new, revoked, gone)] == [
        *(0, 0, 0, 2, 0, 0, 2)
    ]
    assert token not in old.output + gone.output


def test_a_revocation_is_asked_about_first(terminal: Terminal) -> None:
    terminal.type("tokens", "create", "kept", "--role", "reader", "--tenant", "contoso")

    asked = terminal.type("tokens", "revoke", "kept")

    assert asked.exit_code == 1
    assert "kept" in terminal.type("tokens", "list").output


def test_identities_are_listed_without_anything_secret(terminal: Terminal) -> None:
    listed = terminal.type("tokens", "list")
    as_json = json.loads(terminal.type("tokens", "list", "--json").output)

    heads, *lines = listed.output.splitlines()
    assert heads.split() == ["identity", "roles", "tenants", "shown", "kept", "in"]
    bridge = next(line for line in lines if line.startswith("bridge "))
    assert bridge.split()[:4] == ["bridge", "bridge", "contoso", "token"]
    assert {"operator", "reader"} <= {one["identityId"] for one in as_json["identities"]}
    assert not any(token in listed.output + str(as_json) for token in TOKENS.values())


def test_the_audit_trail_tells_who_changed_what(terminal: Terminal) -> None:
    create = ("tokens", "create", "seen", "--role", "bridge", "--tenant", "contoso")
    terminal.type(*create)

    told = terminal.type("audit", "--tenant", "contoso", "--limit", "1")
    as_json = json.loads(terminal.type("audit", "--limit", "1", "--json").output)

    assert "operator  CreateToken identities/seen" in told.output
    assert 'roles: nothing -> ["bridge"]' in told.output
    assert as_json["resource"] == "identities/seen"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "x", "--role", "reader"), "Give --tenant, or --all-tenants"),
        (("create", "x", "--tenant", "contoso"), "Missing option '--role'"),
        (
            ("create", "x", "--role", "reader", "--tenant", "contoso", "--expires-in", "soon"),
            "is no time",
        ),
        (("rotate", "none-such"), "NOT_FOUND (IDENTITY_MISSING)"),
        (("create", "x y", "--role", "reader", "--tenant", "contoso"), "identity.identity_id"),
    ],
    ids=["whom", "what-for", "until-when", "unknown", "bad-name"],
)
def test_what_cannot_be_done_is_told_with_status_2(
    terminal: Terminal, words: tuple[str, ...], told: str
) -> None:
    answer = terminal.type("tokens", *words)

    assert answer.exit_code == 2
    assert told in answer.output


def test_a_file_that_cannot_be_read_is_told(terminal: Terminal) -> None:
    answer = terminal.type("balance", "--tenant", "contoso", "--ca", "/none/such.crt")

    assert answer.exit_code == 2
    assert "/none/such.crt" in answer.output
