"""What `python -m server info` tells before anything is started."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from server.app import info
from server.settings import Settings, Transport


def rows(settings: Settings) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in info.info(settings).splitlines())


def test_it_tells_what_would_serve_and_from_what() -> None:
    told = rows(Settings(transport=Transport.GRPCIO, workers=3))

    assert told["transport"].startswith("grpcio (usable here: ")
    assert told["store"].startswith("embedded, /")
    assert (told["workers"], told["grpcio"]) == ("3", version("grpcio"))


def test_passwords_are_left_out() -> None:
    settings = Settings(
        redis_url="rediss://user:secret@redis.example:6380/0",
        archive_url="postgresql://user:secret@sql.example/callgate",
    )

    told = info.info(settings)

    assert "secret" not in told
    assert rows(settings)["store"] == "rediss at redis.example"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("'--enable-optimizations' '--with-lto'", "optimised by PGO and LTO"),
        ("'--enable-optimizations'", "optimised by PGO"),
        ("'--enable-shared'", "its build names neither"),
    ],
)
def test_the_build_of_the_interpreter_is_told(
    monkeypatch: pytest.MonkeyPatch, flags: str, told: str
) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", lambda _name: flags)

    assert info.build().startswith(told)
