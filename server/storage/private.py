"""Folders whose content is for the engine's own user alone: telephone numbers, money, keys."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

# What a process that keeps such files takes away from their modes.
PRIVATE_UMASK = 0o077
FOLDER_MODE, FILE_MODE = 0o700, 0o600


def private_folder(folder: Path) -> Path:
    """Make a folder that is not there yet, for its owner alone. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return folder


def private_file(file: Path) -> None:
    """Make a file that is not there yet, for its owner alone. Raises OSError."""
    private_folder(file.parent)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))


def take_from_others(folder: Path) -> None:
    """Take a folder, and all that is in it, from everybody but its owner.

    What is another user's is left as it is, and links are not followed.
    """
    _take(folder)
    for inside, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _take(Path(inside, name))


def _take(path: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & PRIVATE_UMASK:
            path.chmod(stat.S_IMODE(mode) & ~PRIVATE_UMASK)
