"""Delivery receipts (DLR) in every shape that facts A5 and B name, one or many in a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from blossom.mitto.payloads import fields
from blossom.mitto.payloads.fields import PayloadError

RECEIPTS_LIMIT = 10_000  # in one body
_ERROR_TEXT_LIMIT = 500

# By their plain names (`fields.by_plain_name`), the most telling first.
_ID_NAMES = ("messageid", "msgid", "id")
_STATUS_NAMES = ("deliverystatus", "status")
_TIME_NAMES = ("updatedat", "deliveredat", "failedat", "occurredat", "timestamp")
_CODE_NAMES = ("errorcode",)
_WORDS_NAMES = ("errormessage", "errortext", "description")

DeliveryState = Literal["sent", "delivered", "failed"]
_FINAL: dict[str, DeliveryState] = {
    "delivered": "delivered",
    "failure": "failed",
    "failed": "failed",
    "undelivered": "failed",
    "expired": "failed",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider's word on one message. `status_raw` is kept as it came; `occurred_at` is aware, UTC."""

    provider_message_id: str
    status_raw: str
    occurred_at: datetime | None = None
    error_code: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An element of a body that can't be used: its place (from 0) and what is wrong with it."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedReceipts:
    """What a body held: the receipts that can be used, in its order, and those that can't."""

    receipts: list[Receipt] = field(default_factory=list)
    refused: list[Unusable] = field(default_factory=list)


def delivery_state(status_raw: str) -> DeliveryState:
    """What a provider's status means for a message (spec §3); a word we don't know means `sent`."""
    return _FINAL.get(status_raw.strip().lower(), "sent")


def parse_receipts(body: bytes, content_type: str | None = None) -> ParsedReceipts:
    """The receipts of a POST: a JSON object, a JSON array of them, or (content type says so) a form.

    One bad element never costs the others. `PayloadError` when the body as a whole can't be read.
    """
    return _parse_all(fields.elements(body, content_type, RECEIPTS_LIMIT))


def parse_receipt_query(query: str) -> ParsedReceipts:
    """The receipt of a GET: `msgid`, `status`, `errorcode` in the query string (facts B)."""
    return _parse_all([fields.form_fields(query)])


def _parse_all(elements: list[Any]) -> ParsedReceipts:
    parsed = ParsedReceipts()
    for position, element in enumerate(elements):
        try:
            parsed.receipts.append(_parse_one(element))
        except PayloadError as error:
            parsed.refused.append(Unusable(position, str(error)))
    return parsed


def _parse_one(element: Any) -> Receipt:
    if not isinstance(element, Mapping):
        raise PayloadError("the receipt is not an object")
    named = fields.by_plain_name(element)
    return Receipt(
        provider_message_id=fields.word(fields.first(named, _ID_NAMES), "the message id", fields.ID_LIMIT),
        status_raw=fields.word(fields.first(named, _STATUS_NAMES), "the status", fields.WORD_LIMIT),
        occurred_at=fields.moment(fields.first(named, _TIME_NAMES)),
        error_code=fields.optional_words(fields.first(named, _CODE_NAMES), fields.WORD_LIMIT),
        error_text=fields.optional_words(fields.first(named, _WORDS_NAMES), _ERROR_TEXT_LIMIT),
    )
