"""Texts that people send back (MO). Their real shape is unknown, so every alias of facts "Shared" is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from blossom.mitto.payloads import fields
from blossom.mitto.payloads.fields import PayloadError
from blossom.mitto.payloads.receipts import Unusable

INBOUND_LIMIT = 1_000  # in one body
_TEXT_LIMIT = 10_000
_PHONE_LIMIT = 100

_FROM_NAMES = ("from", "msisdn", "sender")
_TO_NAMES = ("to", "recipient")
_TEXT_NAMES = ("text", "message")
_ID_NAMES = ("messageid", "id")
_TIME_NAMES = ("receivedat", "createdat", "timestamp")


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text to one of our senders. `sender` and `recipient` are as the provider wrote them, not normalised."""

    sender: str
    recipient: str | None
    text: str
    provider_message_id: str | None
    received_at: datetime | None


@dataclass(frozen=True, slots=True)
class ParsedInbound:
    """What a body held: the texts that can be used, in its order, and the elements that can't."""

    texts: list[InboundText] = field(default_factory=list)
    refused: list[Unusable] = field(default_factory=list)


def parse_inbound(body: bytes, content_type: str | None = None) -> ParsedInbound:
    """The texts of a POST: a JSON object, a JSON array of them, or (content type says so) a form.

    One bad element never costs the others. `PayloadError` when the body as a whole can't be read.
    """
    return _parse_all(fields.elements(body, content_type, INBOUND_LIMIT))


def _parse_all(elements: list[Any]) -> ParsedInbound:
    parsed = ParsedInbound()
    for position, element in enumerate(elements):
        try:
            parsed.texts.append(_parse_one(element))
        except PayloadError as error:
            parsed.refused.append(Unusable(position, str(error)))
    return parsed


def _parse_one(element: Any) -> InboundText:
    if not isinstance(element, Mapping):
        raise PayloadError("the text is not an object")
    named = fields.by_plain_name(element)
    text = next((named[name] for name in _TEXT_NAMES if isinstance(named.get(name), str)), None)
    if text is None:
        raise PayloadError("the text is missing")
    recipient = fields.first(named, _TO_NAMES)
    message_id = fields.first(named, _ID_NAMES)
    return InboundText(
        sender=fields.word(fields.first(named, _FROM_NAMES), "the sender's number", _PHONE_LIMIT),
        recipient=None if recipient is None else fields.word(recipient, "the recipient", _PHONE_LIMIT),
        text=fields.bounded(text, "the text", _TEXT_LIMIT),
        provider_message_id=None if message_id is None else fields.word(message_id, "the message id", fields.ID_LIMIT),
        received_at=fields.moment(fields.first(named, _TIME_NAMES)),
    )
