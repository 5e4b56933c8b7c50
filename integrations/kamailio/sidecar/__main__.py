"""The sidecar as a program: `python -m integrations.kamailio.sidecar SETTINGS.toml`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from functools import partial
from pathlib import Path

from callgate import Client, ClientOptions, Control, Credentials, FailClosed, FailOpen
from callgate.v1.authorization_pb2 import GetEmergencyNumbersRequest, GetEmergencyNumbersResponse
from integrations.kamailio.sidecar.calls import Calls
from integrations.kamailio.sidecar.evapi import Evapi
from integrations.kamailio.sidecar.settings import Settings, SettingsWrong, read_settings

EXIT_WRONG_SETTINGS = 2
EMERGENCY_FILE, LOST_FILE = "emergency.json", "lost-events.jsonl"
# The table is looked at again this often.
TABLE_SECONDS = 300.0
_RETRY_SECONDS = 2.0

_log = logging.getLogger("callgate.sidecar")


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with Client(settings.engine, _options(settings)) as client:
        tenant_ids = sorted(set(settings.tenants.values()))
        async with client.control(tenant_ids) as control:
            await _serve(settings, client, control, stop=stop)


async def _serve(
    settings: Settings, client: Client, control: Control, *, stop: asyncio.Event
) -> None:
    evapi = Evapi(settings.evapi)
    calls = Calls(settings, control, evapi.send)
    evapi.on_message = calls.hear
    evapi.on_open = partial(_hear_lost, settings.state_folder / LOST_FILE, calls)
    tasks = [asyncio.create_task(evapi.run()), asyncio.create_task(_keep_table(settings, client))]
    try:
        await stop.wait()
    finally:
        await calls.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _options(settings: Settings) -> ClientOptions:
    first = FailOpen(settings.fail_open_seconds) if settings.fail_open_seconds else FailClosed()
    return ClientOptions(
        gateway_id=settings.gateway_id,
        deadline_seconds=settings.deadline_seconds,
        credentials=Credentials.of_environment(),
        first_question=first,
        state_folder=settings.state_folder / "client",
    )


def _hear_lost(path: Path, calls: Calls) -> None:
    """Hear what the proxy kept while nobody listened."""
    taken = path.with_suffix(".taken")
    with contextlib.suppress(FileNotFoundError):
        path.replace(taken)
    with contextlib.suppress(FileNotFoundError):
        for line in taken.read_text(encoding="utf-8").splitlines():
            calls.hear(json.loads(line))
        taken.unlink()


async def _keep_table(settings: Settings, client: Client) -> None:
    """Keep the emergency numbers where the proxy finds them, also while we are away."""
    path = settings.state_folder / EMERGENCY_FILE
    while True:
        try:
            told = await client.get_emergency_numbers(GetEmergencyNumbersRequest())
        except Exception as error:  # noqa: BLE001 -- Whatever it is, the last table stays.
            _log.warning("The emergency numbers could not be read: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        table = _table(told, settings.location)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(table), encoding="utf-8")
        new.replace(path)
        await asyncio.sleep(TABLE_SECONDS)


def _table(told: GetEmergencyNumbersResponse, location: str) -> dict[str, str]:
    """List what is dialled in any country and what to route, those of our own country first.

    What services are routed as is known of our own country alone.
    """
    table: dict[str, str] = {}
    for one in sorted(told.locations, key=lambda one: one.location == location.upper()):
        numbers = {number: number for number in one.numbers}
        if one.location == location.upper():
            table |= dict(one.dial_masks) | numbers
        else:
            masks = {mask: dial for mask, dial in one.dial_masks.items() if mask.isdecimal()}
            table = masks | table | numbers
    return table


def main() -> int:
    """Read the settings and serve; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(sys.argv) != 2:
        sys.stderr.write("Give the file of the settings.\n")
        return EXIT_WRONG_SETTINGS
    try:
        settings = read_settings(Path(sys.argv[1]))
    except SettingsWrong as wrong:
        sys.stderr.write(f"{wrong}\n")
        return EXIT_WRONG_SETTINGS
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
