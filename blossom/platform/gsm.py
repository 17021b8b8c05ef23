"""The GSM 03.38 alphabet and the sizes of a text in it: one definition for names of contacts and for whole texts.

Source: 3GPP TS 23.038, §6.2.1 (default alphabet) and §6.2.1.1 (extension table); Mitto counts the same.
Pure functions. A text is either GSM as a whole (counted in septets) or not (counted in UTF-16 units, as UCS-2 is).
Greek in small letters is not, and in capitals can be: the alphabet has ten of those, and the others look like Latin
ones.
"""

from __future__ import annotations

import re
import unicodedata

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


GREEK_LETTERS = re.compile("[\u0370-\u03ff\u1f00-\u1fff][\u0300-\u036f\u0370-\u03ff\u1f00-\u1fff]*")
"""A run of letters of the Greek script with their accents, also those that stand as characters of their own."""

_GREEK_LOOKS = str.maketrans("ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", "ABΓΔEZHΘIKΛMNΞOΠPΣTYΦXΨΩ")
_BARE_CAPITALS = str.maketrans("àèìòùÀÈÌÒÙ", "AEIOU" * 2)


def greek_capitals(text: str) -> str:
    """Every Greek letter of `text` as a capital of the alphabet; other letters stay as they are."""
    return GREEK_LETTERS.sub(_capital_word, text)


def capitals(text: str) -> str:
    """All of `text` in capitals. Greek ones without accents, as Greek is written, and in letters of the alphabet, which
    look the same: ΜΑΡΙΑ in Greek letters would double the price of its text. So would HÉLÈNE: è is in the alphabet,
    and È is not, so that these letters lose their accents, as capitals often do."""
    return greek_capitals(unicodedata.normalize("NFC", text)).translate(_BARE_CAPITALS).upper()


def _capital_word(match: re.Match[str]) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", match.group()) if not unicodedata.combining(c))
    # ϊ, ΰ and the like are bare by now; upper() would write the iota subscript of ᾳ out as a letter of its own.
    return bare.upper().translate(_GREEK_LOOKS)


IN_CAPITALS = 10_000
"""What sets sizes of texts apart that are GSM in capitals only. No name has so many units."""


def signed_size(text: str) -> int:
    """The size of a name, or of anything as short. +n: GSM, n septets. −n: not GSM, n UTF-16 units.
    −(`IN_CAPITALS` + n): n units as well, and its `capitals` are GSM, of n septets at most. 0: empty. Nothing has more
    units than `IN_CAPITALS` − 1."""
    if is_gsm(text):
        return min(septets(text), IN_CAPITALS - 1)
    units, written_large = min(utf16_units(text), IN_CAPITALS - 1), capitals(text)
    if is_gsm(written_large) and septets(written_large) <= units:
        return -IN_CAPITALS - units
    return -units


def units_of(size: int) -> int:
    """Septets or UTF-16 units of a text of this size (`signed_size`)."""
    return -size - IN_CAPITALS if is_gsm_in_capitals(size) else abs(size)


def is_gsm_in_capitals(size: int) -> bool:
    """Whether a text of this size (`signed_size`) is GSM in capitals only."""
    return size <= -IN_CAPITALS
