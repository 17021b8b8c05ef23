"""What a refusal is about, guessed from its words: no literal error body of Mitto's is known (facts A4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from blossom.mitto.payloads import fields


class Refusal(StrEnum):
    """The codes of `errors.FAULTS` that concern a single text."""

    INVALID_NUMBER = "invalid_number"
    BLOCKED_CONTENT = "blocked_content"
    SENDER_REFUSED = "sender_refused"
    MESSAGE_REFUSED = "message_refused"


# Asked in this order: "invalid sender number" is about the sender. The second of each is the classic API's code.
_SIGNS: tuple[tuple[Refusal, str, tuple[str, ...]], ...] = (
    (Refusal.SENDER_REFUSED, "6", ("sender", "originator", "alphanumeric")),
    (Refusal.BLOCKED_CONTENT, "4", ("content", "blocked", "spam", "wording", "forbidden text")),
    (
        Refusal.INVALID_NUMBER,
        "8",
        ("destination", "recipient", "receiver", "msisdn", "phone", "number", "participant"),
    ),
)
_ERROR_NAMES = ("errorcode", "code", "responsecode", "error", "errormessage", "message", "responsetext", "errors")
_CODE_NAMES = ("errorcode", "code", "responsecode")
_READ_LIMIT = 2_000


def refusal_code(answer: Any) -> Refusal:
    """What the refusal `answer` (an entry of a bulk answer, or an error body) is about.

    Only the closed code leaves this function, never the words: they may quote a phone number.
    """
    if not isinstance(answer, Mapping):
        return _by_words(str(answer)[:_READ_LIMIT]) if isinstance(answer, str) else Refusal.MESSAGE_REFUSED
    named = fields.by_plain_name(answer)
    code = fields.optional_words(fields.first(named, _CODE_NAMES), fields.WORD_LIMIT)
    for refusal, classic_code, _ in _SIGNS:
        if code == classic_code:
            return refusal
    words = " ".join(str(named[name])[:_READ_LIMIT] for name in _ERROR_NAMES if named.get(name))
    return _by_words(words)


def refusal_code_of_body(body: bytes) -> Refusal:
    """What an error's body says the refusal is about; `MESSAGE_REFUSED` when it can't be read."""
    try:
        return refusal_code(fields.json_document(body))
    except fields.PayloadError:
        return Refusal.MESSAGE_REFUSED


def _by_words(words: str) -> Refusal:
    lowered = words.lower()
    for refusal, _, signs in _SIGNS:
        if any(sign in lowered for sign in signs):
            return refusal
    return Refusal.MESSAGE_REFUSED
