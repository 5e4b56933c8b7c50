"""Decision records hide what they are told to hide, lose grants before refusals, and count both."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from facts import NOW_MS, a_call, a_user, some_facts
from policy.admission import admit
from policy.decision import EmergencyGrant
from policy.reasons import Reason
from server.app.engine import record_key
from server.calls.decision_record import DecidedEmergency, DecisionRecord, wording
from server.ledger import Answer, Segment
from server.ledger.decision_context import call_context, pack
from server.observability.masks import Masks
from server.observability.records import Records

FACTS = some_facts(a_user("anna", "MCOEV", "MCOPSTN1", "MCOPSTNPP"))
MASKS = Masks(b"key", digits=4, accounts=False)
EMERGENCY = DecidedEmergency(
    NOW_MS, "contoso", "anna", "sbc-1", "abc", "+14255550123", EmergencyGrant("911", "US")
)


def decided(reason: Reason | None = None, call_id: str = "abc") -> DecisionRecord:
    call = a_call("+14255550123", calling_number="+14255550199")
    context = call_context(call, admit(call, FACTS, NOW_MS), FACTS)
    answer = Answer(
        decision_id="d" * 16,
        decide_time_ms=NOW_MS,
        segments=() if reason else (Segment(0, 0, 60, 0),),
        final=False,
        reason=reason,
        shortfall_micros=0,
        available_micros=None,
        pool_left_seconds=None,
        report_by_ms=0,
        expire_time_ms=0,
        context=pack(context),
    )
    return DecisionRecord(call, "sbc-1", call_id, 1, False, answer, context, False, 250)


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_tells_what_was_asked_and_answered(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "decisions"), MASKS, most=100)
    records.start()

    records.keep(decided())
    records.keep(decided(Reason.CREDITS_EXHAUSTED, "def"))
    records.keep(EMERGENCY)
    records.close()

    refusal, emergency, grant = written(tmp_path / "decisions")
    assert (grant["outcome"], grant["granted_seconds"]) == ("grant", 60)
    assert (refusal["reason"], refusal["call_id"]) == ("CREDITS_EXHAUSTED", "def")
    assert (emergency["outcome"], emergency["dial_as"]) == ("emergency", "911")


def test_numbers_are_hidden_but_can_be_joined() -> None:
    """I6: as configured, joined by a hash."""
    word = wording(decided(), MASKS)

    assert word["dialled_number"] == "+1425555****"
    assert word["calling_number"] == "+1425555****"
    assert word["dialled_number_hash"] == word["far_number_hash"]
    assert word["dialled_number_hash"] != word["calling_number_hash"]
    assert word["dialled_number_hash"] == wording(decided(), MASKS)["dialled_number_hash"]
    other_key = replace(MASKS, key=b"other")
    assert word["dialled_number_hash"] != wording(decided(), other_key)["dialled_number_hash"]


def test_accounts_are_hidden_where_that_is_set() -> None:
    """I6: names, too."""
    shown, hidden = wording(decided(), MASKS), wording(decided(), replace(MASKS, accounts=True))

    assert shown["payer"] == "anna"
    assert "anna" not in json.dumps(hidden)
    assert hidden["account_ids"] == [hidden["payer"]]
    assert "anna" not in json.dumps(wording(EMERGENCY, replace(MASKS, accounts=True)))


def test_short_numbers_are_hidden_whole_and_long_rubbish_is_cut() -> None:
    assert MASKS.number("112") == "***"
    assert replace(MASKS, digits=0).number("+390612345678") == "+390612345678"
    rubbish = EMERGENCY._replace(call_id="x" * 60_000, calling_number="1" * 60_000)
    assert len(json.dumps(wording(rubbish, MASKS))) < 2_000


def test_when_full_grants_are_dropped_first_and_all_that_is_dropped_is_counted(
    tmp_path: Path,
) -> None:
    """I5: slower than decisions: refusals are lost last, and the counters are right."""
    records = Records(str(tmp_path / "decisions"), MASKS, most=3)

    records.keep(decided(None, "grant"))
    records.keep(decided(Reason.NUMBER_INVALID, "first"))
    records.keep(decided(Reason.NUMBER_INVALID, "second"))
    records.keep(EMERGENCY)
    records.keep(decided(Reason.NUMBER_INVALID, "third"))
    records.start()
    records.close()

    assert [one["call_id"] for one in written(tmp_path / "decisions")] == ["second", "abc", "third"]
    assert (records.dropped_grants, records.dropped_refusals) == (1, 1)


def test_a_full_disk_loses_nothing_that_fits_the_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: what waited is written once there is room."""
    records = Records(str(tmp_path / "decisions"), MASKS, most=100)
    records._open()
    real_write, room = os.write, [10]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = real_write(file, data[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", write)
    records.keep(decided())
    with pytest.raises(OSError, match="No space left"):
        records._write_all()
    room[0] = 1_000_000
    records._write_all()

    (one,) = written(tmp_path / "decisions")
    assert one["outcome"] == "grant"


def test_however_much_waits_the_interpreter_is_let_go_after_a_few_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(str(tmp_path / "decisions"), MASKS, most=1_000)
    records._open()
    real_write, lines = os.write, list[int]()

    def write(file: int, data: bytes) -> int:
        lines.append(data.count(b"\n"))
        return real_write(file, data)

    monkeypatch.setattr(os, "write", write)
    for _ in range(500):
        records.keep(decided())
    records._write_all()

    assert sum(lines) == 500
    assert max(lines) <= 40


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "decisions"
    records = Records(str(path), MASKS, most=100)
    records._open()

    records.keep(decided(None, "before"))
    records._write_all()
    path.rename(tmp_path / "decisions.1")
    records.reopen()
    records.keep(decided(None, "after"))
    records._write_all()

    assert [one["call_id"] for one in written(path)] == ["after"]


def test_the_key_of_the_hashes_is_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "var"

    made = record_key("", folder)

    assert len(made) == 64
    assert record_key("", folder) == made
    # What is set may be of any length; what hashes take is not.
    assert record_key("secret" * 50, folder) == record_key("secret" * 50, folder)
    assert record_key("secret" * 50, folder) != record_key("secret", folder)
    assert Masks(record_key("secret" * 50, folder), digits=4, accounts=False).hash("+14255550123")
    assert (folder / "records.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in folder.iterdir()] == ["records.key"]


def test_a_record_that_cannot_be_told_is_counted_and_those_after_it_are_written(
    tmp_path: Path,
) -> None:
    records = Records(str(tmp_path / "decisions"), MASKS, most=100)
    timeless = decided(call_id="timeless")
    broken = timeless._replace(answer=timeless.answer._replace(decide_time_ms=2**62))

    records.keep(broken)
    records.start()
    records.keep(decided(call_id="after"))
    records.close()

    assert [each["call_id"] for each in written(tmp_path / "decisions")] == ["after"]
    assert records.failed_writes == 1


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\u2029"])
def test_what_turns_the_direction_of_writing_is_escaped(tmp_path: Path, sign: str) -> None:
    records = Records(str(tmp_path / "decisions"), MASKS, most=100)
    records.start()

    records.keep(EMERGENCY._replace(tenant_id=f"con{sign}toso"))
    records.close()

    assert sign not in (tmp_path / "decisions").read_text(encoding="utf-8")
    assert written(tmp_path / "decisions")[0]["tenant_id"] == f"con{sign}toso"


def test_records_that_take_long_to_word_are_written_in_smaller_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seconds = tmp_path / "decisions", itertools.count()
    written_before: list[int] = []

    def explain(_one: object, _masks: Masks) -> bytes:
        written_before.append(len(written(path)))
        return b""

    # By this clock each record takes longer than a piece may.
    monkeypatch.setattr("server.observability.records.perf_counter", lambda: next(seconds))
    records = Records(str(path), MASKS, most=100, explain=explain)
    records.start()

    for number in range(3):
        records.keep(decided(Reason.CREDITS_EXHAUSTED, f"call-{number}"))
    records.close()

    assert written_before == [0, 1, 2]
