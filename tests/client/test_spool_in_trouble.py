"""The spool on a full disk, beside reports that nobody takes, and for who is not let in."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from typing_extensions import override

from callgate.client.reports import Reports
from callgate.client.spool import Spool
from callgate.errors import CallgateError, Forbidden, Mistake, NoAnswer, SpoolTrouble
from callgate.v1 import authorization_pb2 as pb
from gateway_desk import TellingLine, a_call
from serving import eventually

OLD_TOKEN = Forbidden("an old token", code="UNAUTHENTICATED")


class TroubledLine(TellingLine):
    """An engine that answers about some calls with an error."""

    def __init__(self) -> None:
        super().__init__()
        self.troubles: dict[str, CallgateError] = {}
        self.settled: list[str] = []

    @override
    async def settle_call(
        self, question: pb.SettleCallRequest, *, deadline_seconds: float | None = None
    ) -> pb.SettleCallResponse:
        trouble = self.troubles.get(question.call_id) or self.troubles.get(question.tenant_id)
        if trouble is not None:
            self.asked.append(question)
            raise trouble
        answer = await super().settle_call(question)
        self.settled.append(f"{question.call_id}/{question.sequence}")
        return answer


@contextmanager
def full_disk(path: Path, room_bytes: int = 10) -> Iterator[None]:
    """Let a file grow by so many bytes and no more, as on a disk that is full then."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def a_settlement(
    call_id: str, tenant_id: str = "contoso", sequence: int = 2
) -> pb.SettleCallRequest:
    return pb.SettleCallRequest(
        tenant_id=tenant_id, gateway_id="bridge-1", call_id=call_id, sequence=sequence
    )


async def keep(reports: Reports, line: TellingLine, *settlements: pb.SettleCallRequest) -> None:
    line.is_away = True
    for settlement in settlements:
        await reports.settle(line, settlement, a_call(call_id=settlement.call_id))
    line.is_away = False
    line.asked.clear()


@asynccontextmanager
async def delivering(reports: Reports, line: TellingLine) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(reports.keep_delivering(line))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def line() -> TroubledLine:
    return TroubledLine()


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    reports = Reports(tmp_path)
    yield reports
    reports.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callgate.client.reports.FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("callgate.client.reports.LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("callgate.client.reports.STUCK_PAUSE_SECONDS", 0.01)


def test_a_disk_that_takes_a_part_of_a_record_is_told_and_the_record_written_later(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"one")
    with full_disk(tmp_path / "spool"), pytest.raises(SpoolTrouble, match="cannot be written"):
        spool.append(b"two")
    in_memory = len(spool)
    spool.append(b"three")
    spool.close()

    again = Spool(tmp_path / "spool")

    assert in_memory == 2
    assert [record for _, record in again.records()] == [b"one", b"two", b"three"]
    again.close()


def test_a_full_disk_leaves_no_torn_line_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"one")
    before = (tmp_path / "spool").read_bytes()

    with full_disk(tmp_path / "spool"), pytest.raises(SpoolTrouble):
        spool.append(b"two")

    assert (tmp_path / "spool").read_bytes() == before
    spool.close()


def test_a_spool_with_a_torn_line_is_opened_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.append(b"one")
    spool.append(b"two")
    spool.close()
    path.write_bytes(path.read_bytes()[:-4])

    with full_disk(path, room_bytes=0):
        again = Spool(path)

    assert [record for _, record in again.records()] == [b"one"]
    again.close()


def test_a_record_that_lacks_the_end_of_its_line_alone_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.append(b"one")
    spool.close()
    path.write_bytes(path.read_bytes()[:-1])

    with full_disk(path, room_bytes=0):
        first = Spool(path)
    first.append(b"two")
    first.close()
    second = Spool(path)

    assert [record for _, record in second.records()] == [b"one", b"two"]
    second.close()


