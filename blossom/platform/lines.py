"""Names and other lines that others read: what may stand in them. Pure."""

from __future__ import annotations

import unicodedata

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""What sets in which direction letters run: in a name it turns round what stands after it on the page, or in the text.
Letters of scripts that run the other way need none of them."""


def one_visible_line(value: str) -> str:
    """`value`, if a person can read it as one line. Raises ValueError for control characters, those of direction among
    them, and for nothing to see."""
    kinds = {unicodedata.category(character) for character in value}
    if kinds & {"Cc", "Zl", "Zp"} or any(character in TURNING for character in value):
        raise ValueError("must be one line without control characters")
    if value and kinds <= {"Cf", "Mn", "Zs"}:
        raise ValueError("must hold something that can be seen")
    return value
