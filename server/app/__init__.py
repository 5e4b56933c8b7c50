"""The one place where the parts of the engine are built, joined, started and stopped.

`parts` says what an engine is made of, `building` makes it, `storing` opens what it stands on,
`duties` are what goes on beside questions, `services` are what it answers (one module each),
`serving` opens the port, `figures` the page of metrics, `running` joins all of these, and
`process` is the process around them. A new part is a module of its own here, and a line or two in
those that join.
"""

from server.app.engine import Engine
from server.app.process import serve
from server.app.running import running_engine

__all__ = ["Engine", "running_engine", "serve"]
