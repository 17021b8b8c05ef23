"""Message ids as Mitto's: ULIDs. Made a call at a time, and readable back to the text's place in the log."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # 1,024: ten bits in one look-up
_SEQUENCE_LETTERS = 6
ULID_LETTERS = 26


def call_prefix() -> str:
    """The first 20 letters of the ids of one call: the time in ms, and 50 random bits."""
    value = (int(time.time() * 1000) << 50) | secrets.randbits(50)
    letters = []
    for _ in range(ULID_LETTERS - _SEQUENCE_LETTERS):
        letters.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(letters))


def message_ids(prefix: str, first_sequence: int, count: int) -> list[str]:
    """The ids of `count` texts; the last six letters say the text's sequence number (below 2**30)."""
    pairs = _PAIRS
    return [
        f"{prefix}{pairs[(sequence >> 20) & 1023]}{pairs[(sequence >> 10) & 1023]}{pairs[sequence & 1023]}"
        for sequence in range(first_sequence, first_sequence + count)
    ]


def sequence_of(message_id: str) -> int | None:
    """The sequence number in `message_id`; None when it is no ULID."""
    if len(message_id) != ULID_LETTERS:
        return None
    sequence = 0
    for letter in message_id[-_SEQUENCE_LETTERS:].upper():
        if letter not in _VALUES:
            return None
        sequence = (sequence << 5) | _VALUES[letter]
    return sequence


def stranger_id() -> str:
    """An id that no text has: its sequence number is past all that are given out."""
    return message_ids(call_prefix(), 2**30 - 1 - secrets.randbelow(2**20), 1)[0]
