"""The directory over gRPC: changed at one engine, decided by at another, told to running calls."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from callgate.v1 import authorization_pb2
from callgate.v1 import directory_pb2 as pb
from callgate.v1.directory_pb2_grpc import DirectoryServiceStub
from engines import ROOT, Engine, a_question, failure_of, running_engine, wait_until

ITALY = "+390612345678"
SAMPLE = ROOT / "data" / "directory"
CSV, TOML = pb.DIRECTORY_FORMAT_CSV, pb.DIRECTORY_FORMAT_TOML
CHUNK_BYTES = 32 * 1024
# `TEST_USERS=100000` shows what so many cost, as `docs/directory.md` tells it.
USERS = int(os.environ.get("TEST_USERS", "10000"))
_KB_PER_MB = 1_024


class Directory:
    """The DirectoryService of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._channel = grpc.insecure_channel(engine.address)
        self.stub = DirectoryServiceStub(self._channel)

    def import_file(self, content: bytes, **options: Any) -> list[pb.ImportDirectoryResponse]:
        def messages() -> Iterator[pb.ImportDirectoryRequest]:
            yield pb.ImportDirectoryRequest(options=pb.ImportOptions(**options))
            for start in range(0, len(content), CHUNK_BYTES):
                yield pb.ImportDirectoryRequest(chunk=content[start : start + CHUNK_BYTES])

        return list(self.stub.ImportDirectory(messages()))

    def export(self, tenant_id: str, wanted: pb.DirectoryFormat.ValueType) -> bytes:
        request = pb.ExportDirectoryRequest(tenant_id=tenant_id, format=wanted)
        return b"".join(each.chunk for each in self.stub.ExportDirectory(request))

    def update(self, user: pb.User, *paths: str) -> pb.User:
        mask = FieldMask(paths=paths)
        return self.stub.UpdateUser(pb.UpdateUserRequest(user=user, update_mask=mask)).user


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("first")
    with running_engine(folder, directory_source="archive") as engine:
        directory = Directory(engine)
        for name in ("contoso", "fabrikam"):
            content = (SAMPLE / f"{name}.toml").read_bytes()
            directory.import_file(content, format=TOML, file_name=f"{name}.toml")
        wait_until(lambda: answered(engine, "gina", "fabrikam"))
        yield engine


