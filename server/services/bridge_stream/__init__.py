"""Bridges' streams: all questions of one gateway in, answers and pushes out. See docs/calls.md.

standing.py    which stream of a gateway is the newest, here and in other processes
stream.py      one stream: hello, reading, writing, ending
questions.py   each question through the same verb as a unary call
outbox.py      what waits to be written: bounded, put together into messages
follow.py      what the journal tells a stream: debits, deadlines, estimates, orders
running.py     the calls a stream is told about
"""

from __future__ import annotations

from server.services.bridge_stream.newest import Standings
from server.services.bridge_stream.pushes import Following
from server.services.bridge_stream.stream import Control

__all__ = ["Control", "Following", "Standings"]
