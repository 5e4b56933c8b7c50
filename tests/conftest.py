"""What holds for every test."""

import os

# Needs programs that `make test-sip` installs.
collect_ignore = [] if os.environ.get("TEST_SIP") else ["sip"]

# Tests start stores and engines while gRPC runs beside them; its hooks on fork would end some.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
