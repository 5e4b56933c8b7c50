"""Tokens: made, rotated, revoked, listed, audited; and nobody gives more than they have."""

from __future__ import annotations

import itertools
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.v1 import access_pb2 as pb
from callgate.v1.access_pb2_grpc import AccessServiceStub
from engines import Engine, Failed, a_question, failure_of
from identities import TOKENS
from server.access.identities import digest_of

BRIDGE_OF_CONTOSO = pb.Identity(
    identity_id="sbc@contoso", roles=[pb.ROLE_BRIDGE], tenant_ids=["contoso"]
)


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> AccessServiceStub:
    return AccessServiceStub(channel)


class Asking:
    """Asks the AccessService as somebody."""

    def __init__(self, stub: AccessServiceStub, token: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)

    def create(self, identity: pb.Identity, **more: Any) -> pb.CreateTokenResponse:
        request = pb.CreateTokenRequest(identity=identity, **more)
        return self._stub.CreateToken(request, metadata=self._metadata, timeout=5)

    def rotate(self, identity_id: str, **more: Any) -> pb.RotateTokenResponse:
        request = pb.RotateTokenRequest(identity_id=identity_id, **more)
        return self._stub.RotateToken(request, metadata=self._metadata, timeout=5)

    def revoke(self, identity_id: str, etag: str = "") -> pb.RevokeTokenResponse:
        request = pb.RevokeTokenRequest(identity_id=identity_id, etag=etag)
        return self._stub.RevokeToken(request, metadata=self._metadata, timeout=5)

    def identities(self, page_size: int = 0) -> list[pb.Identity]:
        found: list[pb.Identity] = []
        request = pb.ListIdentitiesRequest(page_size=page_size)
        while True:
            page = self._stub.ListIdentities(request, metadata=self._metadata, timeout=5)
            found += page.identities
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def audit(self, tenant_id: str = "", page_size: int = 0) -> list[pb.AuditEntry]:
        found: list[pb.AuditEntry] = []
        request = pb.ListAuditEntriesRequest(tenant_id=tenant_id, page_size=page_size)
        while True:
            page = self._stub.ListAuditEntries(request, metadata=self._metadata, timeout=5)
            found += page.entries
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


@pytest.fixture
def operator(stub: AccessServiceStub) -> Asking:
    return Asking(stub, TOKENS["operator"])


@pytest.fixture
def administrator(stub: AccessServiceStub) -> Asking:
    return Asking(stub, TOKENS["administrator"])


def may_ask(engine: Engine, token: str, tenant_id: str = "contoso") -> bool:
    metadata = (("authorization", f"Bearer {token}"),)
    question = a_question(tenant_id=tenant_id)
    call = engine.stub.AuthorizeCall.future(question, metadata=metadata, timeout=5)
    refused = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    assert call.code() in {grpc.StatusCode.OK, *refused}
    return call.code() is grpc.StatusCode.OK


def named(name: str, *roles: pb.Role.ValueType, tenants: tuple[str, ...] = ()) -> pb.Identity:
    return pb.Identity(
        identity_id=name,
        roles=roles or [pb.ROLE_BRIDGE],
        tenant_ids=tenants or ["contoso"],
    )


def status(failed: Failed) -> tuple[grpc.StatusCode, str]:
    return failed.code, failed.reason


def test_a_token_that_was_made_is_good_at_once_until_it_is_revoked(
    engine: Engine, operator: Asking
) -> None:
    made = operator.create(named("short-lived"))
    before = may_ask(engine, made.token)

    operator.revoke("short-lived", made.identity.etag)

    assert before
    assert not may_ask(engine, made.token)
    assert status(failure_of(lambda: operator.revoke("short-lived"))) == (
        grpc.StatusCode.NOT_FOUND,
        "IDENTITY_MISSING",
    )


