"""A meeting played on the sample tenants: `python -m integrations.bridge`, with `make run` up.

The telephones are none, and a minute of talk passes in a second; the engine and the money are real.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from callgate import (
    CallRefused,
    Client,
    ClientOptions,
    Control,
    Credentials,
    FastClock,
    GetBalanceRequest,
    NoAnswer,
)
from callgate.command.words import money
from callgate.connection import DEFAULT_ADDRESS
from integrations.bridge.meeting import Entrance, Meeting
from integrations.bridge.telephones import Telephone, Telephones

TENANT, ORGANIZER, PIN = "contoso", "dan", "1234"
DUBAI, SEATTLE, PREMIUM = "+97143311111", "+12065550155", "+19005551234"
TOLL_FREE = {"contoso": "+18005550100", "fabrikam": "+39800555010"}
SPEED = 60.0


async def play(client: Client, control: Control) -> None:
    """Play the meeting, telling what happens."""
    telephones = Telephones()
    for number in (DUBAI, SEATTLE):
        telephones.add(Telephone(number))
    meeting = Meeting(
        control, telephones, tenant_id=TENANT, organizer_id=ORGANIZER, meeting_id="sample"
    )
    entrance = Entrance(control, {PIN: meeting})
    await tell_money(client, "before")

    try:
        await meeting.dial_out([SEATTLE, PREMIUM])
    except CallRefused as refused:
        print(f"Nobody's telephone rang: {refused}")
    await meeting.dial_out([SEATTLE, DUBAI])
    caller = Telephone("+14255550123", pin=PIN)
    arriving = asyncio.create_task(entrance.arrive(caller, TOLL_FREE[TENANT], caller.number))
    refused_caller = Telephone("+390612345678")
    await entrance.arrive(refused_caller, TOLL_FREE["fabrikam"], refused_caller.number)
    print(f"A toll-free caller of a tenant without money: {refused_caller.log[0]}")

    await asyncio.sleep(1.5)
    for leg in meeting.legs:
        print(
            f"In the meeting: {leg.number}, {leg.call.used_seconds} of {leg.call.granted_seconds} s"
        )
    await meeting.end()
    caller.put_down()
    await arriving
    await tell_money(client, "afterwards")


async def tell_money(client: Client, when: str) -> None:
    """Print what the tenant has."""
    balance = await client.get_balance(GetBalanceRequest(tenant_id=TENANT))
    print(f"{TENANT} {when}: {money(balance.available)} available, {money(balance.reserved)} held")


async def main(address: str) -> int:
    """Connect and play; return the exit status."""
    options = ClientOptions(
        gateway_id="sample-bridge",
        clock=FastClock(SPEED),
        credentials=Credentials.of_environment(),
    )
    try:
        async with (
            Client(address, options) as client,
            client.control(list(TOLL_FREE)) as control,
        ):
            await play(client, control)
    except NoAnswer as silence:
        print(f"No answer from {address}: {silence}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--address", default=DEFAULT_ADDRESS, help="where the engine listens")
    sys.exit(asyncio.run(main(reader.parse_args().address)))
