"""Logs: one JSON line each, the request's id in and out and into jobs, and nobody's data."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from blossom.platform import logs
from blossom.platform.db import session

PHONE = "+306912345678"


class Lines:
    """What was logged, as read by a machine."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.all[-1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    captured = Lines()
    structlog.contextvars.clear_contextvars()
    logs.configure("INFO", captured.stream)
    yield captured
    logs.configure("WARNING")
    root.handlers[:], root.level = handlers, level
    structlog.contextvars.clear_contextvars()


def log() -> Any:
    return structlog.get_logger()


# Form


def test_a_line_is_json_with_time_level_and_facts(lines: Lines) -> None:
    log().info("batch.sent", texts=500, shop_id=7, dispatch_id=12345678901)
    entry = lines.last
    assert (entry["event"], entry["level"], entry["texts"], entry["shop_id"]) == ("batch.sent", "info", 500, 7)
    assert entry["dispatch_id"] == 12345678901, "ids and counts pass"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", entry["timestamp"])


def test_what_others_log_has_the_same_form(lines: Lines) -> None:
    logging.getLogger("alembic").warning("Running %s for %s", "upgrade", PHONE)
    assert lines.last["event"] == "Running upgrade for [number]"
    assert lines.last["level"] == "warning"


def test_below_the_level_nothing_is_said(lines: Lines) -> None:
    log().debug("whispered")
    logging.getLogger("rq.worker").info("chatter")
    assert lines.all == []


def test_a_line_break_in_a_value_makes_no_second_line(lines: Lines) -> None:
    log().info("odd", given='a\n{"event": "forged"}')
    assert len(lines.all) == 1


# Redaction


@pytest.mark.parametrize(
    "key",
    [
        "phone", "phone_hash", "contact_phone", "msisdn", "destination", "email", "e-mail", "mail", "first_name",
        "last_name", "full_name", "address", "ip_address", "text", "body", "secret", "hmac_secret", "token",
        "access_token", "password", "api_key", "Authorization", "cookie", "Set-Cookie", "X-Mitto-API-Key",
    ],
)  # fmt: skip
def test_a_key_that_names_personal_data_or_a_secret_is_dropped(lines: Lines, key: str) -> None:
    log().info("seen", **{key: "value-of-it"}, headers={key: "value-of-it"})
    assert "value-of-it" not in lines.stream.getvalue()
    assert lines.last[key] == "[redacted]"


@pytest.mark.parametrize(
    "given",
    [
        PHONE,
        "+30 691 234 5678",
        "+1 (415) 555-0132",
        "306912345678",
        f"sms:{PHONE}?body=hi",
        "eleni.papadopoulou+shop@example.gr",
    ],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: f"could not reach {value} today",
        lambda value: [value],
        lambda value: (1, [value]),
        lambda value: {value},
        lambda value: {"inner": {"deep": value}},
        lambda value: {value: 1},
        lambda value: ValueError(value),
        lambda value: type("Odd", (), {"__repr__": lambda _: value})(),
        lambda value: value.encode(),
    ],
    ids=["plain", "sentence", "list", "tuple", "set", "dict", "dict key", "exception", "object", "bytes"],
)
def test_what_looks_like_a_phone_or_an_address_is_masked_wherever_it_stands(
    lines: Lines, given: str, wrap: Any
) -> None:
    log().info("seen", fact=wrap(given))
    assert given not in lines.stream.getvalue()
    assert "12345678" not in lines.stream.getvalue()


def test_in_the_event_too(lines: Lines) -> None:
    log().info(f"sent to {PHONE}")
    assert lines.last["event"] == "sent to [number]"


@pytest.mark.parametrize(
    "fact", ["2026-11-20T18:40:00Z", "12345678", "0007_messaging", "campaigns.enqueued", "10:30", "€ 1.234,56"]
)
def test_what_is_no_phone_stays_readable(lines: Lines, fact: str) -> None:
    log().info("seen", fact=fact)
    assert lines.last["fact"] == fact


def test_a_traceback_tells_the_way_but_no_values(lines: Lines) -> None:
    def fail(plain: str, key: bytes) -> None:
        raise ValueError(f"{PHONE} is no number")

    try:
        fail("Ελένη Παπαδοπούλου", b"master key bytes")
    except ValueError:
        log().exception("job.failed")
        logging.getLogger("somebody").exception("theirs")
    written = lines.stream.getvalue()
    assert "Ελένη" not in written
    assert "master key bytes" not in written
    assert PHONE not in written
    for entry in lines.all:
        (exception,) = entry["exception"]
        assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "[number] is no number")
        assert exception["frames"][-1]["name"] == "fail"
        assert exception["frames"][-1]["lineno"] > 0


def test_a_row_that_postgres_refuses_is_not_quoted(app: Flask, lines: Lines) -> None:
    statement = text("INSERT INTO periodic_turns (name, due_at) VALUES (:name, '2026-01-01Z')")
    try:
        for _ in range(2):
            session.execute(statement, {"name": "Ελένη Παπαδοπούλου"})
    except IntegrityError:
        log().exception("request.failed")
    assert "Ελένη" not in lines.stream.getvalue()
    assert "pk_periodic_turns" in lines.stream.getvalue(), "which constraint it was, is told"


# The request's id


def test_every_line_of_a_request_carries_its_id(lines: Lines) -> None:
    assert logs.begin("abc-123") == "abc-123"
    log().info("first")
    logging.getLogger("somebody").warning("second")
    assert [entry["request_id"] for entry in lines.all] == ["abc-123", "abc-123"]
    assert logs.request_id() == "abc-123"


def test_the_next_request_starts_afresh(lines: Lines) -> None:
    logs.begin("first", job="test.job")
    second = logs.begin()
    log().info("seen")
    assert lines.last["request_id"] == second != "first"
    assert "job" not in lines.last


@pytest.mark.parametrize("given", ["0b5c1d9e-1111-4222-8333-123456789012", "a.b:c_d-9", "Root:1-67891233"])
def test_an_id_of_a_usual_form_is_kept_whole(lines: Lines, given: str) -> None:
    assert logs.begin(given) == given
    log().info("seen")
    assert lines.last["request_id"] == given


@pytest.mark.parametrize(
    "given", [None, "", "x" * 65, "two words", "a\nb", "a\n", '{"a":1}', "<script>", PHONE, "306912345678", "id=1", "é"]
)
def test_an_odd_id_is_replaced(given: str | None) -> None:
    chosen = logs.begin(given)
    assert chosen != given
    assert re.fullmatch("[0-9a-f]{32}", chosen)


def test_outside_of_any_request_there_is_none() -> None:
    structlog.contextvars.clear_contextvars()
    assert logs.request_id() is None


def test_the_id_comes_in_goes_through_the_lines_and_goes_out(app: Flask, lines: Lines) -> None:
    answer = app.test_client().get("/nothing-here", headers={"X-Request-Id": "from-the-router"})
    assert answer.headers["X-Request-Id"] == "from-the-router"
    odd = app.test_client().get("/nothing-here", headers={"X-Request-Id": f"call {PHONE}"})
    assert re.fullmatch("[0-9a-f]{32}", odd.headers["X-Request-Id"])
