"""The pages tell of every metric that there is, and of no other."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.request import urlopen

from engines import running_engine, wait_until

DOCS = Path(__file__).parents[2] / "docs"
# In a table's first column: one or several names, with or without labels.
NAME = re.compile(r"`(callgate_[a-z0-9_]+)[`{]")


def told_of() -> set[str]:
    rows = [
        line.split("|")[1]
        for path in DOCS.glob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `callgate_")
    ]
    return {_plain(name) for row in rows for name in NAME.findall(row)}


def _plain(name: str) -> str:
    return name.removesuffix("_total")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _names(port: int) -> set[str]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        text = page.read().decode()
    names = {_plain(line.split()[2]) for line in text.splitlines() if line.startswith("# TYPE ")}
    return {name for name in names if name.startswith("callgate_") and "_created" not in name}


def test_the_pages_of_the_metrics_are_those_of_metrics(tmp_path: Path) -> None:
    ports = [_free_port(), _free_port()]
    addresses = {
        "http_listen": f"127.0.0.1:{ports[0]}",
        "keeper_http_listen": f"127.0.0.1:{ports[1]}",
    }
    served: set[str] = set()
    with running_engine(tmp_path, payments="rehearsal", **addresses):

        def both() -> bool:
            try:
                served.update(_names(ports[0]) | _names(ports[1]))
            except OSError:
                return False
            return True

        wait_until(both, seconds=15)

    assert served == told_of()
