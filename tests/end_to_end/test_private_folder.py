"""What an engine keeps is readable by its own user alone: it tells who called whom."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from engines import a_question, running_engine
from server.storage.private import take_from_others

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(folder: Path) -> Iterator[str]:
    """List what somebody else may do something with."""
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_mode & OTHERS:
            yield f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}"


def test_the_data_folder_is_its_owner_s_alone_what_is_there_already_too(tmp_path: Path) -> None:
    data = tmp_path / "engine" / "data"
    settings = {"records_path": data / "records"}
    with running_engine(tmp_path / "engine", **settings) as engine:
        engine.ask(a_question("+390612345678"))
        new = list(open_to_others(data))
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

    with running_engine(tmp_path / "engine", **settings):
        again = list(open_to_others(data))

    assert (data / "archive.sqlite").exists()
    assert new == []
    assert again == []


def test_what_links_out_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("another's")
    outside.chmod(0o644)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link").symlink_to(outside)

    take_from_others(folder)

    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
