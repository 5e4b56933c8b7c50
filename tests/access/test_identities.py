"""Identities: found by what is shown, read from a file whose mistakes are all told."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from identities import TOKENS, identity
from server.access.authenticator import Authenticator, TokensFrom, end_ms
from server.access.errors import IdentityUnknown, RoleMissing
from server.access.identities import Identities, Identity, KnownToken, digest_of, new_token
from server.access.identity_file import read_identities
from server.access.in_use import IdentitiesInUse, Source, file_source
from server.access.principal import Principal
from server.access.roles import OPERATING, REPORTING, Role
from server.facts.files.problems import InvalidFacts
from server.storage.sql.errors import ArchiveUnavailable

CERTIFICATE = Path(__file__).parents[1] / "support" / "certificates" / "client.crt"
# As openssl tells it: Oct 29 17:55:49 2126 GMT.
CERTIFICATE_END_MS = 4_948_970_149_000
NOW_MS = 1_800_000_000_000
TOKEN = TOKENS["bridge"]
BRIDGE = Identity(
    "bridge",
    frozenset({Role.BRIDGE}),
    frozenset({"contoso"}),
    ("sbc-1.example", "sbc-2.example"),
    (KnownToken(digest_of(TOKEN), NOW_MS + 1_000),),
)
OTHER = Identity("other", frozenset({Role.READER}), None, ("reader.example",))


class Context:
    """What the door looks at of an RPC."""

    def __init__(
        self, shown: str | None = None, *names: str, peer: str = "ipv4:10.0.0.7:40000"
    ) -> None:
        self.shown = shown
        self._names = names
        self._peer = peer

    def peer(self) -> str:
        return self._peer

    def peer_identities(self) -> tuple[bytes, ...]:
        return tuple(name.encode() for name in self._names)

    def auth_context(self) -> dict[str, tuple[bytes, ...]]:
        return {"x509_pem_cert": (CERTIFICATE.read_bytes(),)} if self._names else {}


def a_door(
    tokens_from: TokensFrom = TokensFrom.ANYWHERE,
    *,
    now_ms: int = NOW_MS,
    by_certificate: bool = True,
) -> Authenticator:
    known = Identities([BRIDGE, OTHER])
    return Authenticator(
        identities=lambda: known,
        now_ms=lambda: now_ms,
        header=lambda context, _: cast("Any", context).shown,
        tokens_from=tokens_from,
        by_certificate=by_certificate,
    )


def known(door: Authenticator, context: Context) -> str | None:
    access = door.known(cast("Any", context))
    return None if access is None else access.identity_id


def test_a_token_has_256_random_bits() -> None:
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(len(token) == len("cg_") + 43 for token in tokens)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_says_who_asks(scheme: str) -> None:
    assert known(a_door(), Context(f"{scheme} {TOKEN}")) == "bridge"


def test_a_token_is_good_until_its_last_millisecond() -> None:
    shown = Context(f"Bearer {TOKEN}")

    assert known(a_door(now_ms=NOW_MS + 999), shown) == "bridge"
    assert known(a_door(now_ms=NOW_MS + 1_000), shown) is None


def test_a_certificate_says_who_asks_where_no_token_is_shown() -> None:
    door = a_door()

    assert known(door, Context(None, "sbc-2.example")) == "bridge"
    assert known(door, Context(None, "sbc-2.example", "unknown.example")) == "bridge"
    assert known(door, Context(None, "unknown.example")) is None
    assert known(door, Context(None)) is None
    assert known(door, Context("Bearer cg_wrong", "sbc-2.example")) is None


def test_a_certificate_is_good_until_its_end_however_old_its_connection() -> None:
    shown = Context(None, "sbc-1.example")

    assert end_ms(CERTIFICATE.read_bytes()) == CERTIFICATE_END_MS
    assert known(a_door(now_ms=CERTIFICATE_END_MS - 1), shown) == "bridge"
    assert known(a_door(now_ms=CERTIFICATE_END_MS), shown) is None


def test_a_certificate_that_names_two_identities_names_none() -> None:
    assert known(a_door(), Context(None, "sbc-1.example", "reader.example")) is None


def test_names_that_no_authority_of_ours_has_signed_are_nobody() -> None:
    assert known(a_door(by_certificate=False), Context(None, "sbc-1.example")) is None


@pytest.mark.parametrize(
    ("peer", "who"),
    [
        ("ipv4:127.0.0.1:40000", "bridge"),
        ("ipv6:%5B::1%5D:40000", "bridge"),
        ("unix:", "bridge"),
        ("ipv4:10.0.0.7:40000", None),
        ("ipv6:%5Bfe80::1%25eth0%5D:40000", None),
    ],
)
def test_without_tls_a_token_is_taken_from_this_machine_alone(peer: str, who: str | None) -> None:
    door = a_door(TokensFrom.THIS_MACHINE)

    assert known(door, Context(f"Bearer {TOKEN}", peer=peer)) == who


def test_the_door_tells_a_stranger_from_one_with_another_role() -> None:
    door = a_door()
    bridge = cast("Any", Context(f"Bearer {TOKEN}"))

    assert door.admit(bridge, REPORTING) == Principal(
        "bridge", frozenset({Role.BRIDGE}), frozenset({"contoso"}), NOW_MS + 1_000
    )
    with pytest.raises(RoleMissing):
        door.admit(bridge, OPERATING)
    with pytest.raises(IdentityUnknown):
        door.admit(cast("Any", Context()), OPERATING)


# --- The file ---------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> list[Identity]:
    path = tmp_path / "identities.toml"
    path.write_text(text, encoding="utf-8")
    return read_identities(path)


def test_a_file_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    text = (
        identity("bridge", "bridge", tenants='["contoso"]', certificate_names='["sbc.example"]')
        + "expire_time = 2027-01-15T08:00:00Z\n"
        + identity("boss", "operator", "reader", tenants='"all"')
    )

    assert read(tmp_path, text) == [
        Identity(
            "bridge",
            frozenset({Role.BRIDGE}),
            frozenset({"contoso"}),
            ("sbc.example",),
            (KnownToken(digest_of(TOKEN), 1_800_000_000_000),),
        ),
        Identity("boss", frozenset({Role.OPERATOR, Role.READER}), None),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[identities", "is not TOML"),
        ("[people]\n", "people: is not a table here"),
        ("[identities.'a b']\nroles=['bridge']\ntenants='all'\n", "is no name"),
        ("[identities.a]\ntenants = 'all'\n", ":1: identities.a.roles: is missing"),
        (
            "[identities.a]\nroles = ['king']\ntenants = 'all'\n",
            ":2: identities.a.roles: is ['king']",
        ),
        ("[identities.a]\nroles = []\ntenants = 'all'\n", ":2: identities.a.roles: is []"),
        ("[identities.a]\nroles = ['bridge']\n", "identities.a.tenants: is missing"),
        (
            "[identities.a]\nroles = ['bridge']\ntenants = 'al'\n",
            ":3: identities.a.tenants: is 'al'; give \"all\"",
        ),
        ("[identities.a]\nroles = ['bridge']\ntenants = []\n", ":3: identities.a.tenants: is []"),
        (
            "[identities.a]\nroles = ['bridge']\ntenants = 'all'\n"
            "[[identities.a.tokens]]\nsha256 = 'cg_itself'\n",
            "identities.a.tokens.0.sha256: is 'cg_itself'; give 64 hexadecimal digits",
        ),
        (
            "[identities.a]\nroles = ['bridge']\ntenants = 'all'\n[[identities.a.tokens]]\n"
            f"sha256 = '{digest_of('x')}'\nexpire_time = 2027-01-15T08:00:00\n",
            "has no offset",
        ),
        (
            "[identities.a]\nroles = ['bridge']\ntenants = 'all'\ncertificate_names = ['x']\n"
            "[identities.b]\nroles = ['bridge']\ntenants = 'all'\ncertificate_names = ['x']\n",
            ":5: identities.b: the certificate name 'x' is already that of 'a'",
        ),
    ],
    ids=itertools.count(),
)
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidFacts) as wrong:
        read(tmp_path, text)

    assert told in str(wrong.value)


# --- The keeper -------------------------------------------------------------------------------


def a_source(found: Callable[[], list[Identity]], name: str = "source") -> Source:
    stamps = iter(range(1_000))

    async def stamp() -> object:
        return next(stamps)

    async def read() -> list[Identity]:
        return found()

    return Source(name, stamp, read)


async def test_what_changes_in_a_file_is_taken_over_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "identities.toml"
    path.write_text(identity("bridge", "bridge", tenants='"all"'))
    keeper = IdentitiesInUse([file_source(path)])
    await keeper.load()
    first = keeper.current

    path.write_text("[identities.bridge]\nroles = 7\n")
    with caplog.at_level(logging.ERROR):
        await keeper.look()
        await keeper.look()
    broken = keeper.current
    path.write_text(identity("reader", "reader", tenants='"all"'))
    await keeper.look()

    assert set(first.by_id) == {"bridge"}
    assert broken is first
    assert (keeper.failures, caplog.text.count("identities.bridge.roles")) == (2, 1)
    assert set(keeper.current.by_id) == {"reader"}


async def test_a_file_that_is_wrong_at_the_start_ends_it(tmp_path: Path) -> None:
    keeper = IdentitiesInUse([file_source(tmp_path / "none.toml")])

    with pytest.raises(FileNotFoundError):
        await keeper.load()


async def test_an_archive_that_is_away_is_waited_for_with_what_was_known() -> None:
    is_away = True

    def found() -> list[Identity]:
        if is_away:
            raise ArchiveUnavailable("away")
        return [BRIDGE]

    keeper = IdentitiesInUse([a_source(found, "archive"), a_source(lambda: [OTHER])])
    await keeper.load()
    before = set(keeper.current.by_id)

    is_away = False
    await keeper.look()
    both = set(keeper.current.by_id)
    is_away = True
    await keeper.look()

    assert before == {"other"}
    assert both == set(keeper.current.by_id) == {"bridge", "other"}


async def test_what_lasts_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "identities.toml"
    path.write_text(identity("bridge", "bridge", tenants='"all"'))
    keeper = IdentitiesInUse([file_source(path)])
    await keeper.load()

    with caplog.at_level(logging.ERROR):
        path.unlink()
        await keeper.look()
        await keeper.look()
        path.write_text(identity("bridge", "bridge", tenants='"all"'))
        await keeper.look()
        path.unlink()
        await keeper.look()

    assert keeper.failures == 3
    assert caplog.text.count("No such file") == 2
    assert set(keeper.current.by_id) == {"bridge"}


async def test_a_change_that_could_not_be_read_at_once_is_read_later() -> None:
    changes, is_away, found = 1, False, [BRIDGE]

    async def stamp() -> object:
        return changes

    async def read() -> list[Identity]:
        if is_away:
            raise ArchiveUnavailable("between the two")
        return found

    keeper = IdentitiesInUse([Source("archive", stamp, read)])
    await keeper.load()

    changes, is_away, found = 2, True, [OTHER]
    await keeper.look()
    meanwhile = set(keeper.current.by_id)
    is_away = False
    await keeper.look()

    assert meanwhile == {"bridge"}
    assert set(keeper.current.by_id) == {"other"}


async def test_of_two_sources_the_first_one_s_identity_counts() -> None:
    mine = Identity("same", frozenset({Role.READER}), None)
    theirs = Identity("same", frozenset({Role.OPERATOR}), None)
    keeper = IdentitiesInUse([a_source(lambda: [mine], "file"), a_source(lambda: [theirs])])

    await keeper.load()

    assert keeper.current.by_id == {"same": mine}
