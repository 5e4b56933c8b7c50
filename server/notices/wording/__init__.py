"""What notices say, in each language."""

from __future__ import annotations

from collections.abc import Mapping

from server.notices.wording.english import ENGLISH
from server.notices.wording.italian import ITALIAN
from server.notices.wording.language import Language

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "it": ITALIAN}
DEFAULT_LANGUAGE = "en"

__all__ = ["DEFAULT_LANGUAGE", "LANGUAGES", "Language"]