def test_a_token_is_shown_once_and_kept_by_its_hash_alone(engine: Engine, operator: Asking) -> None:
    made = operator.create(named("secret"))

    listed = next(one for one in operator.identities() if one.identity_id == "secret")

    assert len(made.token) == len("cg_") + 43
    assert listed.tokens[0].fingerprint == digest_of(made.token)[:12]
    kept = b"".join(path.read_bytes() for path in engine.folder.rglob("archive.sqlite*"))
    assert digest_of(made.token).encode() in kept
    assert made.token.encode() not in kept
    assert made.token not in str(operator.audit())
    assert made.token not in engine.log


def test_a_rotated_token_is_good_for_a_while_beside_the_new_one(
    engine: Engine, operator: Asking
) -> None:
    first = operator.create(named("rotated"))

    second = operator.rotate("rotated", etag=first.identity.etag)

    assert may_ask(engine, first.token)
    assert may_ask(engine, second.token)
    ends = [one.HasField("expire_time") for one in second.identity.tokens]
    assert ends == [True, False]


def test_a_token_rotated_without_overlap_is_over_at_once(engine: Engine, operator: Asking) -> None:
    first = operator.create(named("swapped"))

    second = operator.rotate("swapped", overlap_duration=Duration())

    assert not may_ask(engine, first.token)
    assert may_ask(engine, second.token)


def test_of_two_who_rotate_by_one_etag_the_second_is_told(operator: Asking) -> None:
    made = operator.create(named("contested"))
    operator.rotate("contested", etag=made.identity.etag)

    late = failure_of(lambda: operator.rotate("contested", etag=made.identity.etag))
    revoked = failure_of(lambda: operator.revoke("contested", made.identity.etag))

    assert status(late) == status(revoked) == (grpc.StatusCode.ABORTED, "ETAG_CHANGED")


def test_a_name_that_is_taken_is_told(operator: Asking) -> None:
    operator.create(named("taken"))

    again = failure_of(lambda: operator.create(named("taken")))
    of_file = failure_of(lambda: operator.create(named("bridge")))

    assert status(again) == (grpc.StatusCode.ALREADY_EXISTS, "IDENTITY_EXISTS")
    assert of_file == again


def test_an_administrator_makes_identities_of_their_own_tenant(
    engine: Engine, administrator: Asking
) -> None:
    made = administrator.create(named("sbc@contoso"))

    assert may_ask(engine, made.token)
    assert not may_ask(engine, made.token, "fabrikam")


@pytest.mark.parametrize(
    ("wanted", "code", "reason"),
    [
        (named("x@contoso", pb.ROLE_OPERATOR), "PERMISSION_DENIED", "ROLE_BEYOND"),
        (named("x@contoso", tenants=("fabrikam",)), "PERMISSION_DENIED", "TENANT_FORBIDDEN"),
        (named("x@contoso", tenants=("none-such",)), "PERMISSION_DENIED", "TENANT_FORBIDDEN"),
        (
            named("x@contoso", tenants=("contoso", "fabrikam")),
            "PERMISSION_DENIED",
            "TENANT_FORBIDDEN",
        ),
        (
            pb.Identity(identity_id="x@contoso", roles=[pb.ROLE_BRIDGE], all_tenants=True),
            "PERMISSION_DENIED",
            "TENANT_FORBIDDEN",
        ),
        (named("x"), "INVALID_ARGUMENT", "FIELD_INVALID"),
        (named("x@fabrikam"), "INVALID_ARGUMENT", "FIELD_INVALID"),
        (named("contoso"), "INVALID_ARGUMENT", "FIELD_INVALID"),
    ],
    ids=itertools.count(),
)
def test_nobody_gives_more_than_they_have(
    administrator: Asking, wanted: pb.Identity, code: str, reason: str
) -> None:
    failed = failure_of(lambda: administrator.create(wanted))

    assert (failed.code.name, failed.reason) == (code, reason)


