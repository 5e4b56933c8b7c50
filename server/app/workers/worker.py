"""One of several processes behind one address, as its parent started it."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from server.app.background import go_on
from server.app.engine import Engine
from server.app.http_page import own_families
from server.app.log import log_to_stderr
from server.app.process import CANNOT_START, EXIT_CANNOT_START, serve_until_stopped
from server.app.workers.channel import Channel, Report, Shared
from server.services.health import ACCOUNTS_SERVICE, LEDGER_SERVICE
from server.settings import Settings

_REPORT_SECONDS = 1.0

_log = logging.getLogger("callgate")


def work(settings: Settings, number: int, *, channel: int, listener: int | None) -> int:
    """Serve as worker `number` until SIGTERM; the result is the exit status of the process.

    `channel` and `listener` are the descriptors that the parent left open for it.
    """
    log_to_stderr(who=f"worker {number}: ")
    shared = Shared(number, None if listener is None else socket.socket(fileno=listener))
    try:
        uvloop.run(_work(settings, shared, socket.socket(fileno=channel)))
    except CANNOT_START as error:
        _log.error("Cannot start: %s", error)
        return EXIT_CANNOT_START
    return 0


async def _work(settings: Settings, shared: Shared, end: socket.socket) -> None:
    channel = await Channel.open(end)

    async def talk(engine: Engine, stack: AsyncExitStack) -> None:
        duties = {
            "Reporting to the parent": partial(_report, channel, engine, shared),
            "Hearing of the others": partial(_hear, channel, engine, shared),
        }
        for name, duty in duties.items():
            stack.callback(asyncio.create_task(go_on(name, duty)).cancel)

    try:
        await serve_until_stopped(settings, shared, talk)
    finally:
        channel.close()


async def _report(channel: Channel, engine: Engine, shared: Shared) -> None:
    while True:
        all_open = not engine.opening.waiting
        channel.say(Report(engine.watch.up, all_open, own_families(engine, shared)))
        await asyncio.sleep(_REPORT_SECONDS)


async def _hear(channel: Channel, engine: Engine, shared: Shared) -> None:
    async for others in channel.others():
        shared.others = others
        engine.told.tell_of_others(LEDGER_SERVICE, serving=others.ledger_up)
        engine.told.tell_of_others(ACCOUNTS_SERVICE, serving=others.accounts_open)
