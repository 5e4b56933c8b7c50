"""A tenant says whom to tell: what may stand there, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.facts import Notices
from server.facts.catalogue import read_catalogue
from server.facts.directory import read_tenant
from server.facts.files.problems import Problems
from server.notices.preferences import settings_of

HEAD = {
    "id": "contoso",
    "country": "US",
    "currency": "USD",
    "funding_model": "prepaid",
    "time_zone": "Europe/Rome",
}
CATALOGUE = Path(__file__).parents[2] / "data" / "catalogue"


def read(notices: object, **head: object) -> tuple[Notices | None, list[str]]:
    problems = Problems()
    catalogue = read_catalogue(CATALOGUE, problems)
    values = {**HEAD, **head, "notices": notices}
    tenant = read_tenant(Path("contoso.toml"), values, catalogue, problems)
    return tenant.notices if tenant else None, [str(problem) for problem in problems._found]


def test_all_of_it_is_read() -> None:
    notices, mistakes = read(
        {
            "recipients": ["billing@contoso.example", "o'neill+x@sub.contoso.example"],
            "language": "it",
            "webhook_url": "https://contoso.example/hook",
            "low_balance": "10.00",
            "expiring_days": 14,
        }
    )

    assert mistakes == []
    assert notices == Notices(
        ("billing@contoso.example", "o'neill+x@sub.contoso.example"),
        "it",
        "https://contoso.example/hook",
        10_000_000,
        14,
    )


def test_nobody_is_told_by_default() -> None:
    assert read({}) == (Notices(), [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipients", ["billing"]),
        ("recipients", ["a b@contoso.example"]),
        ("recipients", ["<a@contoso.example>"]),
        ("recipients", ["a@contoso.example\nBcc: b@contoso.example"]),
        ("recipients", ["a@contoso.example,b@contoso.example"]),
        ("recipients", ["a@contoso.example"] * 21),
        ("recipients", [f"a@{'x.' * 130}example"]),
        ("language", "tlh"),
        ("webhook_url", "ftp://contoso.example/"),
        ("webhook_url", "https://contoso.example/a b"),
        ("low_balance", "-1"),
        ("expiring_days", 0),
        ("expiring_days", 181),
        ("recipient", ["a@contoso.example"]),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    _, mistakes = read({name: value})

    assert len(mistakes) == 1
    assert f"notices.{name}" in mistakes[0]


def test_what_the_facts_mean_is_written_for_the_keeper() -> None:
    problems = Problems()
    catalogue = read_catalogue(CATALOGUE, problems)
    values = {**HEAD, "funding_model": "drain_then_post_paid", "notices": {"language": "it"}}
    tenant = read_tenant(Path("contoso.toml"), values, catalogue, problems)
    assert tenant is not None

    settings = settings_of(tenant)

    assert (settings.language, settings.time_zone) == ("it", "Europe/Rome")
    assert settings.post_paid_follows
    assert settings.recipients == ()
