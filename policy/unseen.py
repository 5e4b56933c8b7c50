"""Marks that nobody sees, and that turn the direction of writing round or end a line elsewhere."""

from typing import Final

# As they stand between the brackets of a regular expression.
TURNING: Final = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
CONTROLS: Final = f"\\x00-\\x1f\\x7f-\\x9f{TURNING}"
