"""What a setting may be: how its text or TOML value is read, and how an operator is told."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar

from typing_extensions import override

from policy.reasons import Reason
from server.transport.http.listener import Address

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_COUNTRY = re.compile(r"[A-Z]{2}")
_HOST = re.compile(r"[0-9a-z:._-]{1,253}")
_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]{1,255}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_-]{1,32}){1,4}/")
_ENDING = re.compile(r"(4\d\d)/(\d{1,3})")
_HIGHEST_PORT = 65_535
_HIGHEST_CAUSE = 127
_UNESCAPED = re.compile(r"[@/?#\[\]\s]|%(?![0-9A-Fa-f]{2})")
_PRINTABLE = re.compile(r"[ -~]*")
_REDIS_SCHEMES = (
    *("redis://", "redis+sentinel://", "redis+cluster://"),
    *("rediss://", "rediss+sentinel://", "rediss+cluster://", "unix://"),
)
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


class Misread(ValueError):
    """A value that is nearly right; the text says what to do, and shows no secret."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of setting. `read` takes a TOML value or a variable's text, or raises ValueError."""

    takes: str
    read: Callable[[object], T]
    # Never shown, not even when it is wrong.
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket to listen on."""

    path: str

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: always."""
        return True

    def shown(self, _port: int) -> str:
        """Write it as a caller needs it."""
        return str(self)

    @override
    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class SuggestedEnding:
    """What a refusal suggests to a gateway: a SIP status, and the cause of its Reason header."""

    sip_status: int
    q850_cause: int


def flag() -> Kind[bool]:
    """Read yes or no."""

    def read(value: object) -> bool:
        word = str(value).lower()
        if word not in _YES | _NO:
            raise ValueError(value)
        return word in _YES

    return Kind("true or false", read)


def whole(least: int, most: int) -> Kind[int]:
    """Read a whole number within bounds."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(value)
        number = int(value)
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return Kind(f"a whole number from {least} to {most}", read)


def text(most: int) -> Kind[str]:
    """Read printable ASCII of at most so many characters."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > most or not _PRINTABLE.fullmatch(value):
            raise ValueError(value)
        return value

    return Kind(f"at most {most} characters of printable ASCII", read)


def secret(most: int) -> Kind[str]:
    """Read a text that is never shown."""
    return dataclasses.replace(text(most), is_secret=True)


def path() -> Kind[Path]:
    """Read a path, relative to the folder the engine is started in."""

    def read(value: object) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(value)
        return Path(value)

    return Kind("a path, absolute or from the folder the engine is started in", read)


def path_or_none() -> Kind[Path | None]:
    """Read a path, or nothing."""
    some = path()
    return Kind(
        f'{some.takes}; "" for none', lambda value: None if value == "" else some.read(value)
    )


def identity_sources() -> Kind[tuple[str, ...]]:
    """Read where identities come from: a list, or one text with commas."""

    def read(value: object) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list):
            raise ValueError(value)
        return tuple(str(path().read(word)) for word in words if word != "")

    return Kind('files and "archive", ["identities.toml", "archive"] or with commas', read)


def choice(words: type[E]) -> Kind[E]:
    """Read one of a few words."""
    return Kind(" or ".join(f'"{word}"' for word in words), lambda value: words(str(value)))


def address() -> Kind[Address]:
    """Read HOST:PORT."""
    return Kind('ADDRESS:PORT, such as "127.0.0.1:50051"; port 0 is any free one', _address)


def address_or_socket() -> Kind[Address | UnixAddress]:
    """Read HOST:PORT, or the path of a unix socket."""

    def read(value: object) -> Address | UnixAddress:
        text, is_unix = str(value), str(value).startswith("unix:")
        if is_unix and len(text) > len("unix:") and _PRINTABLE.fullmatch(text):
            return UnixAddress(text.removeprefix("unix:"))
        return _address(value)

    return Kind(
        'ADDRESS:PORT, such as "127.0.0.1:50051" (port 0 is any free one), or "unix:PATH"', read
    )


def address_or_none() -> Kind[Address | None]:
    """Read HOST:PORT, or nothing."""
    return Kind(
        'ADDRESS:PORT, or "" for none', lambda value: None if value == "" else _address(value)
    )


