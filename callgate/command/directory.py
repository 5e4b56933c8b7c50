"""`callgate tenants`, `users`, `accounts`, `numbers`, `licences`: the directory, by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from google.protobuf.field_mask_pb2 import FieldMask

from callgate.command import fields
from callgate.command.engine import EPILOG, address_option, connected, json_option, print_answer
from callgate.connection import Connection
from callgate.v1 import directory_pb2 as pb

_PAGE_SIZE = 1_000

tenant_option = click.option("--tenant", metavar="T", required=True, help="The tenant.")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of resource: its name in RPCs, its field in messages, its id, what a list shows."""

    name: str
    field: str
    id_field: str
    columns: tuple[str, ...]

    @property
    def is_tenant(self) -> bool:
        """Whether it is a tenant itself, which belongs to none."""
        return self.name == "Tenant"

    def request(self, verb: str, **values: Any) -> Any:
        """Build a request."""
        plural = "s" if verb == "List" else ""
        return getattr(pb, f"{verb}{self.name}{plural}Request")(**values)

    def ask(self, engine: Connection, verb: str, **values: Any) -> Any:
        """Ask, and return the answer."""
        plural = "s" if verb == "List" else ""
        return engine.ask_directory(f"{verb}{self.name}{plural}", self.request(verb, **values))

    def place(self, tenant: str, item_id: str) -> dict[str, str]:
        """Name one."""
        return {"tenant_id": tenant or item_id, self.id_field: item_id}


TENANTS = Resource(
    "Tenant",
    "tenant",
    "tenant_id",
    ("tenant_id", "country", "currency_code", "funding_model", "frozen"),
)
USERS = Resource(
    "User", "user", "user_id", ("user_id", "usage_location", "number", "licences", "frozen")
)
ACCOUNTS = Resource(
    "ResourceAccount",
    "resource_account",
    "account_id",
    ("account_id", "usage_location", "licences", "frozen"),
)
NUMBERS = Resource(
    "ServiceNumber",
    "service_number",
    "number",
    ("number", "service", "account", "country", "toll_free"),
)


def _group(name: str, resource: Resource, text: str) -> click.Group:
    """Make the commands of one kind of resource."""
    group = click.Group(name, help=text, epilog=EPILOG)
    for command in (_list, _show, _create, _update, _delete):
        group.add_command(command(resource))
    return group


def _for(resource: Resource, name: str, text: str) -> Callable[[Callable[..., None]], Any]:
    """Make a command of a function, with the options that all of them have."""

    def make(function: Callable[..., None]) -> Any:
        decorated = json_option(address_option(function))
        if not resource.is_tenant:
            decorated = tenant_option(decorated)
        return click.command(name, help=text, epilog=EPILOG)(decorated)

    return make


def _list(resource: Resource) -> Any:
    @click.option("--prefix", metavar="P", default="", help="Only ids that begin so.")
    def run(*, address: str, as_json: bool, prefix: str, tenant: str = "") -> None:
        of = {} if resource.is_tenant else {"tenant_id": tenant}
        with connected(address) as engine:
            found = list(_pages(engine, resource, prefix=prefix, **of))
        answer = getattr(pb, f"List{resource.name}sResponse")(**{f"{resource.field}s": found})
        print_answer(answer, as_json, lambda: fields.table(found, resource.columns))

    return _for(resource, "list", "List them all, in the order of their ids.")(run)


def _pages(engine: Connection, resource: Resource, **of: Any) -> Iterator[Any]:
    token = ""
    while True:
        page = resource.ask(engine, "List", page_size=_PAGE_SIZE, page_token=token, **of)
        yield from getattr(page, f"{resource.field}s")
        token = page.next_page_token
        if not token:
            return


def _show(resource: Resource) -> Any:
    @click.argument("item_id", metavar="ID")
    def run(*, address: str, as_json: bool, item_id: str, tenant: str = "") -> None:
        with connected(address) as engine:
            answer = resource.ask(engine, "Get", **resource.place(tenant, item_id))
        found = getattr(answer, resource.field)
        print_answer(answer, as_json, lambda: fields.lines(found))

    return _for(resource, "show", "Tell all of one.")(run)