def test_an_administrator_takes_over_nobody(operator: Asking, administrator: Asking) -> None:
    operator.create(named("of-fabrikam", tenants=("fabrikam",)))
    operator.create(named("boss-of-contoso", pb.ROLE_OPERATOR))

    anothers = failure_of(lambda: administrator.rotate("of-fabrikam"))
    nobodys = failure_of(lambda: administrator.rotate("none-such"))
    of_file = failure_of(lambda: administrator.rotate("bridge"))
    above = failure_of(lambda: administrator.rotate("boss-of-contoso"))

    assert anothers == nobodys == of_file
    assert status(nobodys) == (grpc.StatusCode.NOT_FOUND, "IDENTITY_MISSING")
    assert status(above) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_BEYOND")


def test_an_administrator_sees_whose_tenants_are_all_their_own(
    operator: Asking, administrator: Asking
) -> None:
    operator.create(named("of-both", tenants=("contoso", "fabrikam")))
    operator.create(named("seen"))

    seen = {one.identity_id for one in administrator.identities()}
    all_of_them = {one.identity_id for one in operator.identities(page_size=2)}

    assert {"seen", "bridge", "administrator", "reader"} <= seen
    assert not {"of-both", "operator", "other-bridge"} & seen
    assert seen | {"of-both", "operator", "other-bridge"} <= all_of_them


def test_every_change_is_in_the_audit_trail(operator: Asking, administrator: Asking) -> None:
    made = administrator.create(named("audited@contoso"))
    operator.rotate("audited@contoso")
    operator.revoke("audited@contoso")

    trail = [
        one
        for one in administrator.audit("contoso", page_size=2)
        if one.resource == "identities/audited@contoso"
    ]

    assert [(one.action, one.identity_id) for one in trail] == [
        ("RevokeToken", "operator"),
        ("RotateToken", "operator"),
        ("CreateToken", "administrator"),
    ]
    revoked, rotated, created = trail
    assert not created.HasField("before")
    assert not revoked.HasField("after")
    assert rotated.before == created.after
    tokens = created.after["tokens"]
    assert tokens[0]["fingerprint"] == digest_of(made.token)[:12]  # type: ignore[index] # A Struct holds anything.
    assert abs(created.change_time.ToMilliseconds() - time.time() * 1_000) < 60_000


def test_the_audit_trail_of_all_is_for_who_may_touch_all(
    operator: Asking, administrator: Asking
) -> None:
    denied = failure_of(administrator.audit)
    anothers = failure_of(lambda: administrator.audit("fabrikam"))
    nobodys = failure_of(lambda: administrator.audit("none-such"))

    assert denied == anothers == nobodys
    assert status(denied) == (grpc.StatusCode.PERMISSION_DENIED, "TENANT_FORBIDDEN")
    operator.audit()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CreateTokenRequest(identity=named("")), "identity.identity_id"),
        (pb.CreateTokenRequest(identity=named("a b")), "identity.identity_id"),
        (pb.CreateTokenRequest(identity=named("x" * 65)), "identity.identity_id"),
        (
            pb.CreateTokenRequest(identity=pb.Identity(identity_id="x", tenant_ids=["contoso"])),
            "identity.roles",
        ),
        (pb.CreateTokenRequest(identity=named("x", pb.ROLE_UNSPECIFIED)), "identity.roles[0]"),
        (
            pb.CreateTokenRequest(identity=pb.Identity(identity_id="x", roles=[pb.ROLE_READER])),
            "identity.tenant_ids",
        ),
        (
            pb.CreateTokenRequest(identity=named("x", tenants=("contoso", "Fabrikam"))),
            "identity.tenant_ids[1]",
        ),
        (
            pb.CreateTokenRequest(identity=named("x"), expire_time=Timestamp(seconds=1)),
            "expire_time",
        ),
    ],
    ids=itertools.count(),
)
def test_what_is_wrong_in_a_wish_is_named(
    stub: AccessServiceStub, request_: pb.CreateTokenRequest, field: str
) -> None:
    metadata = (("authorization", f"Bearer {TOKENS['operator']}"),)

    failed = failure_of(lambda: stub.CreateToken(request_, metadata=metadata, timeout=5))

    assert (failed.code, failed.metadata) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        {"field": field},
    )