def hosts() -> Kind[tuple[str, ...]]:
    """Read names or addresses of hosts: a list, or one text with commas."""

    def read(value: object) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list):
            raise ValueError(value)
        found = tuple(str(word).strip().lower() for word in words if word != "")
        if not all(_HOST.fullmatch(host) for host in found):
            raise ValueError(value)
        return found

    return Kind('names or addresses of hosts, ["billing.internal", "10.0.0.7"]', read)


def origins() -> Kind[tuple[str, ...]]:
    """Origins of web pages, as browsers write them."""

    def read(value: object) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list):
            raise ValueError(value)
        found = tuple(str(word).strip().lower() for word in words if word != "")
        if not all(_ORIGIN.fullmatch(origin) for origin in found):
            raise ValueError(value)
        return found

    return Kind('origins of web pages, ["https://desk.example.com"]', read)


def path_prefix() -> Kind[str]:
    """Where paths begin that hold something more; empty for none."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not (value == "" or _PREFIX.fullmatch(value)):
            raise ValueError(value)
        return value

    return Kind('a path that begins and ends with "/", such as "/key/"', read)


def countries() -> Kind[tuple[str, ...]]:
    """Read countries: a list, or one text with commas."""

    def read(value: object) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list):
            raise ValueError(value)
        codes = tuple(str(word).strip().upper() for word in words if word != "")
        if not all(_COUNTRY.fullmatch(code) for code in codes):
            raise ValueError(value)
        return codes

    return Kind('countries (ISO 3166-1 alpha-2), ["US", "IT"] or "US,IT"', read)


def archive_url() -> Kind[str]:
    """Read the URL of a database, or nothing. It may hold a password, so it is never shown."""

    def read(value: object) -> str:
        schemes = ("sqlite:///", "postgresql://", "postgres://")
        if value != "" and not str(value).startswith(schemes):
            raise ValueError(value)
        _require_escapes(str(value))
        return str(value)

    return Kind("a URL of sqlite:/// or postgresql://", read, is_secret=True)


def redis_url() -> Kind[str]:
    """Read where Redis is, or nothing."""

    def read(value: object) -> str:
        if not isinstance(value, str) or (value and not value.startswith(_REDIS_SCHEMES)):
            raise ValueError(value)
        _require_escapes(value)
        return value

    # It may hold a password.
    return Kind(
        "a URL of redis://, rediss:// or unix://, of redis+sentinel://host:port,host:port/name or "
        "redis+cluster://host:port,host:port, or of rediss+ these",
        read,
        is_secret=True,
    )


def suggestions() -> Kind[Mapping[Reason, SuggestedEnding]]:
    """Read SIP status and Q.850 cause by reason."""

    def read(value: object) -> Mapping[Reason, SuggestedEnding]:
        if isinstance(value, str):
            value = dict(item.split("=", 1) for item in value.split(",") if item)
        if not isinstance(value, dict):
            raise ValueError(value)
        return {_reason(name): _ending(item) for name, item in value.items()}

    return Kind(
        'reasons and 4xx/cause, a table with CREDITS_EXHAUSTED = "402/21", '
        'or one text "CREDITS_EXHAUSTED=402/21,NUMBER_INVALID=484/28"',
        read,
    )


def _require_escapes(url: str) -> None:
    """Refuse a password that would be read as a host, a path or a database. Raises `Misread`."""
    _, _, rest = url.partition("://")
    who, at, _ = rest.rpartition("@")
    if at and ":" in who and _UNESCAPED.search(who):
        raise Misread(
            "the name or password before the last @ holds a character that means something else in "
            "a URL; write @ as %40, / as %2F, ? as %3F, # as %23, % as %25"
        )


def _address(value: object) -> Address:
    host, colon, port = str(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and colon and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise ValueError(value)
    if host != "localhost":
        ip_address(host)
    return Address(host, int(port))


def _reason(name: object) -> Reason:
    try:
        return Reason[str(name).strip()]
    except KeyError:
        raise ValueError(name) from None


def _ending(value: object) -> SuggestedEnding:
    match = _ENDING.fullmatch(str(value).strip())
    if match is None or not 1 <= int(match[2]) <= _HIGHEST_CAUSE:
        raise ValueError(value)
    return SuggestedEnding(int(match[1]), int(match[2]))
