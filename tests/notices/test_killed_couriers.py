"""Couriers that are killed at any moment, with SIGKILL: what the mail server then has."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from couriers import BILLING, PostRoom, post_room, sqlite_file
from engines import ROOT, wait_until
from mail_sinks import MailSink, sink_in_a_thread
from server.notices.deliveries import Channel
from server.notices.preferences import NoticeSettings
from server.notices.sender import LONGEST_PAUSE_MS

NOTICES = 40
KILLS = 3
# A courier rests where a mail server takes nothing, as one on a busy machine may for a moment.
LONGEST_SECONDS = 2 * LONGEST_PAUSE_MS[Channel.MAIL] / 1_000


@contextmanager
def killed_courier(url: str, sink: MailSink) -> Iterator[None]:
    """Let a courier work while the block lasts, and kill it then."""
    program = ROOT / "tests" / "support" / "lone_courier.py"
    courier = subprocess.Popen(
        [sys.executable, str(program), url, str(sink.port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield
    finally:
        courier.kill()
        courier.wait()


def has_more(sink: MailSink, before: int) -> bool:
    return len(sink.mails) > before


async def filled(url: str) -> PostRoom:
    room = await post_room(url)
    room.clock.time_ms = time.time_ns() // 1_000_000
    await room.settle_on(NoticeSettings(recipients=(BILLING,)))
    for number in range(NOTICES):
        await room.happen(key=f"crossing-{number}")
    return room


def test_no_mail_comes_twice_and_none_is_lost_unseen(tmp_path: Path) -> None:
    url, chance = sqlite_file(tmp_path), random.Random(12)
    room = asyncio.run(filled(url))
    with sink_in_a_thread() as sink:
        for _ in range(KILLS):
            before = len(sink.mails)
            with killed_courier(url, sink):
                wait_until(partial(has_more, sink, before))
                time.sleep(chance.uniform(0, 0.15))
        with killed_courier(url, sink):
            wait_until(
                lambda: not {"waiting", "claimed"} & set(asyncio.run(room.states())),
                LONGEST_SECONDS,
            )
        rows = asyncio.run(room.rows())

    names = Counter(str(mail["Message-ID"]).partition(".")[0].strip(" <") for mail in sink.mails)
    states = {row["notice_id"]: row["state"] for row in rows}
    assert len(states) == NOTICES
    assert set(names.values()) == {1}
    # Whoever was killed just then, the last one too, left a mail of which nobody knows; it is not
    # sent again.
    unknown = {name for name, state in states.items() if state != "sent"}
    assert len(unknown) <= KILLS + 1
    assert {states[name] for name in unknown} <= {"sending"}
    assert names.keys() | unknown == states.keys()
