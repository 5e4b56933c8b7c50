"""The spool: what it keeps through crashes, and reports delivered from it once and in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callgate.client.reports import Reports
from callgate.client.spool import Spool
from callgate.errors import CallUnknown, Mistake, SpoolTrouble
from callgate.v1 import authorization_pb2 as pb
from gateway_desk import TellingLine, a_call
from serving import eventually


def a_settlement(number: int) -> pb.SettleCallRequest:
    settlement = pb.SettleCallRequest(
        tenant_id="contoso", gateway_id="bridge-1", call_id=f"call-{number}", sequence=2
    )
    settlement.used_duration.seconds = 10 + number
    return settlement


async def kept(line: TellingLine, folder: Path, *settlements: pb.SettleCallRequest) -> None:
    """Let a gateway keep settlements that nobody answers, and end."""
    line.is_away = True
    reports = Reports(folder)
    for settlement in settlements:
        await reports.settle(line, settlement, a_call(call_id=settlement.call_id))
    reports.close()
    line.is_away = False
    line.asked.clear()


async def delivered(line: TellingLine, folder: Path) -> None:
    """Let a new process deliver what there is."""
    reports = Reports(folder)
    delivering = asyncio.create_task(reports.keep_delivering(line))
    await eventually(lambda: not reports.waiting)
    delivering.cancel()
    reports.close()


def test_records_outlive_the_process_in_their_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for record in (b"one", b"two", b"three"):
        spool.append(record)
    spool.delivered(1)
    spool.close()

    again = Spool(tmp_path / "spool")

    assert len(again) == 2
    assert again.oldest() == (2, b"two")
    again.close()


def test_a_torn_line_is_left_out_and_what_follows_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    spool.append(b"whole")
    spool.append(b"torn")
    spool.close()
    path.write_bytes(path.read_bytes()[:-4])

    after = Spool(path)
    after.append(b"later")
    after.close()
    again = Spool(path)
    first = again.oldest()
    again.delivered(1)

    assert first == (1, b"whole")
    assert again.oldest() == (2, b"later")
    again.close()


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\n", b"n 1 2 %%%\n", b"d x\n", b"n\n", b"n 1 5 QUJD\n"]
)
def test_noise_in_the_file_is_no_record(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "spool"
    path.write_bytes(noise)

    spool = Spool(path)

    assert len(spool) == 0
    spool.close()


def test_when_all_is_delivered_the_file_begins_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"one")
    spool.append(b"two")

    spool.delivered(1)
    spool.delivered(2)

    assert (tmp_path / "spool").stat().st_size == 0
    spool.close()


def test_a_full_spool_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_records=1)
    spool.append(b"one")

    with pytest.raises(SpoolTrouble, match="limit"):
        spool.append(b"two")

    spool.close()


def test_two_processes_do_not_share_a_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")

    with pytest.raises(SpoolTrouble, match="in use"):
        Spool(tmp_path / "spool")

    spool.close()


async def test_reports_are_delivered_by_the_next_process_once_and_in_order(tmp_path: Path) -> None:
    line = TellingLine()
    await kept(line, tmp_path, *[a_settlement(number) for number in range(5)])

    await delivered(line, tmp_path)
    first = [one.call_id for one in line.asked]
    await delivered(line, tmp_path)

    assert first == [f"call-{number}" for number in range(5)]
    assert len(line.asked) == 5


async def test_a_report_of_an_unknown_call_announces_it_with_its_use_and_settles_it_then(
    tmp_path: Path,
) -> None:
    line = TellingLine()
    await kept(line, tmp_path, a_settlement(1))
    line.tell(pb.SettleCallRequest, CallUnknown("unknown", code="NOT_FOUND"))

    await delivered(line, tmp_path)

    announced, settled = line.asked[1:]
    assert announced.running_call.used_duration.seconds == 11
    assert (announced.sequence, settled.sequence) == (3, 4)
    assert settled.used_duration.seconds == 11


async def test_a_report_that_the_engine_will_not_have_is_kept_aside_and_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = TellingLine()
    await kept(line, tmp_path, a_settlement(1), a_settlement(2))
    line.tell(pb.SettleCallRequest, Mistake("no such tenant", code="PERMISSION_DENIED"))

    await delivered(line, tmp_path)

    assert [one.call_id for one in line.asked] == ["call-1", "call-2"]
    assert "call-1" in caplog.text
    rejected = Spool(tmp_path / "rejected")
    assert len(rejected) == 1
    rejected.close()


async def test_what_is_refused_when_announced_is_kept_aside(tmp_path: Path) -> None:
    line = TellingLine()
    await kept(line, tmp_path, a_settlement(1))
    line.tell(pb.SettleCallRequest, CallUnknown("unknown", code="NOT_FOUND"))
    refusal = pb.Refusal(reason=pb.REASON_LICENCE_MISSING)
    line.tell(pb.AuthorizeCallRequest, pb.AuthorizeCallResponse(refusal=refusal))

    await delivered(line, tmp_path)

    assert (tmp_path / "rejected").stat().st_size > 0
