"""`callgate tokens`: who may ask, by which token."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import click
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from callgate.command import words
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.connection import Connection
from callgate.v1 import access_pb2 as pb

ROLE_NAMES = ("bridge", "tenant-administrator", "operator", "reader")
_PAGE_SIZE = 1_000
_TIME = re.compile(r"(\d{1,6})([smhd])")
_SECONDS_OF_UNIT = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Seconds(click.ParamType[int]):
    """A time such as 90d, 24h, 30m or 45s."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        found = _TIME.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no time: give it as 90d, 24h, 30m or 45s", param, ctx)
        return int(found[1]) * _SECONDS_OF_UNIT[found[2]]


_expires_option = click.option(
    "--expires-in",
    metavar="TIME",
    type=_Seconds(),
    help="How long the token is good.  [default: no end]",
)


@click.group(epilog=EPILOG)
def tokens() -> None:
    """Make, rotate, revoke and list the tokens of who may ask."""


@tokens.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLE_NAMES),
    multiple=True,
    required=True,
    help="What it is for; may be repeated.",
)
@click.option(
    "--tenant", "tenants", metavar="T", multiple=True, help="Whom it may touch; may be repeated."
)
@click.option("--all-tenants", is_flag=True, help="It may touch every tenant.")
@_expires_option
@json_option
@address_option
def create(*, as_json: bool, address: str, name: str, **options: object) -> None:
    """Make an identity and its first token, which is shown this once.

    \u0008
    callgate tokens create sbc-1 --role bridge --tenant contoso --expires-in 365d
    """
    roles, tenants = options["roles"], options["tenants"]
    if bool(tenants) == bool(options["all_tenants"]):
        raise click.UsageError("Whom may it touch? Give --tenant, or --all-tenants.")
    request = pb.CreateTokenRequest(
        identity=pb.Identity(
            identity_id=name,
            roles=[_role(role) for role in roles],  # type: ignore[attr-defined] # click's.
            tenant_ids=tenants,  # type: ignore[arg-type] # click's.
            all_tenants=bool(options["all_tenants"]),
        ),
        expire_time=_after(options["expires_in"]),
    )
    with connected(address) as engine:
        answer = engine.create_token(request)
    print_answer(answer, as_json, lambda: _shown(answer.identity, answer.token))


@tokens.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--overlap",
    metavar="TIME",
    type=_Seconds(),
    default=86_400,
    help="How long the tokens it has stay good.  [default: 24h]",
)
@_expires_option
@json_option
@address_option
def rotate(*, as_json: bool, address: str, name: str, **options: object) -> None:
    """Give an identity another token; those it has stay good for a while."""
    request = pb.RotateTokenRequest(
        identity_id=name,
        overlap_duration=Duration(seconds=options["overlap"]),  # type: ignore[arg-type] # click's.
        expire_time=_after(options["expires_in"]),
    )
    with connected(address) as engine:
        answer = engine.rotate_token(request)
    print_answer(answer, as_json, lambda: _shown(answer.identity, answer.token))


@tokens.command(epilog=EPILOG)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@address_option
def revoke(name: str, *, yes: bool, as_json: bool, address: str) -> None:
    """Remove an identity with all its tokens, at once."""
    if not yes:
        click.confirm(f"{name} will be let in no more. Revoke its tokens?", abort=True, err=True)
    with connected(address) as engine:
        answer = engine.revoke_token(pb.RevokeTokenRequest(identity_id=name))
    print_answer(answer, as_json, lambda: f"{name} is let in no more, within 5 seconds.")


@tokens.command("list", epilog=EPILOG)
@json_option
@address_option
def list_(as_json: bool, address: str) -> None:
    """List who may ask, as far as that is yours to see."""
    with connected(address) as engine:
        found = pb.ListIdentitiesResponse(identities=_every(engine))
    print_answer(found, as_json, lambda: _table(found.identities))


def _every(engine: Connection) -> Iterator[pb.Identity]:
    question = pb.ListIdentitiesRequest(page_size=_PAGE_SIZE)
    while True:
        page = engine.list_identities(question)
        yield from page.identities
        if not page.next_page_token:
            return
        question.page_token = page.next_page_token


def _role(name: str) -> pb.Role.ValueType:
    return pb.Role.Value(f"ROLE_{name.replace('-', '_').upper()}")


def _after(seconds: object) -> Timestamp | None:
    return None if seconds is None else Timestamp(seconds=int(time.time()) + int(str(seconds)))


def _shown(identity: pb.Identity, token: str) -> str:
    end = identity.tokens[-1]
    until = f"until {words.clock(end.expire_time)}" if end.HasField("expire_time") else "for good"
    return "\n".join([
        f"{identity.identity_id}: {_roles(identity)} of {_tenants(identity)}. Its token, {until}:",
        "",
        token,
        "",
        "It is shown this once, and kept by its hash alone. Give it as CALLGATE_TOKEN.",
    ])  # fmt: skip


def _table(identities: Sequence[pb.Identity]) -> str:
    if not identities:
        return "Nobody is known: everybody may ask everything."
    rows = [("identity", "roles", "tenants", "shown", "kept in")]
    for one in identities:
        source = pb.IdentitySource.Name(one.source).removeprefix("IDENTITY_SOURCE_").lower()
        rows.append((one.identity_id, _roles(one), _tenants(one), _means(one), source))
    return words.table(rows)


def _roles(identity: pb.Identity) -> str:
    names = [pb.Role.Name(role).removeprefix("ROLE_") for role in identity.roles]
    return ", ".join(name.replace("_", "-").lower() for name in names)


def _tenants(identity: pb.Identity) -> str:
    return "all tenants" if identity.all_tenants else ", ".join(identity.tenant_ids)


def _means(identity: pb.Identity) -> str:
    shown = [f"certificate {name}" for name in identity.certificate_names]
    for token in identity.tokens:
        until = f" until {words.clock(token.expire_time)}" if token.HasField("expire_time") else ""
        shown.append(f"token {token.fingerprint}{until}")
    return "; ".join(shown)
