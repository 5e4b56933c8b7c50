"""The sample data says what the README and the demo promise of its people and numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from policy.admission import admit
from policy.decision import Admission, CreditsPurse, PoolPurse, Refusal
from policy.emergency import match_emergency
from policy.facts import Call, CallKind, Facts, FundingModel
from policy.reasons import Reason
from server.facts.catalogue import CatalogueFiles, read_catalogue
from server.facts.directory import Directory, read_directory
from server.facts.files.problems import Problems

DATA = Path(__file__).parents[2] / "data"
# 2026-11-22T12:00:00Z.
NOW_MS = 1_795_348_800_000


@pytest.fixture(scope="module")
def catalogue() -> CatalogueFiles:
    problems = Problems()
    read = read_catalogue(DATA / "catalogue", problems)
    problems.raise_if_any()
    return read


@pytest.fixture(scope="module")
def directory(catalogue: CatalogueFiles) -> Directory:
    problems = Problems()
    read = read_directory(DATA / "directory", catalogue, problems)
    problems.raise_if_any()
    return Directory.of(read.tenants.values())


@pytest.fixture
def ask(catalogue: CatalogueFiles, directory: Directory) -> object:
    def ask(call: Call) -> str:
        """Say which purses may pay, in order, or why none may."""
        facts = Facts(catalogue.catalogue, directory.tenants[call.tenant_id])
        verdict = admit(call, facts, NOW_MS)
        if isinstance(verdict, Refusal):
            return verdict.reason.name
        assert isinstance(verdict, Admission)
        return " ".join(
            f"{purse.pool_id}/{purse.counter}"
            if isinstance(purse, PoolPurse)
            else "credits"
            if isinstance(purse, CreditsPurse)
            else "free"
            for purse in verdict.purses
        )

    return ask


def users_call(tenant: str, user: str, number: str, kind: CallKind = CallKind.USER) -> Call:
    return Call(kind, tenant, number, account_ids=(user,), requested_seconds=600)


def service_call(tenant: str, calling: str, number: str) -> Call:
    return Call(
        CallKind.SERVICE_NUMBER, tenant, number, calling_number=calling, service_number=number
    )


MEETING = CallKind.MEETING_DIAL_OUT
PROMISES = (
    (users_call("contoso", "adele", "+14255550123"), "US:MCOPSTN1/domestic credits"),
    (users_call("contoso", "adele", "+390612345678"), "credits"),
    (users_call("contoso", "adele", "+19005551234"), "DESTINATION_BLOCKED"),
    (users_call("contoso", "adele", "12ab"), "NUMBER_INVALID"),
    # Short codes: free for everybody, by credits, or not at all.
    (users_call("contoso", "adele", "988"), "free"),
    (users_call("contoso", "frank", "988"), "free"),
    (users_call("northwind", "jack", "9-8-8"), "free"),
    (users_call("northwind", "sven", "988"), "free"),
    (users_call("contoso", "adele", "411"), "DESTINATION_UNRATED"),
    (users_call("contoso", "adele", "611"), "DESTINATION_BLOCKED"),
    (users_call("contoso", "bruno", "116111"), "free"),
    (users_call("contoso", "bruno", "116555"), "DESTINATION_BLOCKED"),
    (users_call("tailspin", "umar", "101"), "free"),
    (users_call("tailspin", "umar", "118500"), "DESTINATION_UNRATED"),
    # Paid numbers are no plan's, also those that only a length tells.
    (users_call("contoso", "chiara", "+3531599123456"), "DESTINATION_UNRATED"),
    (users_call("contoso", "chiara", "+35315991234"), "IT:MCOPSTN2/international credits"),
    (users_call("contoso", "chiara", "+447012345678"), "credits"),
    (users_call("contoso", "chiara", "+34905123456"), "credits"),
    (users_call("contoso", "bruno", "+39199123456"), "PAYER_NOT_ENABLED"),
    (users_call("contoso", "bruno", "+39178123456"), "PAYER_NOT_ENABLED"),
    (users_call("contoso", "chiara", "+49180112345"), "credits"),
    # San Marino behind Italy's code is abroad.
    (users_call("contoso", "bruno", "+390549886377"), "PAYER_NOT_ENABLED"),
    (users_call("contoso", "adele", "+18615550123"), "US:MCOPSTN1/domestic credits"),
    (users_call("contoso", "adele", "+14365550123"), "US:MCOPSTN1/domestic credits"),
    (users_call("contoso", "adele", "+12225550123"), "AREA_CODE_UNKNOWN"),
    (users_call("contoso", "nobody", "+12225550123"), "AREA_CODE_UNKNOWN"),
    (users_call("contoso", "nobody", "0612345678"), "USER_UNKNOWN"),
    (users_call("contoso", "nobody", "12ab"), "NUMBER_INVALID"),
    (users_call("contoso", "bruno", "+390612345678"), "IT:MCOPSTN1/domestic"),
    (users_call("contoso", "bruno", "+14255550123"), "PAYER_NOT_ENABLED"),
    (users_call("contoso", "chiara", "+14255550123"), "IT:MCOPSTN2/international credits"),
    (users_call("contoso", "dan", "+14255550123"), "LICENCE_MISSING"),
    (users_call("contoso", "dan", "+14255550123", MEETING), "conf/zone_a credits"),
    (users_call("contoso", "eve", "+442079460000"), "credits"),
    (users_call("contoso", "frank", "+14255550123"), "LICENCE_MISSING"),
    (users_call("contoso", "frank", "9112025551234"), "NUMBER_INVALID"),
    (users_call("fabrikam", "gina", "+390612345678"), "IT:MCOPSTN1/domestic credits"),
    (users_call("fabrikam", "gina", "+14255550123"), "credits"),
    (users_call("fabrikam", "hugo", "+390612345678", MEETING), "conf/zone_a"),
    (users_call("fabrikam", "hugo", "+263771234567", MEETING), "PAYER_NOT_ENABLED"),
    (service_call("contoso", "+14255550123", "+18005550100"), "credits"),
    (service_call("contoso", "+14255550123", "+12065550100"), "free"),
    # The country code alone says where a caller is.
    (service_call("contoso", "+12225550123", "+18005550100"), "credits"),
    (service_call("contoso", "+5215512345678", "+18005550100"), "TOLL_FREE_UNREACHABLE"),
    (service_call("fabrikam", "+390612345678", "+39800555010"), "credits"),
    (service_call("fabrikam", "+33123456789", "+39800555010"), "TOLL_FREE_UNREACHABLE"),
    (service_call("tailspin", "+442079460000", "+442079460100"), "credits"),
    (users_call("northwind", "isabel", "+17875550100"), "US:MCOPSTN1/domestic"),
    (users_call("northwind", "jack", "+14255550123"), "CA:MCOPSTN1/domestic credits"),
    (users_call("northwind", "kim", "+14255550123"), "user:kim:MCOPSTN8/domestic"),
    (users_call("northwind", "kim", "+19075550123"), "DESTINATION_BLOCKED"),
    (users_call("northwind", "liam", "+14165550123", MEETING), "free"),
    (users_call("northwind", "mona", "+14165550123", MEETING), "conf-us-ca/us_ca"),
    (users_call("northwind", "olga", "+263771234567", MEETING), "DESTINATION_RESTRICTED"),
    (users_call("northwind", "pavel", "+14255550123"), "DESTINATION_RESTRICTED"),
    (users_call("northwind", "quinn", "+12065550199"), "free"),
    (users_call("northwind", "rosa", "+14255550123"), "credits"),
    (users_call("northwind", "sven", "+14255550123"), "ACCOUNT_FROZEN"),
    (users_call("tailspin", "umar", "+448441234567"), "credits"),
    (users_call("tailspin", "umar", "+449091234567"), "DESTINATION_BLOCKED"),
    (users_call("adatum", "willem", "+31201234567"), "credits"),
    (users_call("litware", "yann", "+14165550123"), "OVERAGE_OFF"),
    (users_call("fourthcoffee", "amir", "+14255550123"), "ACCOUNT_FROZEN"),
)


@pytest.mark.parametrize(("call", "expected"), PROMISES)
def test_each_person_of_the_sample_gets_the_answer_it_was_made_for(
    ask: object, call: Call, expected: str
) -> None:
    assert callable(ask)

    assert ask(call) == expected


def test_a_balance_written_as_zero_is_a_balance_and_none_written_is_none(
    directory: Directory,
) -> None:
    opened = {name: each.opening_balance_micros for name, each in directory.tenants.items()}

    assert opened["contoso"] == 50_000_000
    assert opened["fabrikam"] == 0
    assert opened["wingtip"] is None
    assert directory.tenants["wingtip"].funding_model is FundingModel.PREPAID


def test_frank_reaches_911_without_any_licence(catalogue: CatalogueFiles) -> None:
    grant = match_emergency("911", ("US",), catalogue.catalogue.emergency)

    assert grant is not None
    assert match_emergency("9112025551234", ("US",), catalogue.catalogue.emergency) is None


def test_rome_costs_ten_cents_a_minute_until_the_next_row_comes_into_force(
    catalogue: CatalogueFiles,
) -> None:
    rows = catalogue.catalogue.rates["USD"]["3906"]

    assert [row.rate and row.rate.micros_per_minute for row in rows] == [100_000, 110_000]
    assert rows[0].valid_from_ms < NOW_MS < rows[1].valid_from_ms


def test_service_numbers_are_found_whosever_they_are(directory: Directory) -> None:
    assert directory.service_numbers["+39800555010"] == "fabrikam"
    assert directory.service_numbers["+18005550100"] == "contoso"


def test_every_published_licence_name_is_known(catalogue: CatalogueFiles) -> None:
    lines = (DATA / "licences" / "sku_codes.csv").read_text("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))

    codes = {row["sku_part_name"] for row in rows}

    assert len(codes) > 20
    assert codes <= catalogue.skus.keys()


def test_every_refusal_by_the_rules_stays_within_the_reasons() -> None:
    names = {expected for _, expected in PROMISES if expected.isupper()}

    assert names <= set(Reason.__members__)
