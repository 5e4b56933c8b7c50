"""What an engine is made with: plain parts, in whose place a harness has its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.app.parts import Engine
from server.store import Store, StoreClock
from server.transport import TransportServer


def _as_it_is(_: Engine, transport: TransportServer) -> TransportServer:
    return transport


def _nothing_more(_: Engine, __: TransportServer) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Making:
    """How stores and clocks are made, what stands around the transport, what else is served.

    `clock` is given how far clocks may differ, in seconds. `more_services` registers services and
    returns their full names.
    """

    store: Callable[[str], Store] = Store
    clock: Callable[[Store, int], StoreClock] = StoreClock
    around: Callable[[Engine, TransportServer], TransportServer] = _as_it_is
    more_services: Callable[[Engine, TransportServer], list[str]] = _nothing_more


PLAIN = Making()
