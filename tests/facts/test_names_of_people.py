"""Names as directories of people have them: guests, apostrophes, up to 128 characters, any case."""

from __future__ import annotations

from pathlib import Path

import pytest

from fact_files import CONTOSO, FactFiles
from policy.facts import Call, CallKind, Tenant
from server.access import ANYBODY, admitted, find_tenant
from server.facts import read_facts
from server.facts.directory import Directory

GUEST = "o'neil_fabrikam.com#EXT#@contoso.onmicrosoft.com"
LONG = "a" * 120 + "@b.co.uk"
NAMES = (GUEST, LONG, "smith&jones=2")


def facts_with(folder: Path, *names: str, head: str = "") -> Tenant:
    files = FactFiles(folder)
    users = "".join(f'\n[users."{name}"]\nusage_location = "US"\n' for name in names)
    files.write("directory/contoso.toml", head + CONTOSO + users)
    return read_facts(files.folders)[1]["contoso"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_as_people_have_it_is_a_user(tmp_path: Path, name: str) -> None:
    assert name in facts_with(tmp_path, name).users


@pytest.mark.parametrize("name", ["a b", "a" * 129, 'a\\"b', "a/b", "a,b", "50%", "Büro"])
def test_what_would_end_a_word_elsewhere_is_no_name(tmp_path: Path, name: str) -> None:
    files = FactFiles(tmp_path)
    files.append("directory/contoso.toml", f'\n[users."{name}"]\nusage_location = "US"\n')

    (mistake,) = files.mistakes()

    assert "is no id; give 1 to 128 letters" in mistake


def asked(tenant: Tenant, name: str) -> tuple[str, ...]:
    call = Call(CallKind.USER, "contoso", "+12065550100", account_ids=(name,))
    with admitted(ANYBODY):
        return find_tenant(call, Directory({"contoso": tenant}, {}))[0].account_ids


def test_case_counts_unless_a_tenant_says_that_it_does_not(tmp_path: Path) -> None:
    folding = facts_with(tmp_path / "on", GUEST, "Bob", "bob", head="fold_case = true\n")
    exact = facts_with(tmp_path / "off", GUEST)

    assert asked(folding, GUEST.upper()) == (GUEST,)
    assert asked(folding, "ADELE") == ("adele",)
    assert asked(folding, "bob") == ("bob",)
    assert asked(folding, "BOB") == ("BOB",)
    assert asked(folding, "nobody") == ("nobody",)
    assert asked(exact, GUEST.upper()) == (GUEST.upper(),)
