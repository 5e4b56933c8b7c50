"""What a client shows, and to whom: a token goes over TLS, or stays on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from callgate.credentials import Credentials, stays_here

TOKEN = "cg_secret"


def test_a_token_is_never_shown() -> None:
    shown = Credentials(token=TOKEN)

    assert TOKEN not in repr(shown)
    assert shown.metadata == (("authorization", f"Bearer {TOKEN}"),)


def test_nothing_is_sent_without_a_token() -> None:
    assert Credentials().metadata == ()


@pytest.mark.parametrize("address", ["10.0.0.7:50051", "engine.example:50051", "dns:///engine:1"])
def test_a_token_is_not_sent_in_plain_text_to_another_machine(address: str) -> None:
    with pytest.raises(ValueError, match="over TLS only"):
        Credentials(token=TOKEN).open_channel(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:50051", "localhost:50051", "[::1]:50051", "unix:/run/callgate.sock"),
        *("ipv4:127.0.0.1:50051", "ipv6:%5B::1%5D:50051", "dns:///localhost:50051"),
    ],
)
def test_addresses_of_this_machine_are_known(address: str) -> None:
    assert stays_here(address)
    Credentials(token=TOKEN).open_channel(address).close()


@pytest.mark.parametrize("token", ["cg_a b", "cg_a\n", "cg_ä"])
def test_what_cannot_be_a_token_is_told_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="holds what no token does") as wrong:
        Credentials(token=token)

    assert token not in str(wrong.value)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="without each other"):
        Credentials(certificate=Path("client.crt"))


def test_the_environment_is_read_like_the_options() -> None:
    environment = {
        "CALLGATE_CA": "ca.crt",
        "CALLGATE_CERT": "me.crt",
        "CALLGATE_KEY": "me.key",
        "CALLGATE_TOKEN": TOKEN,
    }

    assert Credentials.of_environment(environment) == Credentials(
        ca=Path("ca.crt"), certificate=Path("me.crt"), key=Path("me.key"), token=TOKEN
    )
    assert Credentials.of_environment({"CALLGATE_TOKEN": ""}) == Credentials()
