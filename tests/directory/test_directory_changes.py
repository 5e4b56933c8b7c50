"""Changes of the directory: checked as files are, refused whole, and written down."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.v1 import directory_pb2 as pb
from callgate.v1.money_pb2 import Money
from directories import (
    ACCOUNTS,
    NUMBERS,
    USERS,
    ArchivedDirectory,
    a_tenant_message,
    a_user_message,
)
from server.access.errors import TenantForbidden
from server.calls.messages.fields import InvalidRequest
from server.facts.errors import (
    EtagChanged,
    ResourceExists,
    ResourceInUse,
    ResourceUnknown,
    TenantInUse,
)
from server.services.directory.changes import etag_of

BRIDGE = pb.SERVICE_KIND_BRIDGE


async def test_a_change_is_written_into_the_audit_trail_with_it(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message())
    await directory.update(USERS, a_user_message(licences=["mcoev", "mcopstn1"]), "licences")
    await directory.delete(USERS, "adele")

    adele = {"usage_location": "US", "licences": ["MCOEV"]}
    richer = adele | {"licences": ["MCOEV", "MCOPSTN1"]}
    path = "tenants/contoso/users/adele"
    assert (await directory.audit())[1:] == [
        ("CreateUser", path, None, adele),
        ("UpdateUser", path, adele, richer),
        ("DeleteUser", path, richer, None),
    ]


async def test_a_change_that_is_none_is_written_nowhere(directory: ArchivedDirectory) -> None:
    before = await directory.create(USERS, a_user_message())

    after = await directory.update(USERS, a_user_message(), "licences")

    assert after == before
    assert len(await directory.audit()) == 2


MISTAKES: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"usage_location": "XX"}, "user.usage_location", "countries.csv"),
    ({"usage_location": ""}, "user.usage_location", "is missing"),
    ({"licences": ["MCOEVE"]}, "user.licences", "no licence of skus.csv"),
    ({"number": "12065550101"}, "user.number", "E.164"),
    ({"restriction": "Nowhere"}, "user.restriction", "restrictions.csv"),
    ({"shared_calling_account": "desk"}, "user.shared_calling_account", "resource_accounts"),
    ({"concurrent_calls_limit": 0}, "user.concurrent_calls_limit", "1 to 1000000"),
    ({"spend_limit": Money(micros=-1)}, "user.spend_limit.micros", "from 0"),
    ({"spend_limit": Money(currency_code="USD")}, "user.spend_limit.currency_code", "EUR"),
    ({"connectivity": 9}, "user.connectivity", "CONNECTIVITY_CALLING_PLAN"),
    ({"user_id": "a b"}, "user.user_id", "is no id"),
)


async def test_a_mistake_names_the_field_and_the_fix(directory: ArchivedDirectory) -> None:
    for changes, field, fix in MISTAKES:
        wrong = a_user_message(**{"user_id": "adele"} | changes)

        with pytest.raises(InvalidRequest) as caught:
            await directory.create(USERS, wrong)

        assert (caught.value.field, fix in caught.value.fix) == (field, True), caught.value
    assert len(await directory.audit()) == 1


async def test_an_etag_that_is_old_is_refused(directory: ArchivedDirectory) -> None:
    first = etag_of(await directory.create(USERS, a_user_message()))
    await directory.update(USERS, a_user_message(frozen=True, etag=first), "frozen")

    with pytest.raises(EtagChanged):
        await directory.update(USERS, a_user_message(etag=first), "frozen")


async def test_a_number_has_one_holder_in_whichever_tenant(directory: ArchivedDirectory) -> None:
    number = "+12065550101"
    await directory.create(USERS, a_user_message(number=number))
    await directory.create_tenant(a_tenant_message("fabrikam"))

    with pytest.raises(InvalidRequest, match="user adele has"):
        await directory.create(USERS, a_user_message("bob", number=number))
    with pytest.raises(InvalidRequest, match="somebody else has"):
        await directory.create(USERS, a_user_message(tenant_id="fabrikam", number=number))
    await directory.delete(USERS, "adele")
    await directory.create(USERS, a_user_message(tenant_id="fabrikam", number=number))


async def test_no_more_licences_are_assigned_than_were_bought(empty: ArchivedDirectory) -> None:
    await empty.create_tenant(a_tenant_message(licences_purchased={"MCOEV": 1}))
    await empty.create(USERS, a_user_message())

    with pytest.raises(InvalidRequest, match="of MCOEV 1 were bought"):
        await empty.create(USERS, a_user_message("bob"))
    fewer = a_tenant_message(licences_purchased={"MCOEV": 0})
    with pytest.raises(InvalidRequest, match="1 are assigned"):
        await empty.update_tenant(fewer, "licences_purchased")
    await empty.update(USERS, a_user_message(licences=[]), "licences")
    await empty.create(USERS, a_user_message("bob"))


async def test_an_account_that_somebody_speaks_of_stays(directory: ArchivedDirectory) -> None:
    desk = pb.ResourceAccount(tenant_id="contoso", account_id="desk", usage_location="US")
    await directory.create(ACCOUNTS, desk)
    await directory.create(USERS, a_user_message(shared_calling_account="desk"))

    with pytest.raises(ResourceInUse, match="user adele"):
        await directory.delete(ACCOUNTS, "desk")
    with pytest.raises(InvalidRequest, match="a resource account has this id"):
        await directory.create(USERS, a_user_message("desk"))
    await directory.update(USERS, a_user_message(), "shared_calling_account")
    await directory.delete(ACCOUNTS, "desk")


async def test_service_numbers_are_checked_against_the_catalogue(
    directory: ArchivedDirectory,
) -> None:
    toll_free = pb.ServiceNumber(tenant_id="contoso", number="+39800555010", service=BRIDGE)
    nowhere = pb.ServiceNumber(tenant_id="contoso", number="+99912345678", service=BRIDGE)
    unplaced = pb.ServiceNumber(tenant_id="contoso", number="+18005550100", service=BRIDGE)

    await directory.create(NUMBERS, toll_free)

    with pytest.raises(InvalidRequest, match="leads nowhere"):
        await directory.create(NUMBERS, nowhere)
    with pytest.raises(InvalidRequest, match="of no country by itself"):
        await directory.create(NUMBERS, unplaced)


async def test_currency_and_opening_balance_never_change(directory: ArchivedDirectory) -> None:
    with pytest.raises(InvalidRequest, match="cannot be changed"):
        await directory.update_tenant(a_tenant_message(currency_code="USD"), "currency_code")
    rich = a_tenant_message(opening_balance=Money(micros=1_000_000))
    with pytest.raises(InvalidRequest, match="cannot be changed"):
        await directory.update_tenant(rich, "opening_balance")


async def test_only_a_frozen_tenant_is_deleted_and_all_that_it_owns_with_it(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message(number="+12065550101"))

    with pytest.raises(TenantInUse):
        await directory.change(lambda changes: changes.delete_tenant("contoso", ""))
    await directory.update_tenant(a_tenant_message(frozen=True), "frozen")
    await directory.change(lambda changes: changes.delete_tenant("contoso", ""))

    with pytest.raises(TenantForbidden):
        await directory.create(USERS, a_user_message())
    await directory.create_tenant(a_tenant_message())
    await directory.create(USERS, a_user_message(number="+12065550101"))


async def test_what_is_there_is_not_created_and_what_is_not_there_not_changed(
    directory: ArchivedDirectory,
) -> None:
    await directory.create(USERS, a_user_message())

    with pytest.raises(ResourceExists):
        await directory.create(USERS, a_user_message())
    with pytest.raises(ResourceUnknown):
        await directory.update(USERS, a_user_message("bob", frozen=True), "frozen")
    with pytest.raises(ResourceExists):
        await directory.create_tenant(a_tenant_message())


async def test_a_field_that_is_named_and_not_set_is_cleared(directory: ArchivedDirectory) -> None:
    limited = a_user_message(spend_limit=Money(micros=12_500_000), concurrent_calls_limit=2)
    await directory.create(USERS, limited)

    row = await directory.update(USERS, a_user_message(), "spend_limit", "licences")

    assert row.body == '{"usage_location":"US","licences":["MCOEV"],"concurrent_calls_limit":2}'
