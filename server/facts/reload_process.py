"""The process that reads the files anew and tells, in slices, what differs from the facts in use.

A thread would not do: it would hold the interpreter's lock against the loop. Started as
`python -m server.facts.child CATALOGUE [DIRECTORY]`; reads on its input what is in use, as JSON;
writes messages to its output, each pickled behind its length.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from server.facts.catalogue import warn_of_unrated
from server.facts.files.problems import InvalidFacts
from server.facts.from_files import FactsFolders, read_facts
from server.facts.slices import Failed, Message, Read, take_apart

LENGTH_BYTES = 4
# Answering calls comes first wherever both want the same processor.
NICENESS = 10


class InUse(msgspec.Struct, frozen=True):
    """What the asking process has: the catalogue's version, and the digest of each tenant."""

    catalogue_version: str
    tenant_digests: dict[str, str]


def tell_differences(folders: FactsFolders, in_use: InUse) -> Iterator[Message]:
    """Read the folders and yield what differs, the catalogue first; or why they cannot be used."""
    try:
        catalogue, tenants = read_facts(folders)
    except InvalidFacts as error:
        yield Failed(error.problems, error.more)
        return
    warnings: tuple[str, ...] = ()
    if catalogue.version != in_use.catalogue_version:
        warnings = warn_of_unrated(catalogue)
        yield from take_apart(catalogue)
    for tenant_id, tenant in tenants.items():
        if tenant.digest != in_use.tenant_digests.get(tenant_id):
            yield from take_apart(tenant)
    yield Read(frozenset(tenants), warnings)


def write_message(output: BinaryIO, message: Message) -> None:
    """Write one message behind its length."""
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    output.write(len(content).to_bytes(LENGTH_BYTES, "big"))
    output.write(content)


def main() -> None:
    """Read, compare, tell."""
    os.nice(NICENESS)
    # Nothing is garbage until this process ends, so there is nothing to collect.
    gc.disable()
    directory = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    folders = FactsFolders(Path(sys.argv[1]), directory)
    in_use = msgspec.json.decode(sys.stdin.buffer.read(), type=InUse)
    for message in tell_differences(folders, in_use):
        write_message(sys.stdout.buffer, message)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
