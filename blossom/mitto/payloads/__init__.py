"""Mitto's JSON and forms as our values, and back. Pure: no network, no database, no clock.

Each shape is one that facts about the API name (docs/mitto.md); what fits none raises `PayloadError`.
"""

from blossom.mitto.payloads.fields import PayloadError, UnmatchedAnswer
from blossom.mitto.payloads.inbound import InboundText, ParsedInbound, parse_inbound
from blossom.mitto.payloads.receipts import (
    ParsedReceipts,
    Receipt,
    Unusable,
    delivery_state,
    parse_receipt_query,
    parse_receipts,
)
from blossom.mitto.payloads.refusals import Refusal, refusal_code_of_body
from blossom.mitto.payloads.sending import (
    Accepted,
    BulkAnswer,
    OutgoingText,
    Refused,
    bulk_body,
    names_accepted_texts,
    parse_bulk_answer,
    parse_single_answer,
    single_body,
    split_by_size,
)
from blossom.mitto.payloads.status import MessageStatus, parse_status

__all__ = [
    "Accepted",
    "BulkAnswer",
    "InboundText",
    "MessageStatus",
    "OutgoingText",
    "ParsedInbound",
    "ParsedReceipts",
    "PayloadError",
    "Receipt",
    "Refusal",
    "Refused",
    "UnmatchedAnswer",
    "Unusable",
    "bulk_body",
    "delivery_state",
    "names_accepted_texts",
    "parse_bulk_answer",
    "parse_inbound",
    "parse_receipt_query",
    "parse_receipts",
    "parse_single_answer",
    "parse_status",
    "refusal_code_of_body",
    "single_body",
    "split_by_size",
]
