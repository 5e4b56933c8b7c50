"""Short references to calls, as they stand in keys."""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import blake2b

_CALL_REFERENCE_BYTES = 16
CALL_REFERENCE_CHARACTERS = 22


def call_reference(*parts: str) -> str:
    """Stand for a call in keys: 22 characters; no byte of a caller's is ever part of a key."""
    named = ""
    for part in parts:
        named += f"{len(part)}:{part}"
    return reference_bytes_of(named).decode()


def reference_bytes_of(named: str) -> bytes:
    """Write the reference of parts that are joined, the length of each before it.

    Base64, less the two signs that fill it up.
    """
    digest = blake2b(named.encode(), digest_size=_CALL_REFERENCE_BYTES).digest()
    return b2a_base64(digest, newline=False)[:CALL_REFERENCE_CHARACTERS]
