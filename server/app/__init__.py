"""Composition: the parts of engine and keeper are built, joined, started and stopped here.

`engine` says what an engine is made of and makes it, `calls` and `services` what it answers,
`background` what goes on beside questions, `serving` opens the port, `http_page` the page of
metrics, `running` joins all of these, and `process` is the process around them.
"""

from server.app.engine import Engine
from server.app.process import serve
from server.app.running import running_engine

__all__ = ["Engine", "running_engine", "serve"]
