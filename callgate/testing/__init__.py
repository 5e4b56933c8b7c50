"""A real engine for your own tests: its clock moves when you say so, and things go wrong by name.

With pytest, ask for the fixture `engine`; elsewhere use `running_engine()`. `docs/harness.md` in
the repository tells the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callgate.testing.engine import Engine, Fault
    from callgate.testing.engines import EngineFailed, Nursery, running_engine
    from callgate.testing.recording import Recorded
    from callgate.testing.replaying import replay

__all__ = [
    "Engine",
    "EngineFailed",
    "Fault",
    "Nursery",
    "Recorded",
    "replay",
    "running_engine",
]

_HOMES = {
    "Engine": "engine",
    "Fault": "engine",
    "EngineFailed": "engines",
    "Nursery": "engines",
    "running_engine": "engines",
    "Recorded": "recording",
    "replay": "replaying",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'callgate.testing' has no attribute {name!r}")
    return getattr(import_module(f"callgate.testing.{_HOMES[name]}"), name)
