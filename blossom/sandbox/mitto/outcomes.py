"""What becomes of a text: by its number, by its words, or by a share that a number falls in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_FAILURE_CODE = "DLR_001"


class UnknownOutcome(ValueError):
    """A word that stands for no outcome."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the final one, None when the text stays `Sent`. `refusal`: (error code, message) of an entry that
    isn't taken at all; with `refuses_call` the whole call is answered with a 400 as long as the text is in it."""

    status: str | None = "Delivered"
    error_code: str | None = None
    refusal: tuple[str, str] | None = None
    refuses_call: bool = False


_INVALID = ("INVALID_NUMBER", "The destination is not a valid phone number")
_BLOCKED = ("BLOCKED_CONTENT", "The content of the message is blocked")
_SENDER = ("SENDER_REFUSED", "The sender is not allowed")

DELIVERED = Outcome()
INVALID = Outcome(refusal=_INVALID)
BLOCKED = Outcome(refusal=_BLOCKED)
_WORDS = {
    "delivered": DELIVERED,
    "sent": Outcome(status=None),
    "expired": Outcome(status="EXPIRED"),
    "invalid": INVALID,
    "invalid_batch": Outcome(refusal=_INVALID, refuses_call=True),
    "blocked": BLOCKED,
    "blocked_batch": Outcome(refusal=_BLOCKED, refuses_call=True),
    "sender": Outcome(refusal=_SENDER),
    "sender_batch": Outcome(refusal=_SENDER, refuses_call=True),
}
_FAILURES = {"failed": "Failure", "undelivered": "undelivered"}


def outcome_named(word: str) -> Outcome:
    """`delivered`, `sent` (stays so), `expired`, `failed[:CODE]`, `undelivered[:CODE]`, or one that isn't taken:
    `invalid`, `blocked`, `sender` (the entry has no id), `…_batch` (the call is refused with 400)."""
    name, _, code = word.partition(":")
    if name in _FAILURES:
        return Outcome(status=_FAILURES[name], error_code=code or DEFAULT_FAILURE_CODE)
    if name not in _WORDS or code:
        raise UnknownOutcome(f"no outcome is called {word!r}")
    return _WORDS[name]


class Outcomes:
    """The rules in force. Asked in this order: exact number, suffix, prefix, blocked word, share; else delivered."""

    def __init__(
        self,
        *,
        exact: Mapping[str, str],
        suffix: Mapping[str, str],
        prefix: Mapping[str, str],
        blocked_words: tuple[str, ...],
        share: Mapping[str, float],
        seed: int,
    ) -> None:
        self._exact = {number: outcome_named(word) for number, word in exact.items()}
        self._suffix = {end: outcome_named(word) for end, word in suffix.items()}
        self._prefix = {start: outcome_named(word) for start, word in prefix.items()}
        self._blocked_words = tuple(word.lower() for word in blocked_words)
        self._shares: list[tuple[float, Outcome]] = []
        upper = 0.0
        for word, part in share.items():
            upper += part
            self._shares.append((upper, outcome_named(word)))
        self._key = str(seed).encode()
        self.all_delivered = not (exact or suffix or prefix or blocked_words or share)

    def of(self, destination: str, text: str) -> Outcome:
        """The outcome of a text; the same for the same number, words and seed."""
        if destination in self._exact:
            return self._exact[destination]
        for end, outcome in self._suffix.items():
            if destination.endswith(end):
                return outcome
        for start, outcome in self._prefix.items():
            if destination.startswith(start):
                return outcome
        if self._blocked_words and any(word in text.lower() for word in self._blocked_words):
            return BLOCKED
        if self._shares:
            place = fraction(destination, self._key)
            for upper, outcome in self._shares:
                if place < upper:
                    return outcome
        return DELIVERED


def fraction(word: str, key: bytes) -> float:
    """A number in [0, 1) that depends on nothing but `word` and `key`."""
    digest = hashlib.blake2b(word.encode(), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "big") / 2**64
