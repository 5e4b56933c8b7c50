"""The path of a call does not grow unseen: Python frames from the bytes in to the bytes out."""

from __future__ import annotations

from pathlib import Path

from bench.frames import measure
from server.settings.loading import load_settings

MOST_FRAMES = {"AuthorizeCall": 104, "SettleCall": 124}
MOST_FILES = {"AuthorizeCall": 41, "SettleCall": 40}


async def test_a_usual_call_and_its_end_take_a_short_way(tmp_path: Path) -> None:
    settings = load_settings(
        None,
        {
            "CALLGATE_DATA_FOLDER": str(tmp_path / "data"),
            "CALLGATE_RECORDS_PATH": str(tmp_path / "records"),
            "CALLGATE_LISTEN": "127.0.0.1:0",
            "CALLGATE_RUN_KEEPER": "false",
        },
    )

    measured = await measure(settings)

    for name, files in measured.items():
        assert files.total() <= MOST_FRAMES[name], files.most_common()
        assert len(files) <= MOST_FILES[name], sorted(files)
