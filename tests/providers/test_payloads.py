"""Every known shape of what Mitto says, and what is refused, with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from blossom.mitto import payloads
from blossom.mitto.payloads import InboundText, PayloadError, Receipt, Refusal, UnmatchedAnswer

FORM = "application/x-www-form-urlencoded; charset=utf-8"
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def body(document: object) -> bytes:
    return json.dumps(document).encode()


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "refusal"),
    [
        ({"errorCode": "INVALID_NUMBER"}, Refusal.INVALID_NUMBER),
        ({"error": {"code": 8, "text": "receiver"}}, Refusal.INVALID_NUMBER),
        ({"responseCode": 8}, Refusal.INVALID_NUMBER),
        ({"responseCode": "6", "responseText": "invalid sender"}, Refusal.SENDER_REFUSED),
        ({"message": "Content blocked"}, Refusal.BLOCKED_CONTENT),
        ({"errors": [{"message": "originator not allowed"}]}, Refusal.SENDER_REFUSED),
        ({"messageId": None}, Refusal.MESSAGE_REFUSED),
        ({"messageId": ""}, Refusal.MESSAGE_REFUSED),
        ({}, Refusal.MESSAGE_REFUSED),
        (None, Refusal.MESSAGE_REFUSED),
    ],
)
def test_an_entry_without_an_id_is_refused_with_a_code_of_the_closed_table(entry: Any, refusal: Refusal) -> None:
    answer = payloads.parse_bulk_answer(body({"bulkId": "b", "messages": [{"messageId": "1"}, entry]}), 2)
    assert answer.message_ids == ["1", None]
    assert answer.outcome(1) == payloads.Refused(refusal)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (body({}), "no list"),
        (body({"messages": {"messageId": "1"}}), "no list"),
        (body({"messages": ["1", "2"]}), "position 0 is not an object"),
        (body({"messages": [{"messageId": "1"}, {"messageId": {"a": 1}}]}), "position 1.*neither"),
        (body({"messages": [{"messageId": "1"}, {"messageId": True}]}), "position 1.*neither"),
        (body({"messages": [{"messageId": "1"}, {"messageId": "x" * 201}]}), "longer than 200"),
        (body({"messages": [{"messageId": "1"}, {"messageId": "a\0b"}]}), "NUL"),
    ],
)
def test_a_bulk_answer_that_cant_be_read_says_why(raw: bytes, error: str) -> None:
    with pytest.raises(PayloadError, match=error):
        payloads.parse_bulk_answer(raw, 2)


@pytest.mark.parametrize("ids", [["1"], ["1", "2", "3"], ["1", "1"], []])
def test_a_bulk_answer_that_doesnt_match_what_was_sent_is_never_guessed_at(ids: list[str]) -> None:
    with pytest.raises(UnmatchedAnswer):
        payloads.parse_bulk_answer(body({"messages": [{"messageId": each} for each in ids]}), 2)


def test_two_refused_entries_are_no_doubled_id() -> None:
    answer = payloads.parse_bulk_answer(body({"messages": [{}, {"messageId": 7}, {}]}), 3)
    assert answer.message_ids == [None, "7", None]
    assert answer.bulk_id is None


@pytest.mark.parametrize("document", [{}, {"error": "no"}, [], {"messages": []}, {"messageId": None}, "01KC"])
def test_a_single_answer_without_id_and_entry_is_not_taken_for_a_refusal(document: Any) -> None:
    with pytest.raises(PayloadError):
        payloads.parse_single_answer(body(document))


@pytest.mark.parametrize(
    ("raw", "taken"),
    [
        (body({"message": "busy"}), False),
        (body({"id": "error-7", "message": "busy"}), False),
        (body({"messages": []}), False),
        (body({"messages": ["the destination is invalid"]}), False),
        (body({"messageId": None}), False),
        (body([1]), False),
        (b"<html>busy</html>", False),
        (b"", False),
        (body({"messageId": "1"}), True),
        (body({"message_id": "1"}), True),
        (body({"bulkId": "1"}), True),
        (body({"messages": [{"messageId": None}, {"messageId": "1"}]}), True),
        (b'{"messages": [{"messageId": "01K', True),
    ],
)
def test_an_errors_body_names_accepted_texts_or_not(raw: bytes, taken: bool) -> None:
    assert payloads.names_accepted_texts(raw) is taken


# --- status ---------------------------------------------------------------------------------------------------------


def test_a_status_is_read_with_seven_fractional_digits_and_null_parts() -> None:
    status = payloads.parse_status(
        body(
            {
                "messageId": "01K8RBH8A6J1410YE2M9G780PK",
                "text": None,
                "sender": {"name": "Blossom"},
                "conversation": {"id": "1", "participants": ["306984303406", None, 5]},
                "createdAt": "2025-10-29T16:06:37.6842145Z",
                "updatedAt": "yesterday",
                "deliveryStatus": "FAILURE",
                "messageParts": None,
                "requestInfo": {"sms": {"sender": "Blossom", "text": "Hi\u00a0there"}},
            }
        )
    )
    assert status.created_at == datetime(2025, 10, 29, 16, 6, 37, 684214, tzinfo=UTC)
    assert status.updated_at is None
    assert (status.text, status.sender, status.parts) == ("Hi\u00a0there", "Blossom", 1)
    assert status.went_to("+30 698 430 3406")
    assert not status.went_to("+306984303407")
    assert not status.went_to("")
    assert payloads.delivery_state(status.status_raw) == "failed"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", body({"messageId": "1"}), body({"deliveryStatus": "Sent"})])
def test_a_status_without_id_or_status_is_refused(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        payloads.parse_status(raw)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Delivered", "delivered"),
        ("DELIVERED", "delivered"),
        (" delivered ", "delivered"),
        ("Failure", "failed"),
        ("failed", "failed"),
        ("undelivered", "failed"),
        ("UNDELIVERED", "failed"),
        ("EXPIRED", "failed"),
        ("Sent", "sent"),
        ("Queued", "sent"),
        ("Pending", "sent"),
        ("BUFFERED", "sent"),
        ("Unknown", "sent"),
        ("something new", "sent"),
        ("", "sent"),
    ],
)
def test_a_providers_word_becomes_one_of_three_states(word: str, state: str) -> None:
    assert payloads.delivery_state(word) == state


# --- receipts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "receipt"),
    [
        (
            {"messageId": "1", "deliveryStatus": "Delivered", "updatedAt": "2026-01-01T12:00:00Z"},
            Receipt("1", "Delivered", NOON),
        ),
        (
            {
                "message_id": "1",
                "status": "failed",
                "error_code": "DLR_001",
                "error_message": "Handset off",
                "delivered_at": None,
                "failed_at": "2026-01-01T14:00:00+02:00",
            },
            Receipt("1", "failed", NOON, "DLR_001", "Handset off"),
        ),
        ({"messageId": "1", "status": "EXPIRED", "errorcode": "5"}, Receipt("1", "EXPIRED", None, "5")),
        ({"msgid": 123, "status": "SENT", "errorcode": 0}, Receipt("123", "SENT", None, "0")),
        ({"MessageID": " 1 ", "DeliveryStatus": "Sent"}, Receipt("1", "Sent")),
        ({"messageId": "1", "status": "a", "deliveryStatus": "b"}, Receipt("1", "b")),
        ({"messageId": "1", "status": "Sent", "updatedAt": "2026-01-01T12:00:00"}, Receipt("1", "Sent", NOON)),
        ({"messageId": "1", "status": "Sent", "updatedAt": "0001-01-01T00:00:00+14:00"}, Receipt("1", "Sent")),
        ({"messageId": "1", "status": "Sent", "updatedAt": 1767268800}, Receipt("1", "Sent")),
        (
            {"messageId": "1", "status": "failed", "error_message": "a\0b" + "x" * 999},
            Receipt("1", "failed", None, None, "ab" + "x" * 498),
        ),
        ({"messageId": "1", "status": "failed", "error_code": {"deep": [1]}}, Receipt("1", "failed")),
    ],
)
def test_a_receipt_is_read_in_each_known_shape(document: dict[str, Any], receipt: Receipt) -> None:
    assert payloads.parse_receipts(body(document)).receipts == [receipt]
    assert payloads.parse_receipts(body([document, document])).receipts == [receipt, receipt]


def test_a_classic_receipt_is_read_from_a_query_and_from_a_form() -> None:
    form = urlencode({"msgid": "1", "status": "DELIVERED", "errorcode": ""})
    expected = [Receipt("1", "DELIVERED")]
    assert payloads.parse_receipt_query(form).receipts == expected
    assert payloads.parse_receipts(form.encode(), FORM).receipts == expected
    assert payloads.parse_receipts(body({"msgid": "1", "status": "DELIVERED"}), FORM).receipts == expected


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ({}, "the message id is missing"),
        ({"messageId": "", "status": "x"}, "the message id is missing"),
        ({"messageId": "  ", "status": "x"}, "the message id is empty"),
        ({"messageId": "1"}, "the status is missing"),
        ({"messageId": "1", "status": ["Delivered"]}, "the status is neither text nor a whole number"),
        ({"messageId": 1.5, "status": "x"}, "the message id is neither text nor a whole number"),
        ({"messageId": True, "status": "x"}, "the message id is neither text nor a whole number"),
        ({"messageId": "a\0", "status": "x"}, "the message id contains a NUL character"),
        ({"messageId": "1", "status": "x\0"}, "the status contains a NUL character"),
        ({"messageId": "1" * 201, "status": "x"}, "the message id is longer than 200 characters"),
        ({"messageId": "1", "status": "x" * 101}, "the status is longer than 100 characters"),
        ("Delivered", "the receipt is not an object"),
        (None, "the receipt is not an object"),
        ([], "the receipt is not an object"),
    ],
)
def test_one_bad_receipt_is_named_and_costs_the_others_nothing(element: Any, reason: str) -> None:
    good = {"messageId": "1", "deliveryStatus": "Sent"}
    parsed = payloads.parse_receipts(body([good, element, good]))
    assert len(parsed.receipts) == 2
    assert [(each.position, each.reason) for each in parsed.refused] == [(1, reason)]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"messageId": "\\ud800"}', "not JSON"),
        (b"[" * 50_000 + b"]" * 50_000, "not JSON"),
        (b'"Delivered"', "neither"),
        (b"7", "neither"),
        (b"[" + b"{}," * 10_000 + b"{}]", "more than 10000"),
    ],
)
def test_a_body_that_holds_no_receipts_is_refused_with_the_reason(raw: bytes, error: str) -> None:
    with pytest.raises(PayloadError, match=error) as raised:
        payloads.parse_receipts(raw)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None  # no copy of the body goes along


def test_an_empty_array_is_no_error() -> None:
    assert payloads.parse_receipts(b"[]") == payloads.ParsedReceipts()


def test_a_form_with_very_many_fields_is_refused() -> None:
    with pytest.raises(PayloadError, match="more than 100 fields"):
        payloads.parse_receipts(b"a=1&" * 200, FORM)


# --- inbound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"from": "+306984303406", "to": "Blossom", "text": "ΣΤΟΠ", "messageId": "9"},
        {"msisdn": "+306984303406", "recipient": "Blossom", "message": "ΣΤΟΠ", "message_id": "9"},
        {"sender": "+306984303406", "to": "Blossom", "text": "ΣΤΟΠ", "id": "9"},
    ],
)
def test_an_inbound_text_is_read_by_each_alias_as_json_and_as_a_form(document: dict[str, str]) -> None:
    expected = [InboundText("+306984303406", "Blossom", "ΣΤΟΠ", "9", None)]
    assert payloads.parse_inbound(body(document)).texts == expected
    assert payloads.parse_inbound(body([document])).texts == expected
    assert payloads.parse_inbound(urlencode(document).encode(), FORM).texts == expected


def test_an_inbound_text_may_be_empty_and_its_number_a_number() -> None:
    parsed = payloads.parse_inbound(body({"from": 306984303406, "text": ""}))
    assert parsed.texts == [InboundText("306984303406", None, "", None, None)]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"from": "+30"}, "the text is missing"),
        ({"from": "+30", "text": 7}, "the text is missing"),
        ({"text": "STOP"}, "the sender's number is missing"),
        ({"from": {"phone": "+30"}, "text": "STOP"}, "the sender's number is neither text nor a whole number"),
        ({"from": "+30", "text": "ST\0OP"}, "the text contains a NUL character"),
        ({"from": "+30", "text": "x" * 10_001}, "the text is longer than 10000 characters"),
        ("STOP", "the text is not an object"),
    ],
)
def test_an_inbound_text_that_cant_be_used_is_named_and_costs_the_others_nothing(document: Any, reason: str) -> None:
    parsed = payloads.parse_inbound(body([document, {"from": "+30", "text": "STOP"}]))
    assert len(parsed.texts) == 1
    assert [(each.position, each.reason) for each in parsed.refused] == [(0, reason)]
