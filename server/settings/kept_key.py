"""Keys that are set by the operator, or made once and kept in a file."""

from __future__ import annotations

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from server.storage.private import FILE_MODE, private_folder


def kept_key(configured: str, data_folder: Path, name: str) -> bytes:
    """Return the key that is set, else the one kept in the file of that name, made at first use.

    64 bytes, whatever is set.

    Raises OSError where the folder cannot be written.
    """
    if configured:
        return blake2b(configured.encode()).digest()
    file = data_folder / name
    try:
        return file.read_bytes()
    except FileNotFoundError:
        pass
    private_folder(data_folder)
    key = secrets.token_hex(32).encode()
    mine = file.with_name(f"{name}.{os.getpid()}")
    handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(handle, "wb") as writer:
        writer.write(key)
    # Of several engines that start at once, the first to link decides; the others read its key.
    try:
        os.link(mine, file)
    except FileExistsError:
        key = file.read_bytes()
    finally:
        mine.unlink()
    return key
