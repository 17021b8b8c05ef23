"""Codes of links in texts: which text, and which of its links. They are made from the message, so no row stands behind.

A code is 18 letters and digits without look-alikes (57 of them: no 0 O 1 I l), 104 bits: 44 of a tag and 60 of a body.
The body is the message's id and the link's number, hidden; the tag proves both. It is a synthetic IV (the construction
of RFC 5297, as of `consent`'s older codes) by BLAKE2b in its keyed mode under a key of the shop's: the tag is a MAC of
the body, cut, and names the pad that hides it. So a code is the same whenever it is made, is good in its own shop
alone, and tells nothing: not how many texts were sent, nor which of them came first.

Guessing: of random codes one in 2^44 (1.8 × 10^13) has a right tag, and then names 60 random bits: in a shop that has
sent a hundred million texts with two links each, one of its links once in 6 × 10^9. Whoever holds a code and changes
its body has the 2^44 to guess alone: 55,000 years from one address, which may come 600 times a minute.

Two texts of a shop share a tag, and so a pad, once it has sent some millions: who holds both codes then learns by how
much their ids differ.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import blake2b

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 18

OPT_OUT = 0
"""The number of a text's opt-out link; those that it shortens count from 1."""
LARGEST_NUMBER = 63
LARGEST_ID = 2**54 - 1
"""1.8 thousand million dispatches, since a dispatch takes ten million ids."""

_NUMBER_BITS, _BODY_BITS = 6, 60
_KEY_NAME = "codes of links\x1f"
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_BASE = len(_PAIRS)
_VALUE_OF = {pair: value for value, pair in enumerate(_PAIRS)}
_PLACES = range(LENGTH // 2)


class Codes:
    """The codes of one shop. `lookup`: its keyed hash (`ShopCipher.lookup`), which outlives its data keys and ends when
    the shop is redacted."""

    def __init__(self, lookup: Callable[[str], bytes]) -> None:
        self._key = lookup(_KEY_NAME)

    def code(self, message_id: int, number: int) -> str:
        """The code of a message's link; the same each time."""
        if not (0 < message_id <= LARGEST_ID and 0 <= number <= LARGEST_NUMBER):
            raise ValueError("no code has room for this message, or link")
        body = message_id << _NUMBER_BITS | number
        tag = self._tag(body)
        value = tag << _BODY_BITS | body ^ self._pad(tag)
        pairs = []
        for _ in _PLACES:
            value, rest = divmod(value, _BASE)
            pairs.append(_PAIRS[rest])
        return "".join(pairs)

    def read(self, code: str) -> tuple[int, int] | None:
        """Message id and number of the link that this code was made for; None for what this shop never made."""
        if len(code) != LENGTH:
            return None
        value = 0
        try:
            for place in reversed(_PLACES):
                value = value * _BASE + _VALUE_OF[code[2 * place : 2 * place + 2]]
        except KeyError:
            return None
        tag, hidden = value >> _BODY_BITS, value & (1 << _BODY_BITS) - 1
        body = hidden ^ self._pad(tag)
        if not hmac.compare_digest(tag.to_bytes(6, "big"), self._tag(body).to_bytes(6, "big")):
            return None
        return body >> _NUMBER_BITS, body & LARGEST_NUMBER

    def _tag(self, body: int) -> int:
        digest = blake2b(body.to_bytes(8, "big"), digest_size=6, key=self._key, person=b"tag").digest()
        return int.from_bytes(digest, "big") >> 4

    def _pad(self, tag: int) -> int:
        digest = blake2b(tag.to_bytes(6, "big"), digest_size=8, key=self._key, person=b"pad").digest()
        return int.from_bytes(digest, "big") >> 4
