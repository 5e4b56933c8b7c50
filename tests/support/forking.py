"""A process that has imported the engine, and forks `python -m server` for each order it reads.

An order is a line of JSON on the standard input: `words`, what is typed behind the command;
`environment`; `log`, which standard output and error go to; `status`, the file that gets the exit
status once the child has ended. The answer is the child's process id. When the input ends this
process does, and its children with it. Started by `forks`, with the root of the tree as argument.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

SIGNALS = {signal.SIGCHLD}
_statuses: dict[int, Path] = {}


def main() -> None:
    """Fork until the input ends; returns in each child, as if it had just been started."""
    sys.path[0] = sys.argv[1]
    import_engine()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        order = json.loads(line)
        # A child that ends at once is only reaped when it is known where to write that.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            _become(order, parent)
            return
        _statuses[pid] = Path(order["status"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    os._exit(0)


def import_engine() -> None:
    """Import what an engine imports at its start, a keeper, and the doctor."""
    from server.app import doctor, keeper, process  # noqa: F401 -- For what comes with them.


def _become(order: dict[str, Any], parent: int) -> None:
    """Be a process as a terminal would have started it."""
    from server.storage.redis.embedded import die_with_parent

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.setpgid(0, 0)
    die_with_parent(parent)()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["python -m server", *order["words"]]


def _reap(*_: object) -> None:
    """Write down the status of each child that has ended: as a whole, or not yet."""
    for pid in list(_statuses):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            path = _statuses.pop(pid)
            half = path.with_suffix(".half")
            half.write_text(str(os.waitstatus_to_exitcode(status)), encoding="utf-8")
            half.rename(path)


if __name__ == "__main__":
    main()
    from server.__main__ import main as be_the_engine

    be_the_engine()
