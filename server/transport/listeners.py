"""Addresses become listening sockets: TCP, IPv4 and IPv6, and unix sockets."""

import contextlib
import socket
from pathlib import Path
from typing import Any

BACKLOG = 1024


class AddressUnusable(RuntimeError):
    """An address cannot be listened on; the text says which and why."""


def bind(address: str, *, reuse_port: bool) -> list[socket.socket]:
    """Bind the sockets of *address*, as gRPC writes it: `host:port`, `[v6]:port`, `unix:path`.

    A name with several addresses gets one socket each, on the same port. Port 0 takes a free one.
    Raises AddressUnusable.
    """
    try:
        if address.startswith("unix:"):
            return [_bind_unix(unix_path(address))]
        return _bind_tcp(*_host_and_port(address), reuse_port=reuse_port)
    except (OSError, ValueError) as error:
        raise AddressUnusable(f"cannot listen on {address}: {error}") from error


def unix_path(address: str) -> Path:
    """Return the path in `unix:relative`, `unix:/absolute` or `unix:///absolute`."""
    return Path(address.removeprefix("unix:").removeprefix("//"))


def _host_and_port(address: str) -> tuple[str, int]:
    host, _colon, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _bind_tcp(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        for family, name in _resolve(host, port):
            listener = socket.socket(family, socket.SOCK_STREAM)
            undo.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, name[0] != "::")
            listener.bind((name[0], port, *name[2:]))
            port = listener.getsockname()[1]
            listeners.append(listener)
        undo.pop_all()
    return listeners


def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, name) for family, _type, _protocol, _canonical, name in found]


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_if_stale(path)
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    return listener


def _remove_if_stale(path: Path) -> None:
    """Remove a socket that a dead server left; one that answers stays, and binding fails."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
