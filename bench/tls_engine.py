"""The engine behind TLS, with the certificates of the tests: `python -m bench.tls_engine`.

The engine has no setting for TLS yet; this puts its certificates where the port is bound.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from server.app import serve, serving
from server.settings import load_settings
from server.transport import TlsFiles, TransportName, TransportOptions, TransportServer, make_server

CERTIFICATES = Path("tests/support/certificates")


def make_tls_server(transport: TransportName, options: TransportOptions) -> TransportServer:
    """Make a server whose plain ports are secure ones."""
    made = make_server(transport, options)
    files = TlsFiles(
        certificate_file=CERTIFICATES / "server.crt", key_file=CERTIFICATES / "server.key"
    )
    # mypy: a method of this one object is put aside on purpose.
    made.add_insecure_port = lambda address: made.add_secure_port(address, files)  # type: ignore[method-assign] # See above.
    return made


if __name__ == "__main__":
    # The one seam between the engine and its transport.
    serving.make_server = make_tls_server  # type: ignore[attr-defined] # Nothing else is to replace it.
    sys.exit(serve(load_settings(None, os.environ)))
