"""What can be called, told to whoever asks: `grpc.reflection`, its first version and its draft."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from server.services.interceptor import Interceptor

SERVICE = "grpc.reflection.v1.ServerReflection"
_DRAFT, _FIRST = "v1alpha", "v1"


# Neither has hints for this.
_Servicer: Any = reflection.aio.ReflectionServicer
_add: Any = add_ServerReflectionServicer_to_server


class Reflection(_Servicer):  # type: ignore[misc] # As above.
    """Finds what stands inside of a message, an enum or a service, too: methods above all."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        holder, _, member = fully_qualified_name.rpartition(".")
        if member and _has_member(holder, member):
            fully_qualified_name = holder
        return super()._file_containing_symbol(request, fully_qualified_name)


def register_reflection(target: Interceptor) -> None:
    """Register it under both its names, for all that was registered before."""
    _add_first_version()
    names = (*target.services, SERVICE, reflection.SERVICE_NAME)
    servicer = Reflection(names)
    _add(servicer, target)
    # The messages of both versions are the same bytes.
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": handler}
    target.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    target.add_registered_method_handlers(SERVICE, handlers)


def _has_member(holder: str, member: str) -> bool:
    pool = descriptor_pool.Default()
    with suppress(KeyError):
        return member in pool.FindServiceByName(holder).methods_by_name
    with suppress(KeyError):
        message = pool.FindMessageTypeByName(holder)
        return member in message.fields_by_name or member in message.oneofs_by_name
    with suppress(KeyError):
        return member in pool.FindEnumTypeByName(holder).values_by_name
    return False


def _add_first_version() -> None:
    """Make the description of the first version from that of its draft, but for the name."""
    pool = descriptor_pool.Default()
    draft = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(draft)
    name = draft.name.replace(_DRAFT, _FIRST)
    with suppress(KeyError):
        pool.FindFileByName(name)
        return
    first = draft
    first.name, first.package = name, draft.package.replace(_DRAFT, _FIRST)
    for message in first.message_type:
        for field in (one for one in message.field if one.type_name):
            field.type_name = field.type_name.replace(f".{_DRAFT}.", f".{_FIRST}.")
    for method in first.service[0].method:
        method.input_type = method.input_type.replace(f".{_DRAFT}.", f".{_FIRST}.")
        method.output_type = method.output_type.replace(f".{_DRAFT}.", f".{_FIRST}.")
    pool.AddSerializedFile(first.SerializeToString())
