"""How many SMS parts a text takes, counted exactly on the text as it will be sent.

Source: 3GPP TS 23.038 (the GSM 7-bit default alphabet and its extension table, in `platform.gsm`) and TS 23.040
(joined parts). A text whose every character is in the alphabet is GSM-7: 160 septets in one part, 153 a
part when joined (seven go to the header). Extension characters take two septets, an escape and a character, which must
not be parted.
Any other text is UCS-2, counted in UTF-16 code units: 70 in one part, 67 a part when joined. A character outside the
basic plane takes two units, a surrogate pair, which must not be parted.

Only those pairs are kept whole. A joined emoji (a family: people linked by zero-width joiners) is several characters;
handsets put the parts together before they draw, so that a part may end between two of its members, as networks do.

Nothing here refuses a text: NUL, control characters and lone surrogates are counted as one UCS-2 unit each. They are
refused where texts are written (`language`) and dropped from values (`values`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from blossom.platform import gsm


class Encoding(StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


SINGLE = {Encoding.GSM7: 160, Encoding.UCS2: 70}
JOINED = {Encoding.GSM7: 153, Encoding.UCS2: 67}

_basic = re.compile(f"[{re.escape(gsm.ALPHABET)}]*").fullmatch
_gsm = re.compile(f"[{re.escape(gsm.ALPHABET + gsm.EXTENSION)}]*").fullmatch
_not_gsm = re.compile(f"[^{re.escape(gsm.ALPHABET + gsm.EXTENSION)}]")
_twice_in = {
    Encoding.GSM7: re.compile(f"[{re.escape(gsm.EXTENSION)}]"),
    Encoding.UCS2: re.compile("[\U00010000-\U0010ffff]"),
}


class NonGsm(NamedTuple):
    """A character that makes its text UCS-2, and its index in the text."""

    char: str
    position: int


@dataclass(frozen=True, slots=True)
class TextSize:
    """`units`: septets or UTF-16 units of the text. `units_left`: what still fits into its last part."""

    encoding: Encoding
    units: int
    segments: int
    per_segment: int
    units_left: int
    _text: str = field(default="", repr=False, compare=False)  # of UCS-2 only; never in a log

    @property
    def non_gsm(self) -> tuple[NonGsm, ...]:
        """Each occurrence of a character outside the alphabet. Found when asked, not while sending."""
        return tuple(NonGsm(match.group(), match.start()) for match in _not_gsm.finditer(self._text))


EMPTY = TextSize(Encoding.GSM7, 0, 0, SINGLE[Encoding.GSM7], SINGLE[Encoding.GSM7])
# Most texts are GSM-7 in one part: their sizes are made once, so that counting one is a match and a look-up.
_one_gsm_part = (EMPTY, *(TextSize(Encoding.GSM7, n, 1, 160, 160 - n) for n in range(1, 161)))


def count(text: str) -> TextSize:
    """The exact size of `text`. The empty text has no segment: there is nothing to send."""
    if _basic(text):
        length = len(text)
        if length <= 160:
            return _one_gsm_part[length]
        return _size(text, Encoding.GSM7, length)
    encoding = encoding_of(text)
    return _size(text, encoding, len(text) + len(_twice_in[encoding].findall(text)))


def encoding_of(text: str) -> Encoding:
    return Encoding.GSM7 if _gsm(text) else Encoding.UCS2


def split(text: str) -> list[str]:
    """The parts as they go on the air, each as full as it can be. Joined they are `text` again."""
    encoding = encoding_of(text)
    if not text:
        return []
    units = len(text) + len(_twice_in[encoding].findall(text))
    if units <= SINGLE[encoding]:
        return [text]
    edges = [*_edges(text, encoding), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def most_segments(encoding: Encoding, units: int) -> int:
    """The most parts that any text of so many units can take: each part but the last left one unit empty, since a
    pair did not fit. For estimates that know a text's size and not where its pairs stand."""
    if units <= SINGLE[encoding]:
        return 1 if units else 0
    room = JOINED[encoding]
    return 1 + -(-(units - room) // (room - 1))


def _size(text: str, encoding: Encoding, units: int) -> TextSize:
    kept = text if encoding is Encoding.UCS2 else ""
    if units <= SINGLE[encoding]:
        single = SINGLE[encoding]
        return TextSize(encoding, units, 1, single, single - units, kept)
    room = JOINED[encoding]
    if units == len(text):  # no pairs, so no part is left with a hole
        segments = -(-units // room)
        return TextSize(encoding, units, segments, room, segments * room - units, kept)
    edges = _edges(text, encoding)
    last = text[edges[-1] :]
    used = len(last) + len(_twice_in[encoding].findall(last))
    return TextSize(encoding, units, len(edges), room, room - used, kept)


def _edges(text: str, encoding: Encoding) -> list[int]:
    """Where each part of a joined text begins. Filling each part as far as it goes gives the fewest parts."""
    room, twice = JOINED[encoding], _twice_in[encoding]
    edges, at = [0], 0
    while True:
        # A part holds at most `room` characters, and one fewer for each pair among those it takes.
        end = min(at + room, len(text))
        while (over := end - at + len(twice.findall(text, at, end)) - room) > 0:
            end -= max(1, over // 2)
        if end >= len(text):
            return edges
        edges.append(end)
        at = end
