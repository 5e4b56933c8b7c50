"""Pages of a list, and the tokens that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from server.calls.messages.fields import InvalidRequest, page_size

_CHECK_DIGITS = 16
_MAX_TOKEN_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of which list: ids after `after`, at most `size`. `of` is what makes the list."""

    of: tuple[str, ...]
    after: str
    size: int

    def token_after(self, last_id: str) -> str:
        """Make the token of the page that begins after an id."""
        text = json.dumps([_check(self.of), last_id])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_page(of: tuple[str, ...], size: int, token: str) -> Page:
    """Read what a request says of its page; a token is good for the list it was made in only.

    Raises `InvalidRequest`.
    """
    return Page(of, _read(of, token) if token else "", page_size(size))


def _read(of: tuple[str, ...], token: str) -> str:
    try:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise ValueError("too long")
        padded = token + "=" * (-len(token) % 4)
        check, last_id = json.loads(base64.urlsafe_b64decode(padded))
        if check != _check(of) or not isinstance(last_id, str):
            raise ValueError("of another list")
    except (ValueError, binascii.Error, TypeError) as error:
        raise InvalidRequest(
            "page_token", "the next_page_token of the page before, of the same list"
        ) from error
    return last_id


def _check(of: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:_CHECK_DIGITS]
