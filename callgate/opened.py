"""Where a client may be used: at an address that is one, and in the process that opened it."""

from __future__ import annotations

import os
import re

from callgate.errors import AddressWrong, ClientMisused

NOT_OPEN = "the client is not open: use it inside `with Client(address) as client:`"
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
# Names that gRPC resolves in its own way, for whoever wants them.
_SCHEMES = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
_MOST_PORT = 65_535


def check_address(address: str) -> None:
    """Refuse what no engine can listen at. Raises `AddressWrong`."""
    if address.startswith(_SCHEMES):
        return
    found = _HOST_PORT.fullmatch(address)
    if found is not None and 0 < int(found[2]) <= _MOST_PORT:
        return
    raise AddressWrong(
        f"{address!r} is no address of an engine{_guess(address)}: give host:port, such as "
        "127.0.0.1:50051, or unix:/path"
    )


def _guess(address: str) -> str:
    if "://" in address:
        return " but a URL"
    if "/" in address:
        return ", there is a slash in it"
    return ", it has no port" if ":" not in address.strip("[]") else ""


class OwnProcess:
    """The process in which something was opened: threads and sockets do not survive a fork."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Refuse a forked child. Raises `ClientMisused`."""
        if not self.is_here:
            raise ClientMisused(
                f"the client was opened by process {self._pid}, before this one ({os.getpid()}) "
                "was forked: open one in each process, after the fork"
            )
