"""The command line `callgate`. It speaks gRPC and needs the extra `callgate[cli]`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command line and end the process with its exit status."""
    if find_spec("click") is None:
        sys.stderr.write(
            "callgate: the command line needs click, which an extra brings:"
            " pip install 'callgate[cli]'\n"
        )
        sys.exit(2)
    # grpc's own remarks (a connection going away) would stand between our answers.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from callgate.command.commands import callgate

    callgate(prog_name="callgate")
