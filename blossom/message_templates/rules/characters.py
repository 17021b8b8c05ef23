"""What makes a text dear, why, and what can stand in its place.

One character outside the GSM alphabet makes the whole text UCS-2: 70 characters a part instead of 160. Most such
characters come from word processors and phones' keyboards, look like one of the alphabet, and can be replaced with
nothing lost (`CURES`). Accents are another matter: Polish without them is readable and worse, so they go only when
asked. Greek can be written in capitals: ten of them are in the alphabet, the others look like Latin letters.

Liquid (`{{ … }}`, `{% … %}`) and web addresses are never touched.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from blossom.message_templates.rules import segments
from blossom.platform import gsm
from blossom.platform.languages import noted

_gsm = frozenset(gsm.ALPHABET + gsm.EXTENSION)


class Replacement(NamedTuple):
    with_: str
    why: str


def _cures(chars: str, with_: str, why: str) -> dict[str, Replacement]:
    return {char: Replacement(with_, why) for char in chars}


CURES: dict[str, Replacement] = {
    **_cures("‘’‚‛′ʼʹ´`", "'", noted("a typographic single quote; the straight one means the same")),
    **_cures("“”„‟″«»〝〞", '"', noted("a typographic double quote; the straight one means the same")),
    **_cures("‹", "<", noted("an angled quote")),
    **_cures("›", ">", noted("an angled quote")),
    **_cures("‐‑‒–—―−⁃", "-", noted("a long dash, a fixed hyphen or a minus sign; the plain hyphen reads the same")),
    **_cures("…", "...", noted("three dots in one character")),
    **_cures("•‣∙", "-", noted("a bullet")),
    **_cures("·", ".", noted("a raised dot")),
    **_cures("\u037e", ";", noted("the Greek question mark, which looks the same as a semicolon")),
    **_cures("\u0387", ".", noted("the Greek raised dot")),
    **_cures(
        "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t",
        " ",
        noted("a space of special width, often pasted from a web page"),
    ),
    **_cures("\u2028\u2029", "\n", noted("a line break as word processors write it")),
    **_cures(
        "\u200b\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        "",
        noted("invisible: a zero-width space, a soft hyphen or a mark of direction"),
    ),
    "ﬀ": Replacement("ff", noted("two letters drawn as one")),
    "ﬁ": Replacement("fi", noted("two letters drawn as one")),
    "ﬂ": Replacement("fl", noted("two letters drawn as one")),
    "ﬃ": Replacement("ffi", noted("three letters drawn as one")),
    "ﬄ": Replacement("ffl", noted("three letters drawn as one")),
    "œ": Replacement("oe", noted("two letters drawn as one")),
    "Œ": Replacement("OE", noted("two letters drawn as one")),
    "ĳ": Replacement("ij", noted("two letters drawn as one")),
    "Ĳ": Replacement("IJ", noted("two letters drawn as one")),
    "™": Replacement("TM", noted("a trade mark sign")),
    "©": Replacement("(c)", noted("a copyright sign")),
    "®": Replacement("(R)", noted("a registered sign")),
    "×": Replacement("x", noted("a multiplication sign")),
    "№": Replacement("No.", noted("a number sign")),
    "½": Replacement("1/2", noted("a fraction in one character")),
    "¼": Replacement("1/4", noted("a fraction in one character")),
    "¾": Replacement("3/4", noted("a fraction in one character")),
}
"""Safe replacements: a reader loses nothing. Zero-width joiners and variation selectors are not among them, since
emoji are made with them (and a text with emoji is UCS-2 whatever else it holds)."""

LETTERS: dict[str, Replacement] = {
    **{
        char: Replacement(plain, noted("a letter of its own; the plain one is readable, but not the same"))
        for char, plain in zip("łŁđĐðÐþÞıħĦŋŊőŐűŰ", "lLdDdDtTihHnNöÖüÜ", strict=True)
    },
    "ẞ": Replacement("SS", noted("a capital sharp s")),
}
"""Letters that no rule of Unicode takes apart. Ő and ű have their nearest neighbours ö and ü in the alphabet."""

# What must stay as it is: Liquid, and links, whose letters are an address.
_kept = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|https?://\S+)", re.DOTALL | re.IGNORECASE)
_markup = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


# Pictures, with what joins, colours and frames them. The signs of CURES (™, ©, …) are no pictures.
_picture = "[\U00010000-\U0010ffff\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d]"
_emoji = re.compile(f"( ?)(?:[#*0-9]\ufe0f?\u20e3|{_picture}[\ufe0e\ufe0f\u200d\u20e3]*)+( ?)")


@dataclass(frozen=True, slots=True)
class Change:
    """`count` times `char` was written as `replacement`."""

    char: str
    replacement: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Cure:
    """A cheaper way to write a text, with what was changed and what that saves."""

    text: str
    changes: tuple[Change, ...]
    segments_before: int
    segments_after: int


def segments_as_typed(text: str) -> int:
    """Segments of the text with its Liquid left out. Callers that can render pass a measure that does."""
    return segments.count(_markup.sub("", text)).segments


def explain(char: str) -> str:
    """Why this character is not in the alphabet, for a person."""
    if cure := CURES.get(char):
        return cure.why
    if letter := LETTERS.get(char):
        return letter.why
    if gsm.GREEK_LETTERS.fullmatch(char):
        return noted("a Greek letter; as a GSM-7 capital it would cost a third")
    if ord(char) > 0xFFFF or unicodedata.category(char) == "So":
        return noted("an emoji or a symbol")
    if _without_accent(char) is not None:
        return noted("an accented letter that the GSM alphabet lacks")
    return noted("not in the GSM alphabet (%(lower)s)", lower=unicodedata.name(char, f"U+{ord(char):04X}").lower())


def replace_typographic(text: str, *, accents: bool = False, measure: Callable[[str], int] = segments_as_typed) -> Cure:
    """`text` with typographic characters written plainly; with `accents`, also without accents that GSM-7 lacks.

    `measure` counts the segments of a text as it will be sent.
    """
    used: Counter[tuple[str, str, str]] = Counter()

    def plainly(char: str) -> str:
        cure = CURES.get(char)
        if cure is None and accents:
            cure = LETTERS.get(char)
            if cure is None and (bare := _without_accent(char)) is not None:
                cure = Replacement(bare, noted("an accented letter that the GSM alphabet lacks"))
        if cure is None:
            return char
        used[char, cure.with_, cure.why] += 1
        return cure.with_

    def cure_piece(piece: str) -> str:
        # Composed first: é in two characters (from a Mac) is dear, in one it is in the alphabet.
        return "".join(map(plainly, unicodedata.normalize("NFC", piece)))

    cured = _outside_markup(text, cure_piece)
    changes = tuple(Change(char, with_, n, why) for (char, with_, why), n in used.items())
    return Cure(cured, changes, measure(text), measure(cured))


def leave_out_emoji(text: str, *, measure: Callable[[str], int] = segments_as_typed) -> Cure:
    """`text` without its emoji and pictures, and without the spaces and joiners that belonged to them."""
    used: Counter[str] = Counter()

    def without(piece: str) -> str:
        def drop(match: re.Match[str]) -> str:
            used[match.group().strip()] += 1
            return " " if match[1] and match[2] else ""

        return _emoji.sub(drop, piece)

    cured = _outside_markup(text, without)
    changes = tuple(Change(emoji, "", n, noted("an emoji or a symbol")) for emoji, n in used.items())
    return Cure(cured, changes, measure(text), measure(cured))


def greek_to_gsm_capitals(text: str, *, measure: Callable[[str], int] = segments_as_typed) -> Cure:
    """`text` with its Greek in capitals of the GSM alphabet; all else stays as typed.

    Accents and diaereses go, as Greek capitals have none; Δ Φ Γ Λ Ω Π Ψ Σ Θ Ξ are in the alphabet, the others are
    written as the Latin letters that look the same. (Typed by a shopper, ΣTOΠ comes back in whichever script.)
    """
    used: Counter[tuple[str, str]] = Counter()

    def piece_in_capitals(piece: str) -> str:
        def word(match: re.Match[str]) -> str:
            capitals = gsm.greek_capitals(match.group())
            used.update((a, b) for a in match.group() if (b := gsm.greek_capitals(a)) != a)
            return capitals

        return gsm.GREEK_LETTERS.sub(word, unicodedata.normalize("NFC", piece))

    cured = _outside_markup(text, piece_in_capitals)
    why = noted("Greek capitals of the GSM alphabet and Latin letters that look the same")
    changes = tuple(Change(a, b, n, why) for (a, b), n in used.items())
    return Cure(cured, changes, measure(text), measure(cured))


def has_greek(text: str) -> bool:
    """Any letter of the Greek script; those capitals that the GSM alphabet has count too."""
    return gsm.GREEK_LETTERS.search(text) is not None


def _without_accent(char: str) -> str | None:
    """The letter of the alphabet under an accent: á → a, but é stays since GSM-7 has it. None: there is no such."""
    if char in _gsm:
        return None
    base = unicodedata.normalize("NFD", char)
    if len(base) > 1 and base[0] in _gsm and all(unicodedata.combining(c) for c in base[1:]):
        return base[0]
    return None


def _outside_markup(text: str, change: Callable[[str], str]) -> str:
    pieces = _kept.split(text)
    pieces[::2] = [change(piece) for piece in pieces[::2]]
    return "".join(pieces)
