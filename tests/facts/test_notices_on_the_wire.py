"""Whom to tell travels both ways between the DirectoryService's messages and a tenant's file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from callgate.v1 import directory_pb2 as pb
from callgate.v1.money_pb2 import Money
from server.facts.directory.bodies import head_body
from server.facts.directory.tenant_file import read_tenant_values
from server.facts.directory.writing import write_tenant
from server.facts.files.problems import Problems
from server.services.directory.messages import TENANT, fill, values_of

SECTION = {
    "recipients": ["billing@contoso.example"],
    "language": "it",
    "webhook_url": "https://contoso.example/hook",
    "low_balance": "10.50",
    "expiring_days": 14,
}


def test_a_message_says_what_the_file_would() -> None:
    message = pb.Tenant(
        notices=pb.Notices(
            recipients=["billing@contoso.example"],
            language="it",
            webhook_url="https://contoso.example/hook",
            low_balance=Money(micros=10_500_000, currency_code="USD"),
            expiring_days=14,
        )
    )

    assert values_of(TENANT, message, ["notices"]) == {"notices": SECTION}


def test_what_is_not_said_is_left_out() -> None:
    message = pb.Tenant(notices=pb.Notices(recipients=["billing@contoso.example"]))

    assert values_of(TENANT, message, ["notices"]) == {
        "notices": {"recipients": ["billing@contoso.example"]}
    }


def test_a_file_is_told_as_a_message() -> None:
    message = pb.Tenant()

    fill(TENANT, message, {"notices": SECTION}, currency="USD")

    assert message.notices.low_balance == Money(micros=10_500_000, currency_code="USD")
    assert list(message.notices.recipients) == ["billing@contoso.example"]
    assert (message.notices.expiring_days, message.notices.language) == (14, "it")


def test_what_the_archive_keeps_is_exported_as_a_file_says_it() -> None:
    values = {
        "id": "contoso",
        "country": "US",
        "currency": "USD",
        "funding_model": "prepaid",
        "notices": {"recipients": ["billing@contoso.example"], "language": "it"},
    }
    problems = Problems()
    file = read_tenant_values(Path("contoso.toml"), values, problems)

    written = "".join(write_tenant(head_body(file), []))

    problems.raise_if_any()
    assert tomllib.loads(written) == values
