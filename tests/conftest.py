"""What holds for every test."""

import os

# Tests start stores and engines while gRPC runs beside them; its hooks on fork would end some.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
