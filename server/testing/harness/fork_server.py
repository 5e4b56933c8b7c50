"""A process that has imported everything and forks an engine for each order it reads.

An order is a line of JSON on the standard input: `folder`, where the engine keeps its data and its
`log`; `settings`, by their environment variables; and, if wanted, `scenario`. The answer is a line
on the standard output: `{"pid": ...}`. When the input ends, the nursery ends, and its engines too.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from server.facts.catalogue import keep_catalogue
from server.settings import Settings
from server.settings.loading import SettingsWrong, load_settings
from server.storage.redis.embedded import die_with_parent
from server.testing.harness.running import serve_harness
from server.transport import TransportOptions, make_server

EXIT_WRONG_SETTINGS = 2


def raise_engines() -> int:
    """Fork engines until the standard input ends; the result is the exit status of the process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Read once for all engines, as long as nobody changes it.
    keep_catalogue(Settings().catalogue_folder)
    make_server("auto", TransportOptions())
    # What is here already stays in every engine; the collector need not touch, and copy, it.
    gc.freeze()
    for line in sys.stdin:
        pid = _fork(json.loads(line))
        sys.stdout.write(json.dumps({"pid": pid}) + "\n")
        sys.stdout.flush()
    return 0


def _fork(order: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            die_with_parent(parent)()
            status = _live(order)
        finally:
            os._exit(status)
    return pid


def _live(order: dict[str, Any]) -> int:
    """Be an engine."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(Path(order["folder"], "log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    for name in [name for name in os.environ if name.startswith("CALLGATE_")]:
        del os.environ[name]
    os.environ.update(order["settings"])
    try:
        settings = load_settings(None, os.environ)
    except SettingsWrong as wrong:
        sys.stderr.write(f"{wrong}\n")
        return EXIT_WRONG_SETTINGS
    scenario = order.get("scenario")
    return serve_harness(settings, Path(scenario) if scenario else None)
