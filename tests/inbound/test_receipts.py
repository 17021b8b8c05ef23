"""Receipts at the door: who may knock, what is read, what is stored, and what is said back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import psycopg
import pytest
from flask import Flask

from blossom.messaging import service as messaging
from blossom.messaging.service.receipts import rematch_orphans
from blossom.mitto import signature
from blossom.platform import config, db, queue
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.inbound.conftest import FORM, SECRET, TOKEN, Mitto, a_receipt, receipts
from tests.personas import Personas

GOLDEN = Path(__file__).parent / "golden" / "receipts"
EXPECTED = orjson.loads((GOLDEN / "expected.json").read_bytes())
RAW = orjson.dumps(a_receipt())
SIGNED = signature.sign(RAW, SECRET)


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_known_shape_is_read_and_stored(mitto: Mitto, name: str) -> None:
    body = (GOLDEN / name).read_bytes()
    if name.endswith(".query"):
        answer = mitto.get(f"dlr?{body.decode()}")
    else:
        answer = mitto.post("dlr", body, content_type=FORM if name.endswith(".form") else "application/json")
    assert answer.status_code == 200
    assert answer.get_json() == {"ok": True, "accepted": len(EXPECTED[name]), "repeated": 0, "refused": []}
    stored = [
        [each.provider_message_id, each.status, each.error_code, each.occurred_at and each.occurred_at.isoformat()]
        for each in receipts()
    ]
    assert stored == sorted(EXPECTED[name])


def test_every_golden_body_is_expected_to_say_something() -> None:
    assert {path.name for path in GOLDEN.iterdir()} - {"expected.json"} == set(EXPECTED)


def test_the_same_receipt_is_one_row_however_often_and_in_whatever_company_it_comes(mitto: Mitto) -> None:
    assert mitto.post("dlr", a_receipt()).get_json()["accepted"] == 1
    assert mitto.post("dlr", a_receipt()).get_json() == {"ok": True, "accepted": 0, "repeated": 1, "refused": []}
    many = [a_receipt("01K2"), a_receipt(), a_receipt("01K2"), a_receipt(status="DELIVERED")]
    assert mitto.post("dlr", many).get_json() == {"ok": True, "accepted": 1, "repeated": 3, "refused": []}
    assert [each.provider_message_id for each in receipts()] == ["01K1", "01K2"]


def test_a_later_word_on_the_same_text_is_a_receipt_of_its_own(mitto: Mitto) -> None:
    mitto.post("dlr", a_receipt(status="Sent"))
    assert mitto.post("dlr", a_receipt(status="Delivered")).get_json()["accepted"] == 1


def test_of_an_array_the_good_ones_are_stored_and_the_bad_ones_named(mitto: Mitto) -> None:
    body = [a_receipt("01K1"), {"messageId": "01K2"}, "nonsense", a_receipt("a\0b"), a_receipt("01K3")]
    answer = mitto.post("dlr", body)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "ok": True,
        "accepted": 2,
        "repeated": 0,
        "refused": [
            {"position": 1, "reason": "the status is missing"},
            {"position": 2, "reason": "the receipt is not an object"},
            {"position": 3, "reason": "the message id contains a NUL character"},
        ],
    }
    assert [each.provider_message_id for each in receipts()] == ["01K1", "01K3"]


def test_refused_elements_are_logged_without_what_they_say(mitto: Mitto, caplog: pytest.LogCaptureFixture) -> None:
    mitto.post("dlr", [a_receipt(), {"messageId": "+306984303406", "text": "secret words"}])
    logged = caplog.text
    assert "webhook.partly_refused" in logged
    assert "the status is missing" in logged
    assert "secret words" not in logged
    assert "6984303406" not in logged


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"7", "neither a JSON object nor an array"),
        (b"[" * 50_000 + b"]" * 50_000, "not JSON"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "position 0, the message id is missing"),
        (b'[{"messageId": "1"}]', "position 0, the status is missing"),
        (b'{"messageId": "1\\u0000", "status": "Sent"}', "NUL"),
        (b"[" + b"{}," * 10_000 + b"{}]", "more than 10000 elements"),
        (b"[null, null]", "position 0, the receipt is not an object"),
        (orjson.dumps(a_receipt("x" * 201)), "longer than 200"),
        (orjson.dumps(a_receipt(status="x" * 101)), "longer than 100"),
    ],
)
def test_a_body_of_which_nothing_can_be_used_is_refused_with_the_place(mitto: Mitto, body: bytes, told: str) -> None:
    answer = mitto.post("dlr", body)
    assert answer.status_code == 400
    assert answer.get_json()["code"] == "unreadable"
    assert told in answer.get_json()["message"]
    assert receipts() == []


def test_an_empty_array_holds_nothing_wrong(mitto: Mitto) -> None:
    assert mitto.post("dlr", []).get_json() == {"ok": True, "accepted": 0, "repeated": 0, "refused": []}


def test_a_form_with_more_fields_than_any_receipt_has_is_refused(mitto: Mitto) -> None:
    answer = mitto.post("dlr", b"a=1&" * 5_000, content_type=FORM)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "unreadable")


def test_a_body_beyond_one_megabyte_is_refused_before_it_is_read(mitto: Mitto) -> None:
    answer = mitto.post("dlr", b"[" + b" " * 1_000_000 + b"]")
    assert answer.status_code == 413
    assert answer.get_json()["ok"] is False


def test_a_full_megabyte_is_read(mitto: Mitto) -> None:
    one = orjson.dumps(a_receipt())
    body = b"[" + one + b" " * (1_000_000 - len(one) - 2) + b"]"
    assert mitto.post("dlr", body).get_json()["accepted"] == 1


# --- the proof ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("dlr", {"X-Mitto-Signature": SIGNED}),
        ("dlr", {"X-Mitto-Signature": f"sha256={SIGNED.upper()}"}),
        ("dlr", {"X-Hub-Signature-256": f"sha256={SIGNED}"}),
        ("dlr", {signature.TOKEN_HEADER: TOKEN}),
        (f"dlr?token={TOKEN}", {}),
        ("dlr", {"X-Mitto-Signature": "0" * 64, signature.TOKEN_HEADER: TOKEN}),
    ],
)
def test_either_proof_opens_the_door(mitto: Mitto, path: str, headers: dict[str, str]) -> None:
    assert mitto.send(path, RAW, headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("dlr", {}),
        ("dlr", {"X-Mitto-Signature": ""}),
        ("dlr", {"X-Mitto-Signature": "sha256="}),
        ("dlr", {"X-Mitto-Signature": "0" * 64}),
        ("dlr", {"X-Mitto-Signature": SIGNED[:-1]}),
        ("dlr", {"X-Mitto-Signature": signature.sign(RAW + b" ", SECRET)}),
        ("dlr", {"X-Mitto-Signature": signature.sign(RAW, "another secret")}),
        ("dlr", {"X-Mitto-Signature": f"{SIGNED}, {SIGNED}"}),  # a header sent twice, as servers join it
        ("dlr", {"X-Mitto-Signature": "Υπογραφή".encode().decode("latin-1")}),
        ("dlr", {"X-Mitto-Signature": "f" * 1_000_000}),
        ("dlr", {signature.TOKEN_HEADER: "wrong"}),
        ("dlr", {signature.TOKEN_HEADER: f"{TOKEN},{TOKEN}"}),
        ("dlr", {signature.TOKEN_HEADER: "ÿ" * 100_000}),
        ("dlr", {"Authorization": f"Bearer {TOKEN}"}),
        ("dlr?token=", {}),
        ("dlr?token=wrong", {}),
        ("dlr?token=%FF%00%CE%B1", {}),
        ("dlr?token=wrong&token=" + TOKEN, {}),
        ("dlr/nobody.myshopify.com", {}),
    ],
)
def test_without_a_valid_proof_nothing_is_stored(mitto: Mitto, path: str, headers: dict[str, str]) -> None:
    answer = mitto.send(path, RAW, headers)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unproven")
    assert receipts() == []


def test_the_proof_is_asked_for_before_the_body_is_looked_at(mitto: Mitto) -> None:
    assert mitto.send("dlr", b"nonsense", {}).status_code == 401


def test_a_get_is_proven_by_a_token_alone_since_a_signature_would_cover_nothing(mitto: Mitto) -> None:
    empty = {"X-Mitto-Signature": signature.sign(b"", SECRET)}
    assert mitto.send("dlr?msgid=1&status=DELIVERED", b"", empty, method="GET").status_code == 401
    assert mitto.send(f"dlr?msgid=1&status=DELIVERED&token={TOKEN}", b"", {}, method="GET").status_code == 200


def test_an_installation_without_secret_and_token_takes_nothing_and_says_why(mitto: Mitto) -> None:
    before = config.current()
    config.use(replace(before, mitto_hmac_secrets=(), mitto_webhook_tokens=()))
    try:
        answer = mitto.post("dlr", a_receipt())
    finally:
        config.use(before)
    assert answer.status_code == 401
    assert "MITTO_WEBHOOK_TOKEN" in answer.get_json()["actionable"]


def test_two_secrets_are_valid_while_one_is_exchanged_for_the_other(mitto: Mitto) -> None:
    before = config.current()
    config.use(replace(before, mitto_hmac_secrets=("new", SECRET)))
    try:
        assert mitto.post("dlr", a_receipt()).status_code == 200
        assert mitto.send("dlr", RAW, {"X-Mitto-Signature": signature.sign(RAW, "new")}).status_code == 200
    finally:
        config.use(before)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_there(mitto: Mitto, method: str) -> None:
    assert mitto.send("dlr", RAW, {signature.TOKEN_HEADER: TOKEN}, method=method).status_code == 405


# --- the shop -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["dlr/ours.myshopify.com", "dlr?shop=ours.myshopify.com", "dlr/OURS.myshopify.com"])
def test_the_address_may_name_the_shop(mitto: Mitto, personas: Personas, path: str) -> None:
    mitto.post(path, a_receipt())
    assert [each.named_shop_id for each in receipts()] == [personas.ours.id]


@pytest.mark.parametrize("path", ["dlr/nobody.myshopify.com", "dlr?shop=", "dlr?shop=%00", "dlr/%00", "dlr/%FF"])
def test_a_shop_that_is_not_here_is_not_found(mitto: Mitto, personas: Personas, path: str) -> None:
    answer = mitto.post(path, a_receipt())
    assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_shop")
    assert receipts() == []


def test_a_receipt_at_another_shops_address_changes_nothing(mitto: Mitto, personas: Personas) -> None:
    batch = create_batch(create_dispatch(personas.theirs.id), state="done")
    message = create_message(batch, "01K1")
    mitto.post("dlr/ours.myshopify.com", a_receipt("01K1"))
    messaging.apply_receipts()
    db.session.refresh(message)
    assert message.state == "sent"
    assert [each.state for each in receipts()] == ["refused"]


# --- then -----------------------------------------------------------------------------------------------------------


def test_a_stored_receipt_wakes_a_worker(mitto: Mitto) -> None:
    mitto.post("dlr", a_receipt())
    assert queue.rq_queue("receipts").count == 1


def test_a_receipt_that_comes_before_the_sends_own_answer_is_not_lost(mitto: Mitto, personas: Personas) -> None:
    mitto.post("dlr", a_receipt("01K1"))
    messaging.apply_receipts()
    assert [each.state for each in receipts()] == ["orphan"]
    batch = create_batch(create_dispatch(personas.ours.id), state="done")
    message = create_message(batch, "01K1")
    rematch_orphans()
    messaging.apply_receipts()
    db.session.refresh(message)
    assert (message.state, message.delivery_status) == ("delivered", "Delivered")


def test_when_the_database_is_away_mitto_is_asked_to_repeat(mitto: Mitto, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=1")

    monkeypatch.setattr(db, "autocommit", refuse)
    with pytest.raises(psycopg.OperationalError):
        refuse()
    answer = mitto.post("dlr", a_receipt())
    assert (answer.status_code, answer.get_json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_the_acknowledgement_comes_after_the_commit(committed_app: Flask) -> None:
    """Another connection sees the receipt as soon as the answer is there."""
    assert Mitto(committed_app).post("dlr", a_receipt()).status_code == 200
    with db.engine().connect() as other:
        assert other.exec_driver_sql("SELECT count(*) FROM receipts").scalar_one() == 1
