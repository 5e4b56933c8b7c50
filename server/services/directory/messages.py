"""Messages of the directory, to and from what a tenant's file would say.

Fields have the names that they have in the file, but for those of `_FILE_NAMES`, so that both ways
are read off the messages themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from callgate.v1 import directory_pb2 as pb
from callgate.v1.money_pb2 import Money
from policy.rating import MAX_WHOLE_NUMBER
from server.calls.messages.fields import InvalidRequest
from server.facts.directory.bodies import ItemKind

_MICROS = 1_000_000
_FILE_NAMES = {"currency_code": "currency"}
_PROTO_NAMES = {name: proto for proto, name in _FILE_NAMES.items()}
_NOT_IN_FILES = frozenset({"tenant_id", "etag", "create_time", "update_time", "toll_free"})


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of resource: its name, its message, and the field that is its id."""

    name: str
    message: type[Message]
    id_field: str

    @property
    def field(self) -> str:
        """The name of the field that holds one in a request or an answer."""
        return "".join(f"_{char.lower()}" if char.isupper() else char for char in self.name)[1:]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that stand in a file, by their names here."""
        return {
            field.name: field
            for field in self.message.DESCRIPTOR.fields
            if field.name not in _NOT_IN_FILES and field.name != self.id_field
        }


TENANT = Shape("Tenant", pb.Tenant, "tenant_id")
ITEMS: Mapping[ItemKind, Shape] = {
    ItemKind.USER: Shape("User", pb.User, "user_id"),
    ItemKind.RESOURCE_ACCOUNT: Shape("ResourceAccount", pb.ResourceAccount, "account_id"),
    ItemKind.SERVICE_NUMBER: Shape("ServiceNumber", pb.ServiceNumber, "number"),
}


def file_name_of(proto_name: str) -> str:
    """Say how a field is called in a file."""
    return _FILE_NAMES.get(proto_name, proto_name)


def proto_name_of(file_name: str) -> str:
    """Say how a field of a file is called in messages."""
    return _PROTO_NAMES.get(file_name, file_name)


def mask_of(shape: Shape, message: Message, paths: Iterable[str]) -> list[str]:
    """List the fields to take over: those named, or those that are set. Raises `InvalidRequest`."""
    fields = shape.fields
    named = list(dict.fromkeys(paths))
    for path in named:
        if path not in fields:
            raise InvalidRequest(
                "update_mask", f"names of fields that can change: {', '.join(fields)}; not {path!r}"
            )
    return named or [field.name for field, _ in message.ListFields() if field.name in fields]


def values_of(shape: Shape, message: Message, names: Iterable[str]) -> dict[str, Any]:
    """Say what a file would for these fields; one that is not set has the value None.

    Raises `InvalidRequest`.
    """
    values = {}
    for name in names:
        field = shape.fields[name]
        is_set = _is_set(message, field)
        path = f"{shape.field}.{name}"
        values[file_name_of(name)] = (
            _to_file(getattr(message, name), field, path) if is_set else None
        )
    return values


def check_currency(shape: Shape, message: Message, currency: str) -> None:
    """Raise `InvalidRequest` where an amount is in another currency than the tenant's."""
    for name, field in shape.fields.items():
        if field.message_type is Money.DESCRIPTOR and message.HasField(name):
            code = getattr(message, name).currency_code
            if code not in {"", currency}:
                raise InvalidRequest(f"{shape.field}.{name}.currency_code", f"{currency}, or empty")


def fill(shape: Shape, message: Message, values: Mapping[str, Any], *, currency: str) -> None:
    """Set the fields that a file says something about."""
    fields = shape.fields
    for name, value in values.items():
        proto_name = proto_name_of(name)
        if proto_name in fields:
            _from_file(message, fields[proto_name], value, currency=currency)


def micros_of(amount: str) -> int:
    """Read an amount as files write it, in units."""
    units, _, decimals = amount.partition(".")
    return int(units) * _MICROS + int(decimals.ljust(6, "0"))


def amount_of(micros: int) -> str:
    """Write an amount in units, as files do: with two decimals at least."""
    whole, rest = divmod(micros, _MICROS)
    decimals = f"{rest:06d}".rstrip("0")
    return f"{whole}.{decimals.ljust(2, '0')}"


def _is_set(message: Message, field: Any) -> bool:
    if field.has_presence:
        return message.HasField(field.name)
    # What is empty is not said, but for a list or a flag, where that is no difference.
    return bool(getattr(message, field.name))


def _to_file(value: Any, field: Any, path: str) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        if field.message_type is None:
            return list(value)
        return [_table_of(one, f"{path}[{place}]") for place, one in enumerate(value)]
    if field.message_type is not None:
        return (
            _amount(value, path)
            if field.message_type is Money.DESCRIPTOR
            else _table_of(value, path)
        )
    if field.enum_type is not None:
        return _word(field.enum_type, value, path)
    return value


def _table_of(message: Message, path: str) -> dict[str, Any]:
    fields = message.DESCRIPTOR.fields
    found = {
        field.name: _to_file(getattr(message, field.name), field, f"{path}.{field.name}")
        for field in fields
        if not field.has_presence or message.HasField(field.name)
    }
    # Flags are always said; texts that are empty are missing.
    return {name: value for name, value in found.items() if value != ""}


def _amount(money: Money, path: str) -> str:
    if not 0 <= money.micros <= MAX_WHOLE_NUMBER:
        raise InvalidRequest(f"{path}.micros", f"from 0 to {MAX_WHOLE_NUMBER}")
    return amount_of(money.micros)


def _word(kind: EnumDescriptor, number: int, path: str) -> str | None:
    found = kind.values_by_number.get(number)
    if found is None:
        known = ", ".join(value.name for value in kind.values[1:])
        raise InvalidRequest(path, f"one of {known}")
    return found.name.removeprefix(_prefix(kind)).lower() if number else None


def _prefix(kind: EnumDescriptor) -> str:
    return kind.values_by_number[0].name.removesuffix("UNSPECIFIED")


def _extend(held: Any, field: Any, value: Any) -> None:
    if field.message_type is None:
        held.extend(value)
    elif field.message_type.GetOptions().map_entry:
        held.update(value)
    else:
        for one in value:
            held.add(**one)


def _fill_table(message: Any, values: Mapping[str, Any], currency: str) -> None:
    for name, value in values.items():
        _from_file(message, message.DESCRIPTOR.fields_by_name[name], value, currency=currency)
    message.SetInParent()


def _from_file(message: Any, field: Any, value: Any, *, currency: str) -> None:
    held = getattr(message, field.name)
    if field.is_repeated:
        _extend(held, field, value)
    elif field.message_type is Money.DESCRIPTOR:
        held.micros, held.currency_code = micros_of(value), currency
    elif field.message_type is not None:
        _fill_table(held, value, currency)
    elif field.enum_type is not None:
        name = f"{_prefix(field.enum_type)}{value.upper()}"
        setattr(message, field.name, field.enum_type.values_by_name[name].number)
    else:
        setattr(message, field.name, value)
