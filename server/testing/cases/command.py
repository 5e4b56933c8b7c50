"""The command that plays cases and says whether the rules are as their operator thinks."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import grpc.aio

from server.facts.files.problems import InvalidFacts
from server.settings import Settings
from server.storage.redis import EmbeddedServerError
from server.testing.cases.files import Case, read_cases
from server.testing.cases.offline import open_stage
from server.testing.cases.online import Outside
from server.testing.cases.report import coverage_lines, failure_lines, summary, write_junit
from server.testing.cases.runner import Played, Worlds, play

EXIT_AS_EXPECTED = 0
EXIT_NOT_AS_EXPECTED = 1
EXIT_UNREADABLE = 2


def rehearse(settings: Settings, paths: Sequence[Path], *, address: str, junit: Path | None) -> int:
    """Play the cases of files, and say what is not as expected; return the status to exit with.

    Without an `address` they are asked of the files of the settings.
    """
    try:
        cases = read_cases(paths)
        played = asyncio.run(_play(settings, cases, address))
        if junit is not None:
            write_junit(junit, played)
    except (InvalidFacts, EmbeddedServerError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNREADABLE
    for one in played:
        for line in failure_lines(one):
            sys.stdout.write(f"{line}\n")
    for line in (summary(played), *coverage_lines(played)):
        sys.stdout.write(f"{line}\n")
    failed = any(one.failed for one in played) or all(one.skipped for one in played)
    return EXIT_NOT_AS_EXPECTED if failed else EXIT_AS_EXPECTED


async def _play(settings: Settings, cases: Sequence[Case], address: str) -> list[Played]:
    if address:
        async with grpc.aio.insecure_channel(address) as channel:
            return await _play_all(cases, Outside(channel))
    async with open_stage(settings) as stage:
        return await _play_all(cases, stage)


async def _play_all(cases: Sequence[Case], worlds: Worlds) -> list[Played]:
    """Play, with a bar where somebody looks on."""
    played: list[Played] = []
    with click.progressbar(
        length=len(cases), label="Cases", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        async for one in play(cases, worlds, prefix=f"case-{secrets.token_hex(6)}-"):
            played.append(one)
            bar.update(1)
    return played
