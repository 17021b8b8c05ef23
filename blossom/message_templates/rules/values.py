"""What may stand in for a variable, and how a stranger's text is made safe to stand in a text.

A value comes from a shopper's profile or a merchant's product: it is data. It is never read as Liquid, and what could
break the text around it (line breaks, control characters, marks of direction, lone surrogates) is taken out.
"""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from decimal import Decimal

NAME_LENGTH = 60
"""The most characters of a name that a text shows."""
FULL_NAME_LENGTH = 2 * NAME_LENGTH + 1


class Money(Decimal):
    """An amount in the currency's main unit with its ISO 4217 code. A Decimal, so that conditions can compare it."""

    currency: str

    def __new__(cls, amount: str | int | Decimal, currency: str) -> Money:
        self = super().__new__(cls, amount)
        self.currency = currency.upper()
        return self


Value = str | int | Money | date | datetime | None

# A name with a curly apostrophe would double the price of its text, and reads the same with a straight one.
_plain_punctuation = str.maketrans("‘’ʼʹ′´`‐‑", "'''''''--")
_emoji_joiners = "\u200c\u200d"


def clean(value: str, limit: int = NAME_LENGTH) -> str:
    """`value` on one line, composed (NFC), trimmed, at most `limit` characters; empty if nothing is left.

    Dropped: control and format characters (but the joiners that emoji and some scripts need), lone surrogates,
    private and non-characters. Any run of white space is one space.
    """
    if value.isascii() and value.isprintable():
        value = value.strip(" ")
        if "  " not in value:
            return value if len(value) <= limit else value[:limit].rstrip(" ")
    return _clean_with_care(value, limit)


def _clean_with_care(value: str, limit: int) -> str:
    # Far longer than any name: cut before the work, since normalising takes time by length.
    value = "".join(map(_allowed, value[: 4 * limit]))
    composed = unicodedata.normalize("NFC", value)
    if len(composed) <= len(value):  # a few characters come apart instead; then the value keeps its size
        value = composed
    value = " ".join(value.translate(_plain_punctuation).split())[:limit]
    return value.strip(" " + _emoji_joiners)


def _allowed(char: str) -> str:
    if char.isspace():
        return " "
    if char in _emoji_joiners:
        return char
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return ""
    if category == "Cn" and (ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF):
        return ""  # non-characters; other unassigned code points may be emoji newer than this Python
    return char


def full_name(first_name: str | None, last_name: str | None) -> str | None:
    """First and last name as one value; None if there is neither."""
    names = (clean(first_name or ""), clean(last_name or ""))
    return " ".join(filter(None, names)) or None
