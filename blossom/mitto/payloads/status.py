"""The answer to "what became of this message?" (facts A3): the only way to learn what an unknown id was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blossom.mitto.payloads import fields
from blossom.mitto.payloads.fields import PayloadError

_TEXT_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """One message as Mitto sees it. `status_raw` is its own word; `parts` counts SMS parts, at least 1."""

    message_id: str
    status_raw: str
    participants: tuple[str, ...]
    text: str | None
    sender: str | None
    created_at: datetime | None
    updated_at: datetime | None
    traffic_account_id: str | None
    description: str | None
    parts: int

    def went_to(self, destination: str) -> bool:
        """Whether `destination` is one of the participants; only digits are compared, so `+` and `00` don't matter."""
        wanted = _digits(destination)
        return bool(wanted) and any(_digits(each) == wanted for each in self.participants)


def parse_status(body: bytes) -> MessageStatus:
    """`PayloadError` unless it is an object with an id and a status; whatever else is missing is None or empty."""
    document = fields.json_document(body)
    if not isinstance(document, dict):
        raise PayloadError("the status is not an object")
    named = fields.by_plain_name(document)
    sms = _inner(_inner(named, "requestinfo"), "sms")
    return MessageStatus(
        message_id=fields.word(fields.first(named, ("messageid", "id")), "the message id", fields.ID_LIMIT),
        status_raw=fields.word(
            fields.first(named, ("deliverystatus", "status")), "the delivery status", fields.WORD_LIMIT
        ),
        participants=_participants(named),
        text=_text(named.get("text")) or _text(sms.get("text")),
        sender=_sender(named.get("sender")) or fields.optional_words(sms.get("sender"), fields.WORD_LIMIT),
        created_at=fields.moment(named.get("createdat")),
        updated_at=fields.moment(named.get("updatedat")),
        traffic_account_id=fields.optional_words(named.get("trafficaccountid"), fields.ID_LIMIT),
        description=fields.optional_words(named.get("description"), 500),
        parts=_parts(named.get("messageparts")),
    )


def _inner(named: dict[str, Any], name: str) -> dict[str, Any]:
    inner = named.get(name)
    return fields.by_plain_name(inner) if isinstance(inner, dict) else {}


def _participants(named: dict[str, Any]) -> tuple[str, ...]:
    """The phones that took part; `destination` counts too, should the answer have one."""
    listed = _inner(named, "conversation").get("participants")
    candidates = [*(listed if isinstance(listed, list) else []), named.get("destination")]
    words = (fields.optional_words(each, fields.WORD_LIMIT) for each in candidates)
    return tuple(each for each in words if each is not None)


def _text(value: Any) -> str | None:
    """The message's own words, untouched, so that they can be compared with what was sent."""
    return value[:_TEXT_LIMIT] if isinstance(value, str) and value else None


def _sender(value: Any) -> str | None:
    """A name, or an object whose fields aren't known (facts A3): its `sender`, `name` or `id` is tried."""
    if isinstance(value, dict):
        value = fields.first(fields.by_plain_name(value), ("sender", "name", "address", "id"))
    return fields.optional_words(value, fields.WORD_LIMIT)


def _parts(value: Any) -> int:
    """Null and nonsense mean one part."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255 else 1


def _digits(phone: str) -> str:
    return "".join(each for each in phone if each.isdigit()).removeprefix("00")