def _create(resource: Resource) -> Any:
    @click.argument("item_id", metavar="ID")
    @click.argument("pairs", metavar="FIELD=VALUE ...", nargs=-1)
    def run(
        *, address: str, as_json: bool, item_id: str, pairs: Sequence[str], tenant: str = ""
    ) -> None:
        message = getattr(pb, resource.name)(**resource.place(tenant, item_id))
        fields.fill(message, pairs)
        with connected(address) as engine:
            answer = resource.ask(engine, "Create", **{resource.field: message})
        print_answer(answer, as_json, lambda: fields.lines(getattr(answer, resource.field)))

    return _for(resource, "create", "Create one, with the fields it is given.")(run)


def _update(resource: Resource) -> Any:
    @click.argument("item_id", metavar="ID")
    @click.argument("pairs", metavar="FIELD=VALUE ...", nargs=-1, required=True)
    def run(
        *, address: str, as_json: bool, item_id: str, pairs: Sequence[str], tenant: str = ""
    ) -> None:
        message = getattr(pb, resource.name)(**resource.place(tenant, item_id))
        mask = FieldMask(paths=fields.fill(message, pairs))
        with connected(address) as engine:
            answer = resource.ask(
                engine, "Update", **{resource.field: message, "update_mask": mask}
            )
        print_answer(answer, as_json, lambda: fields.lines(getattr(answer, resource.field)))

    return _for(resource, "update", "Change the fields given; FIELD= alone clears one.")(run)


def _delete(resource: Resource) -> Any:
    @click.argument("item_id", metavar="ID")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def run(*, address: str, as_json: bool, item_id: str, yes: bool, tenant: str = "") -> None:
        if not yes:
            click.confirm(f"Delete {item_id}?", abort=True, err=True)
        with connected(address) as engine:
            answer = resource.ask(engine, "Delete", **resource.place(tenant, item_id))
        print_answer(answer, as_json, lambda: f"{item_id} is deleted.")

    return _for(resource, "delete", "Delete one.")(run)


@click.group(epilog=EPILOG)
def licences() -> None:
    """List a tenant's licences, give them to users, take them away."""


@licences.command("list", epilog=EPILOG)
@tenant_option
@click.option("--all", "every", is_flag=True, help="Also those that the tenant has none of.")
@json_option
@address_option
def list_licences(*, tenant: str, every: bool, as_json: bool, address: str) -> None:
    """Tell what licences allow, how many were bought, how many are assigned."""
    request = pb.ListLicencesRequest(tenant_id=tenant, held_only=not every)
    with connected(address) as engine:
        answer = engine.ask_directory("ListLicences", request)
    columns = ("name", "purchased_count", "assigned_count", "plan", "capabilities", "product")
    print_answer(answer, as_json, lambda: fields.table(answer.licences, columns))


@licences.command(epilog=EPILOG)
@tenant_option
@click.argument("user_id", metavar="USER")
@click.argument("names", metavar="LICENCE ...", nargs=-1, required=True)
@json_option
@address_option
def give(*, tenant: str, user_id: str, names: Sequence[str], **options: Any) -> None:
    """Give licences to a user."""
    wanted = [name.upper() for name in names]
    _change_licences(tenant, user_id, lambda has: list(dict.fromkeys([*has, *wanted])), **options)


@licences.command(epilog=EPILOG)
@tenant_option
@click.argument("user_id", metavar="USER")
@click.argument("names", metavar="LICENCE ...", nargs=-1, required=True)
@json_option
@address_option
def take(*, tenant: str, user_id: str, names: Sequence[str], **options: Any) -> None:
    """Take licences from a user; calls that run by them are told to end."""
    gone = {name.upper() for name in names}
    _change_licences(
        tenant, user_id, lambda has: [name for name in has if name not in gone], **options
    )


def _change_licences(
    tenant: str,
    user_id: str,
    change: Callable[[Sequence[str]], list[str]],
    *,
    as_json: bool,
    address: str,
) -> None:
    """Change what was read, unless somebody else changes it meanwhile."""
    with connected(address) as engine:
        user = USERS.ask(engine, "Get", **USERS.place(tenant, user_id)).user
        user.licences[:] = change(list(user.licences))
        answer = USERS.ask(engine, "Update", user=user, update_mask=FieldMask(paths=["licences"]))
    print_answer(answer, as_json, lambda: fields.lines(answer.user))


COMMANDS = (
    _group("tenants", TENANTS, "List, show, create, change and delete tenants."),
    _group("users", USERS, "List, show, create, change and delete users."),
    _group("accounts", ACCOUNTS, "List, show, create, change and delete resource accounts."),
    _group("numbers", NUMBERS, "List, show, create, change and delete service numbers."),
    licences,
)