async def test_on_a_full_disk_reports_are_delivered_and_it_is_said_once(
    tmp_path: Path, line: TroubledLine, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(reports, line, *[a_settlement(f"call-{number}") for number in range(4)])
    caplog.clear()

    with full_disk(tmp_path / "spool", room_bytes=0):
        async with delivering(reports, line) as task:
            await eventually(lambda: not reports.waiting)
            assert not task.done()

    assert line.settled == [f"call-{number}/2" for number in range(4)]
    assert caplog.text.count("cannot be written") == 1
    assert (tmp_path / "spool").stat().st_size == 0


@pytest.mark.parametrize(
    "trouble",
    [
        NoAnswer("a record is damaged", code="DATA_LOSS"),
        NoAnswer("a bug", code="INTERNAL"),
        NoAnswer("facts are behind", code="UNAVAILABLE", is_retryable=True),
        Forbidden("not this caller's tenant", code="PERMISSION_DENIED"),
    ],
)
async def test_a_report_that_nobody_takes_holds_up_only_what_follows_it(
    tmp_path: Path,
    line: TroubledLine,
    reports: Reports,
    trouble: CallgateError,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = a_settlement("call-1", "fabrikam")
    await keep(reports, line, first, a_settlement("call-1", "fabrikam", 3), a_settlement("call-2"))
    line.troubles["fabrikam"] = trouble
    caplog.clear()

    async with delivering(reports, line):
        await eventually(lambda: line.settled and len(line.asked) > 5)
        stuck = list(line.settled)
        told = caplog.text.count(str(trouble))
        del line.troubles["fabrikam"]
        await eventually(lambda: not reports.waiting)

    assert stuck == ["call-2/2"]
    assert told == 1
    assert line.settled[1:] == ["call-1/2", "call-1/3"]
    assert not (tmp_path / "rejected").exists()


async def test_an_identity_that_is_not_accepted_any_more_rejects_nothing(
    tmp_path: Path, line: TroubledLine, reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(reports, line, *[a_settlement(f"call-{number}") for number in range(3)])
    line.troubles["contoso"] = OLD_TOKEN

    async with delivering(reports, line):
        await eventually(lambda: len(line.asked) > 3)
        waiting = reports.waiting
        line.troubles.clear()
        await eventually(lambda: not reports.waiting)

    assert waiting == 3
    assert line.settled == ["call-0/2", "call-1/2", "call-2/2"]
    assert caplog.text.count("an old token") == 1
    assert not (tmp_path / "rejected").exists()


async def test_the_end_of_a_call_is_kept_where_the_identity_is_not_accepted(
    line: TroubledLine, reports: Reports
) -> None:
    line.troubles["contoso"] = OLD_TOKEN

    settled = await reports.settle(line, a_settlement("call-1"), a_call(call_id="call-1"))

    assert settled is None
    assert reports.waiting == 1


async def test_a_report_that_cannot_be_put_aside_stays_and_holds_nothing_up(
    tmp_path: Path, line: TroubledLine, reports: Reports
) -> None:
    await keep(reports, line, a_settlement("call-1"), a_settlement("call-2"))
    line.troubles["call-1"] = Mistake("no such thing", code="INVALID_ARGUMENT")
    busy = Spool(tmp_path / "rejected")

    async with delivering(reports, line):
        await eventually(lambda: line.settled)
        waiting = reports.waiting
        busy.close()
        await eventually(lambda: not reports.waiting)

    assert waiting == 1
    assert (tmp_path / "rejected").stat().st_size > 0


async def test_bytes_that_are_no_report_are_put_aside(tmp_path: Path, line: TroubledLine) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"\xff\xff\xff")
    spool.close()
    reports = Reports(tmp_path)
    await keep(reports, line, a_settlement("call-1"))

    async with delivering(reports, line):
        await eventually(lambda: not reports.waiting)

    assert line.settled == ["call-1/2"]
    reports.close()
