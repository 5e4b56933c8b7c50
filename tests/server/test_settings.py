"""Settings come from a file and the environment, and every mistake is told at once with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.reasons import Reason
from server.settings import FinalAction, Settings, described_settings
from server.settings.kinds import SuggestedEnding
from server.settings.loading import SettingsWrong, load_settings
from server.settings.page import settings_page
from server.transport.http.listener import Address

ROOT = Path(__file__).resolve().parents[2]


def mistakes(environment: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsWrong) as caught:
        load_settings(file, environment)
    return caught.value.mistakes


def a_file(folder: Path, text: str) -> Path:
    file = folder / "callgate.toml"
    file.write_text(text)
    return file


def test_without_file_and_environment_the_defaults_hold() -> None:
    assert load_settings(None, {"HOME": "/home/eve"}) == Settings()


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    file = a_file(tmp_path, 'deadline_ms = 200\nslice_seconds = 60\nlisten = "127.0.0.1:7"\n')

    settings = load_settings(file, {"CALLGATE_DEADLINE_MS": "300"})

    assert settings.deadline_ms == 300
    assert settings.slice_seconds == 60
    assert settings.listen == Address("127.0.0.1", 7)


def test_tables_and_lists_have_a_spelling_in_the_environment(tmp_path: Path) -> None:
    file = a_file(
        tmp_path,
        'default_locations = ["US", "it"]\n[suggestions]\nNUMBER_INVALID = "404/1"\n',
    )
    environment = {
        "CALLGATE_DEFAULT_LOCATIONS": "US,it",
        "CALLGATE_SUGGESTIONS": "NUMBER_INVALID=404/1",
    }

    assert load_settings(file, {}) == load_settings(None, environment)
    assert load_settings(file, {}).default_locations == ("US", "IT")
    assert load_settings(file, {}).suggestions == {Reason.NUMBER_INVALID: SuggestedEnding(404, 1)}


def test_all_mistakes_are_told_at_once_each_with_its_fix(tmp_path: Path) -> None:
    file = a_file(tmp_path, "slice_secnds = 60\ndrain_seconds = -1\n")
    environment = {
        "CALLGATE_DEADLINE_MS": "soon",
        "CALLGATE_RECORDS": "x",
        "CALLGATE_LISTEN": "0.0.0.0:50051",
        "CALLGATE_FINAL_ACTION": "redirect",
    }

    told = mistakes(environment, file)

    assert told == [
        f"{file}: slice_secnds is no setting; did you mean slice_seconds?",
        "CALLGATE_RECORDS is no setting; did you mean CALLGATE_RECORDS_PATH?",
        f"{file}: drain_seconds: -1 is not a whole number from 0 to 300",
        "CALLGATE_DEADLINE_MS: 'soon' is not a whole number from 10 to 60000",
        "listen: 0.0.0.0:50051 can be reached from other machines and there is no TLS "
        "(tls_certificate, tls_key); listen on 127.0.0.1, or set insecure_listen = true if "
        "something else keeps strangers out",
        'redirect_to: is needed with final_action = "redirect"; name an announcement',
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CALLGATE_LISTEN", "localhost"),
        ("CALLGATE_LISTEN", "127.0.0.1:65536"),
        ("CALLGATE_LISTEN", "engine.example:50051"),
        ("CALLGATE_INSECURE_LISTEN", "maybe"),
        ("CALLGATE_DEADLINE_MS", "9"),
        ("CALLGATE_DEADLINE_MS", "5e2"),
        ("CALLGATE_DATA_FOLDER", ""),
        ("CALLGATE_REDIS_URL", "localhost:6379"),
        ("CALLGATE_FINAL_ACTION", "hang up"),
        ("CALLGATE_DEFAULT_LOCATIONS", "USA"),
        ("CALLGATE_SUGGESTIONS", "NUMBER_INVALID=503/41"),
        ("CALLGATE_SUGGESTIONS", "NUMBER_INVALID=404/128"),
        ("CALLGATE_SUGGESTIONS", "NO_SUCH_REASON=404/1"),
        ("CALLGATE_SUGGESTIONS", "NUMBER_INVALID"),
        ("CALLGATE_REDIRECT_TO", "sip:\u00e9@example"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    (told,) = mistakes({variable: value})

    assert told.startswith(f"{variable}: ")


def test_a_secret_is_never_shown() -> None:
    told = mistakes(
        {
            "CALLGATE_RECORD_KEY": "hush\x01",
            "CALLGATE_REDIS_URL": "http://:hush@127.0.0.1",
        }
    )

    assert len(told) == 2
    assert "hush" not in "".join(told)


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_needs_no_leave(listen: str) -> None:
    assert str(load_settings(None, {"CALLGATE_LISTEN": listen}).listen) == listen


@pytest.mark.parametrize("variable", ["CALLGATE_LISTEN", "CALLGATE_HTTP_LISTEN"])
def test_any_other_address_needs_leave(variable: str) -> None:
    address = {variable: "[::]:50051"}

    assert len(mistakes(address)) == 1
    assert load_settings(None, {**address, "CALLGATE_INSECURE_LISTEN": "true"}).insecure_listen


def test_with_tls_and_identities_any_address_may_be_listened_on() -> None:
    everybody = {"CALLGATE_LISTEN": "[::]:50051"}
    tls = {"CALLGATE_TLS_CERTIFICATE": "server.crt", "CALLGATE_TLS_KEY": "server.key"}
    identities = {"CALLGATE_IDENTITIES": "identities.toml,archive"}

    (without_identities,) = mistakes(everybody | tls)
    (without_tls,) = mistakes(everybody | identities)
    settings = load_settings(None, everybody | tls | identities)

    assert "nobody is asked for an identity (identities)" in without_identities
    assert "there is no TLS (tls_certificate, tls_key)" in without_tls
    assert settings.identities == ("identities.toml", "archive")
    assert settings.tls_client_ca is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"CALLGATE_TLS_CERTIFICATE": "a.crt"}, "tls_certificate, tls_key: one is of no use"),
        ({"CALLGATE_TLS_KEY": "a.key"}, "tls_certificate, tls_key: one is of no use"),
        ({"CALLGATE_TLS_CLIENT_CA": "ca.crt"}, "tls_client_ca: needs tls_certificate"),
    ],
    ids=["no key", "no certificate", "no TLS"],
)
def test_half_of_tls_is_a_mistake(given: dict[str, str], told: str) -> None:
    (mistake,) = mistakes(given)

    assert mistake.startswith(told)


def test_the_command_line_s_own_variables_are_let_be() -> None:
    theirs = ("ADDRESS", "CA", "CERT", "KEY", "TOKEN")

    assert load_settings(None, {f"CALLGATE_{name}": "x" for name in theirs}) == Settings()


def test_a_file_that_cannot_be_read_is_a_mistake_like_others(tmp_path: Path) -> None:
    broken = a_file(tmp_path, "deadline_ms = = 3")

    assert str(broken) in mistakes({}, broken)[0]
    assert "absent.toml" in mistakes({}, tmp_path / "absent.toml")[0]


def test_a_redirection_names_where_to() -> None:
    settings = load_settings(
        None,
        {"CALLGATE_FINAL_ACTION": "redirect", "CALLGATE_REDIRECT_TO": "sip:no-credit@example"},
    )

    assert settings.final_action is FinalAction.REDIRECT


def test_the_page_of_the_settings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert written == settings_page(), "run: .venv/bin/python -m server settings > docs/settings.md"


def test_every_setting_says_what_it_means() -> None:
    for setting in described_settings():
        assert setting.about.endswith("."), setting.name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", "redis://:p@ss@10.0.0.1:6379"),
        ("REDIS_URL", "redis://user:pa/ss@redis:6379/0"),
        ("REDIS_URL", "rediss://:pa#ss@redis:6379"),
        ("REDIS_URL", "redis+sentinel://:pa?ss@a:1,b:2/main"),
        ("REDIS_URL", "redis://:100%@redis:6379"),
        ("ARCHIVE_URL", "postgresql://user:p@ss@db/callgate"),
    ],
)
def test_a_password_that_would_be_read_as_a_host_is_told_without_being_shown(
    variable: str, value: str
) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        load_settings(None, {f"CALLGATE_{variable}": value})

    (mistake,) = wrong.value.mistakes
    assert "write @ as %40" in mistake
    assert value not in mistake


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%40ss@10.0.0.1:6379",
        "redis://10.0.0.1:6379/0",
        "unix:///run/a@b.sock",
        "redis+cluster://user:pw@a:1,b:2",
    ],
)
def test_a_url_that_is_read_as_it_is_meant_is_taken(url: str) -> None:
    assert load_settings(None, {"CALLGATE_REDIS_URL": url}).redis_url == url
