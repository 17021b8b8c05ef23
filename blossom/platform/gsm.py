"""The GSM 03.38 alphabet and the sizes of a text in it: one definition for names of contacts and for whole texts.

Source: 3GPP TS 23.038, §6.2.1 (default alphabet) and §6.2.1.1 (extension table); Mitto counts the same.
Pure functions. A text is either GSM as a whole (counted in septets) or not (counted in UTF-16 units, as UCS-2 is).
"""

from __future__ import annotations

import re

ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The 127 characters of one septet (the escape itself is no character)."""

EXTENSION = "^{}\\[~]|€\f"
"""The characters that cost two septets: the escape and one more."""

_ANY_EXTENDED = re.compile("[" + re.escape(EXTENSION) + "]")
_ALL_GSM = re.compile("[" + re.escape(ALPHABET + EXTENSION) + "]*")


def is_gsm(text: str) -> bool:
    """Whether each character can be sent in the GSM alphabet. True for an empty text."""
    return _ALL_GSM.fullmatch(text) is not None


def septets(text: str) -> int:
    """How many septets a text takes that `is_gsm` (for any other text the figure means nothing)."""
    return len(text) + len(_ANY_EXTENDED.findall(text))


def utf16_units(text: str) -> int:
    """How many 16-bit units a text takes in UCS-2: a character beyond U+FFFF takes two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def signed_size(text: str) -> int:
    """+n: GSM, n septets. −n: not GSM, n UTF-16 units. 0: empty."""
    return septets(text) if is_gsm(text) else -utf16_units(text)
