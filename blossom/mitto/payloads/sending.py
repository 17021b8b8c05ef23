"""Texts out, and the answers to them (facts A1, A2).

A bulk answer names no destination: its entries are matched by position, so an answer with another number of
entries than texts were sent can't be trusted at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from blossom.mitto.payloads import fields
from blossom.mitto.payloads.fields import PayloadError, UnmatchedAnswer
from blossom.mitto.payloads.refusals import Refusal, refusal_code

_ID_NAMES = ("messageid", "id")
# What an entry weighs beyond its text: keys, quotes, and at most 70 characters of account, phone and sender.
_ENTRY_OVERHEAD = 85 + 70 * 6
_SHORT = 1_900  # 500 texts below this bound stay under 1 MB, so measuring them exactly would gain nothing
_BODY_OVERHEAD = 20
_LARGEST_ESCAPE = 6  # a control character becomes \u00XX; every other one at most four bytes


@dataclass(frozen=True, slots=True)
class OutgoingText:
    """One text to one person. `destination` is E.164 with `+`; `sender` as Mitto registered it."""

    destination: str
    text: str
    sender: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Mitto took the text and calls it `message_id`."""

    message_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Mitto didn't take the text; `code` is a key of `errors.FAULTS`."""

    code: Refusal = Refusal.MESSAGE_REFUSED


@dataclass(frozen=True, slots=True)
class BulkAnswer:
    """The answer to a bulk call: `message_ids[i]` belongs to the i-th text sent, None where it was refused."""

    bulk_id: str | None
    message_ids: list[str | None]
    refusals: dict[int, Refused] = field(default_factory=dict)

    def outcome(self, position: int) -> Accepted | Refused:
        """What became of the text at `position`."""
        message_id = self.message_ids[position]
        if message_id is not None:
            return Accepted(message_id)
        return self.refusals.get(position, Refused())


def bulk_body(texts: Sequence[OutgoingText], traffic_account_id: str) -> bytes:
    """The body of a bulk call. `PayloadError` when a text can't be written as UTF-8 (half a surrogate pair)."""
    return _encoded({"messages": [_entry(text, traffic_account_id) for text in texts]})


def single_body(text: OutgoingText, traffic_account_id: str) -> bytes:
    """The body of a call for one text. Errors as `bulk_body`."""
    return _encoded(_entry(text, traffic_account_id))


def split_by_size(
    texts: Sequence[OutgoingText], traffic_account_id: str, *, batch_size: int, max_bytes: int
) -> Iterator[Sequence[OutgoingText]]:
    """`texts` in order, in few consecutive groups that each stay within both limits of a bulk call.

    `PayloadError` when a single text alone is past `max_bytes`.
    """
    group_start, group_bytes = 0, _BODY_OVERHEAD
    for position, text in enumerate(texts):
        size = _size(text, traffic_account_id)
        if size + _BODY_OVERHEAD > max_bytes:
            raise PayloadError(f"the text at position {position} alone is past {max_bytes} bytes")
        if position - group_start == batch_size or group_bytes + size > max_bytes:
            yield texts[group_start:position]
            group_start, group_bytes = position, _BODY_OVERHEAD
        group_bytes += size
    if group_start < len(texts):
        yield texts[group_start:]


def parse_bulk_answer(body: bytes, sent: int) -> BulkAnswer:
    """The answer to a bulk call of `sent` texts.

    `PayloadError` for anything that can't be matched to the texts with certainty: no list of entries, an entry
    that isn't an object; `UnmatchedAnswer`, one of its kind: another number of entries, the same id twice.
    """
    document = fields.json_document(body)
    if not isinstance(document, dict):
        raise PayloadError("the answer is not an object")
    entries = document.get("messages")
    if not isinstance(entries, list):
        raise PayloadError("the answer has no list of messages")
    if len(entries) != sent:
        raise UnmatchedAnswer(f"the answer has {len(entries)} entries for {sent} texts")
    message_ids: list[str | None] = []
    refusals: dict[int, Refused] = {}
    for position, entry in enumerate(entries):
        message_id = _message_id(entry, f"the entry at position {position}")
        message_ids.append(message_id)
        if message_id is None:
            refusals[position] = Refused(refusal_code(entry))
    if len(set(message_ids) - {None}) + len(refusals) != sent:
        raise UnmatchedAnswer("the answer gives the same message id to two texts")
    bulk_id = document.get("bulkId")
    return BulkAnswer(
        bulk_id=None if bulk_id is None else fields.word(bulk_id, "the bulk id", fields.ID_LIMIT),
        message_ids=message_ids,
        refusals=refusals,
    )


def parse_single_answer(body: bytes) -> Accepted | Refused:
    """The answer to a call for one text: `messages[0].messageId`, or `messageId` or `id` at the top.

    `PayloadError` when it is neither an id nor a lone entry without one.
    """
    document = fields.json_document(body)
    if not isinstance(document, dict):
        raise PayloadError("the answer is not an object")
    if "messages" in document:
        answer = parse_bulk_answer(body, 1)
        return answer.outcome(0)
    message_id = _message_id(document, "the answer")
    if message_id is None:
        raise PayloadError("the answer has neither messages nor a message id")
    return Accepted(message_id)


def names_accepted_texts(body: bytes) -> bool:
    """Whether an error's body names ids of texts: then some were taken although the call was refused.

    A body that isn't JSON (a gateway's page, a cut answer) counts when the field's name stands in it.
    """
    try:
        document = fields.json_document(body)
    except PayloadError:
        lowered = body.lower()
        return b"messageid" in lowered or b"message_id" in lowered
    if not isinstance(document, dict):
        return False
    named = fields.by_plain_name(document)
    if named.get("messageid") or named.get("bulkid"):
        return True
    entries = named.get("messages")
    return isinstance(entries, list) and any(
        isinstance(entry, dict) and fields.first(fields.by_plain_name(entry), _ID_NAMES) for entry in entries
    )


def _message_id(entry: Any, what: str) -> str | None:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise PayloadError(f"{what} is not an object")
    message_id = entry.get("messageId")  # the common case, without renaming each field of each entry
    if message_id is None:
        message_id = fields.first(fields.by_plain_name(entry), _ID_NAMES)
    return None if message_id in (None, "") else fields.word(message_id, f"{what}: the message id", fields.ID_LIMIT)


def _entry(text: OutgoingText, traffic_account_id: str) -> Mapping[str, object]:
    return {
        "trafficAccountId": traffic_account_id,
        "destination": text.destination,
        "sms": {"text": text.text, "sender": text.sender},
    }


def _size(text: OutgoingText, traffic_account_id: str) -> int:
    """At least the bytes of the text's entry and its comma; exact only where the cheap bound is large."""
    bound = _LARGEST_ESCAPE * len(text.text) + _ENTRY_OVERHEAD
    if bound <= _SHORT and len(text.destination) + len(text.sender) + len(traffic_account_id) <= 70:
        return bound
    return len(_encoded(_entry(text, traffic_account_id))) + 1


def _encoded(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise PayloadError("a text, number or sender can't be written as UTF-8") from None