@pytest.fixture(scope="module")
def second(first: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Another engine on the same store and archive."""
    shared = {
        "redis_url": f"unix://{first.store.absolute()}",
        "archive_url": f"sqlite:///{first.folder.absolute()}/data/archive.sqlite",
        "directory_source": "archive",
        "run_keeper": "false",
    }
    with running_engine(tmp_path_factory.mktemp("second"), **shared) as engine:
        yield engine


def answered(engine: Engine, user_id: str, tenant_id: str = "contoso") -> str:
    try:
        answer = engine.ask(a_question(ITALY, user_id=user_id, tenant_id=tenant_id, dry_run=True))
    except grpc.RpcError:
        return ""
    refused = answer.HasField("refusal")
    return authorization_pb2.Reason.Name(answer.refusal.reason) if refused else "granted"


def a_user(user_id: str, *licences: str, **fields: Any) -> pb.User:
    return pb.User(
        tenant_id="contoso", user_id=user_id, usage_location="US", licences=licences, **fields
    )


def create(directory: Directory, user_id: str) -> None:
    user = a_user(user_id, "MCOEV", "MCOPSTN1", "MCOPSTNPP")
    directory.stub.CreateUser(pb.CreateUserRequest(user=user))


TAKEN: dict[str, tuple[Callable[[Directory, str], object], str]] = {
    "licence": (
        lambda directory, user_id: directory.update(a_user(user_id, "MCOEV"), "licences"),
        "REASON_LICENCE_MISSING",
    ),
    "frozen": (
        lambda directory, user_id: directory.update(a_user(user_id, frozen=True), "frozen"),
        "REASON_ACCOUNT_FROZEN",
    ),
    "deleted": (
        lambda directory, user_id: directory.stub.DeleteUser(
            pb.DeleteUserRequest(tenant_id="contoso", user_id=user_id)
        ),
        "REASON_USER_UNKNOWN",
    ),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken_from_a_user_ends_calls_and_denies_new_ones_in_every_process(
    first: Engine, second: Engine, what: str
) -> None:
    """D5, H5: changed at one engine; at another the running call ends and the next is denied."""
    take, reason = TAKEN[what]
    directory, user_id = Directory(first), f"user-{what}"
    create(directory, user_id)
    with Bridge(second) as bridge:
        call_id = bridge.place_call(user_id)

        take(directory, user_id)
        denied = answered(second, user_id)
        ordered = bridge.ended(call_id)

    # It may have to say that it is behind, but grants nothing by what it knew.
    assert denied in {reason, ""}
    assert ordered == reason
    assert {answered(first, user_id), answered(second, user_id)} == {reason}


def test_a_page_token_is_good_for_its_own_list_only(first: Engine) -> None:
    stub = Directory(first).stub
    page = stub.ListUsers(pb.ListUsersRequest(tenant_id="contoso", page_size=2))
    assert [user.user_id for user in page.users] == ["adele", "bruno"]

    more = pb.ListUsersRequest(tenant_id="contoso", page_size=2, page_token=page.next_page_token)
    elsewhere = pb.ListUsersRequest(tenant_id="fabrikam", page_token=page.next_page_token)
    otherwise = pb.ListUsersRequest(
        tenant_id="contoso", licence="MCOEV", page_token=page.next_page_token
    )

    assert [user.user_id for user in stub.ListUsers(more).users] == ["chiara", "dan"]
    for wrong in (elsewhere, otherwise, pb.ListUsersRequest(tenant_id="contoso", page_token="x")):
        failed = failure_of(partial(stub.ListUsers, wrong))
        assert failed.metadata == {"field": "page_token"}


def test_users_are_found_by_licence(first: Engine) -> None:
    stub = Directory(first).stub

    found = stub.ListUsers(pb.ListUsersRequest(tenant_id="contoso", licence="mcopstn_payg_1"))

    assert [user.user_id for user in found.users] == ["eve"]


def test_an_unknown_tenant_is_not_told_from_a_forbidden_one_by_the_directory(
    first: Engine,
) -> None:
    """J1: one text for both."""
    stub = Directory(first).stub

    failed = failure_of(lambda: stub.ListUsers(pb.ListUsersRequest(tenant_id="nobody")))

    assert (failed.code, failed.reason) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "TENANT_FORBIDDEN",
    )


def test_an_engine_starts_with_what_the_archive_holds(first: Engine, second: Engine) -> None:
    create(Directory(first), "remembered")

    second.stop()
    second.start()

    assert answered(second, "remembered") == "granted"


def test_files_are_listed_and_looked_up_and_changed_by_nobody_but_their_editor(
    tmp_path: Path,
) -> None:
    with running_engine(tmp_path / "engine") as engine:
        directory = Directory(engine)

        tenants = directory.stub.ListTenants(pb.ListTenantsRequest(page_size=3)).tenants
        number = directory.stub.GetServiceNumber(
            pb.GetServiceNumberRequest(tenant_id="contoso", number="+18005550100")
        ).service_number
        failed = failure_of(lambda: directory.update(a_user("adele", frozen=True), "frozen"))
        unread = failure_of(lambda: directory.import_file(b"", tenant_id="contoso", format=CSV))

        assert [each.tenant_id for each in tenants] == ["adatum", "contoso", "fabrikam"]
        assert (number.service, number.toll_free) == (pb.SERVICE_KIND_BRIDGE, True)
        assert directory.export("contoso", CSV).startswith(b"user_id,usage_location,licences")
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "DIRECTORY_IN_FILES",
        )
        assert unread.reason == "DIRECTORY_IN_FILES"


def test_the_command_line_looks_before_it_takes_and_takes_only_when_told(
    first: Engine, tmp_path: Path
) -> None:
    create(Directory(first), "zoe")
    file = tmp_path / "users.csv"
    file.write_text("user_id,licences\nzoe,MCOEV\n")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("user_id,licences\nzoe,MCOEV\nyan,MCOEVE\n")

    looked = callgate(first, "import", str(file), "--tenant", "contoso", "--dry-run")
    refused = callgate(first, "import", str(file), "--tenant", "contoso", typed="n\n")
    before = callgate(first, "users", "show", "--tenant", "contoso", "zoe")
    taken = callgate(first, "import", str(file), "--tenant", "contoso", "--yes")
    after = callgate(first, "users", "show", "--tenant", "contoso", "zoe")
    mistaken = callgate(first, "import", str(wrong), "--tenant", "contoso")

    assert "~ users/zoe  licences  loses MCOPSTN1, MCOPSTNPP" in looked.stdout
    assert "1 would lose something" in looked.stdout
    assert "Import it?" in refused.stderr
    assert "MCOEV MCOPSTN1 MCOPSTNPP" in before.stdout
    assert taken.returncode == 0
    assert "MCOPSTN1" not in after.stdout
    assert mistaken.returncode == 2
    assert "wrong.csv:3: users.yan.usage_location: is missing" in mistaken.stderr


def callgate(engine: Engine, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    program = "import sys; from callgate.command import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        env=os.environ | {"CALLGATE_ADDRESS": engine.address},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def crowd(first: Engine) -> Directory:
    """A directory with a tenant that is to have many users."""
    directory = Directory(first)
    tenant = pb.Tenant(
        tenant_id="crowd",
        country="US",
        currency_code="USD",
        funding_model=pb.FUNDING_MODEL_POST_PAID,
    )
    directory.stub.CreateTenant(pb.CreateTenantRequest(tenant=tenant))
    return directory


def crowd_lines() -> list[bytes]:
    return [b"user_id,usage_location,licences,number"] + [
        f"user-{n:06d}@crowd.example,US,MCOEV MCOPSTN1 MCOPSTNPP,+1425{5_000_000 + n}".encode()
        for n in range(USERS)
    ]


def import_crowd(crowd: Directory, lines: list[bytes]) -> list[pb.ImportDirectoryResponse]:
    content = b"\n".join(lines)
    return crowd.import_file(content, tenant_id="crowd", format=CSV, file_name="users.csv")


def test_a_mistake_in_a_late_line_leaves_everything_as_it_was(crowd: Directory) -> None:
    lines = crowd_lines()
    lines[USERS - 2] = lines[USERS - 2].replace(b"MCOEV", b"MCOEVE")

    failed = failure_of(lambda: import_crowd(crowd, lines))

    assert failed.reason == "FILE_INVALID"
    assert failed.text.startswith(f"users.csv:{USERS - 1}: users.")
    assert "'MCOEVE' is no licence of skus.csv" in failed.text
    assert crowd.export("crowd", CSV).count(b"\n") == 1


def test_a_crowd_of_users_is_imported_whole_and_decided_by(
    crowd: Directory, first: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints what it took; the machine is whatever it is, so no time is asserted."""
    last = f"user-{USERS - 1:06d}@crowd.example"
    before, started = memory_mb(first), time.monotonic()

    told = import_crowd(crowd, crowd_lines())

    seconds = time.monotonic() - started
    wait_until(lambda: answered(first, last, "crowd") == "granted", seconds=100)
    in_force = time.monotonic() - started - seconds
    with capsys.disabled():
        print(  # noqa: T201 -- The figures are what one runs it for.
            f"\n{USERS:,} users: imported in {seconds:.1f} s, in force {in_force:.1f} s later; "
            f"engine {before:.0f} MB before, {memory_mb(first):.0f} MB after"
        )
    assert told[-1].result.created_count == USERS
    assert crowd.export("crowd", CSV).count(b"\n") == 1 + USERS


def memory_mb(engine: Engine) -> float:
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / _KB_PER_MB


class Bridge:
    """A gateway with one stream: it places calls, and notes which it is told to end."""

    def __init__(self, engine: Engine) -> None:
        hello = authorization_pb2.ControlHello(gateway_id="sbc-1", tenant_ids=["contoso"])
        self._questions: queue.Queue[authorization_pb2.ControlCallsRequest | None] = queue.Queue()
        self._questions.put(authorization_pb2.ControlCallsRequest(hello=hello))
        self._items: list[authorization_pb2.ControlItem] = []
        self._stream = engine.stub.ControlCalls(iter(self._questions.get, None))
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._questions.put(None)
        self._stream.cancel()
        self._reader.join()

    def place_call(self, user_id: str) -> str:
        """Have a call granted; return its id."""
        call = a_question("+14255550123", user_id=user_id)
        asked = authorization_pb2.ControlQuestion(item_id=1, authorize_call=call)
        self._questions.put(authorization_pb2.ControlCallsRequest(questions=[asked]))
        wait_until(lambda: any(item.item_id == 1 for item in self._items))
        (answer,) = (item for item in self._items if item.item_id == 1)
        assert answer.authorize_call.HasField("grant"), answer
        return call.call_id

    def ended(self, call_id: str) -> str:
        """Wait until a call is to end; say why."""
        wait_until(lambda: self._orders(call_id), seconds=5)
        return authorization_pb2.Reason.Name(self._orders(call_id)[0].reason)

    def _orders(self, call_id: str) -> list[authorization_pb2.EndOrder]:
        ends = (item.end for item in self._items if item.HasField("end"))
        return [end for end in ends if end.call_id == call_id]

    def _read(self) -> None:
        with contextlib.suppress(grpc.RpcError):  # It ends by being cancelled.
            for message in self._stream:
                self._items += message.items
