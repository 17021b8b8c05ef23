"""What the client promises beyond single answers: one call at most, total time, connections, limits."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest

from blossom.mitto.client import MittoClient
from blossom.mitto.errors import FAULTS, SendError, SendErrorKind
from blossom.mitto.payloads import Accepted, OutgoingText, PayloadError, Refusal, Refused, bulk_body
from blossom.platform import clock, wire
from blossom.sandbox.mitto.process import StandIn
from tests.providers import recorded as replay
from tests.providers.conftest import ACCOUNT, TEXTS, Naps
from tests.providers.recorded import RecordedProvider

Connect = Callable[..., MittoClient]
ACCEPTED = replay.recording("bulk_accepted")


def refused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --- connections ---------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_transient_and_tried_four_times(connect: Connect, naps: Naps) -> None:
    with pytest.raises(SendError) as raised:
        connect(f"http://127.0.0.1:{refused_port()}").send_bulk(TEXTS, ACCOUNT)
    assert (raised.value.kind, raised.value.code) == (SendErrorKind.TRANSIENT, "could_not_connect")
    assert naps.total == 2.6


def test_an_unknown_host_is_transient(connect: Connect) -> None:
    with pytest.raises(SendError) as raised:
        connect("http://nobody.invalid", retry_delays=()).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.code == "could_not_connect"


def test_a_broken_tls_handshake_is_transient_because_nothing_of_the_call_had_left(
    connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.answer("bulk_accepted"))  # plain HTTP, to a client that speaks TLS
    with pytest.raises(SendError) as raised:
        connect(recorded.url.replace("http:", "https:"), retry_delays=()).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.code == "could_not_connect"
    assert recorded.requests == []


def test_a_connection_is_kept_from_call_to_call(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("bulk_accepted"))
    client = connect(recorded.url)
    for _ in range(5):
        client.send_bulk(TEXTS, ACCOUNT)
    assert len(recorded.requests) == 5
    assert recorded.connections == 1


def test_a_connection_that_was_closed_between_calls_is_noticed_before_anything_is_sent(
    connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.raw(ACCEPTED, then_close=True))
    client = connect(recorded.url)
    for _ in range(3):
        client.send_bulk(TEXTS, ACCOUNT)
        assert recorded.closed.acquire(timeout=5)
    assert len(recorded.requests) == 3
    assert recorded.connections == 3


@pytest.mark.parametrize("ending", [replay.close(), replay.reset()], ids=["closed", "reset"])
def test_a_kept_connection_that_is_lost_under_a_call_leaves_it_unknown_and_unrepeated(
    ending: replay.Turn, connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.answer("bulk_accepted"), ending, replay.answer("bulk_accepted"))
    client = connect(recorded.url)
    client.send_bulk(TEXTS, ACCOUNT)
    with pytest.raises(SendError) as raised:
        client.send_bulk(TEXTS, ACCOUNT)
    assert (raised.value.kind, raised.value.code) == (SendErrorKind.UNKNOWN_OUTCOME, "connection_lost")
    assert len(recorded.requests) == 2
    assert client.send_bulk(TEXTS, ACCOUNT).bulk_id  # and the next call gets a connection of its own
    assert recorded.connections == 2


def test_a_connection_that_has_idled_too_long_is_not_trusted(
    recorded: RecordedProvider, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    recorded.script(replay.answer("bulk_accepted"))
    client = connect(recorded.url)
    client.send_bulk(TEXTS, ACCOUNT)
    later = time.monotonic() + wire.MAX_IDLE + 1
    monkeypatch.setattr("blossom.platform.wire.time.monotonic", lambda: later)
    client.send_bulk(TEXTS, ACCOUNT)
    assert recorded.connections == 2


def test_what_is_left_of_a_bad_answer_is_never_read_as_the_next_one(
    connect: Connect, recorded: RecordedProvider
) -> None:
    unfinished = replay.drip(ACCEPTED, 0.05)
    recorded.script(unfinished, replay.answer("bulk_accepted"))
    client = connect(recorded.url, timeout=0.3)
    with pytest.raises(SendError):
        client.send_bulk(TEXTS, ACCOUNT)
    assert len(client.send_bulk(TEXTS, ACCOUNT).message_ids) == 3
    assert recorded.connections == 2


def test_a_provider_that_is_down_for_a_while_gets_the_texts_afterwards(connect: Connect, stand_in: StandIn) -> None:
    client = connect(stand_in.url, sleep=time.sleep, retry_delays=(0.1, 0.5, 2.0))
    client.send_bulk(TEXTS, ACCOUNT)
    stand_in.down(0.4)
    assert len(client.send_bulk(TEXTS, ACCOUNT).message_ids) == 3
    assert stand_in.summary()["texts"] == 6


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dripped",
    [ACCEPTED, b"HTTP/1.1 100 Continue\r\n\r\n" * 200, b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90],
    ids=["an answer", "informational answers", "headers"],
)
def test_the_time_bounds_the_whole_call_however_slowly_bytes_drip(
    dripped: bytes, connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.drip(dripped, 0.01))
    started = time.monotonic()
    with pytest.raises(SendError) as raised:
        connect(recorded.url, timeout=0.4).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.code == "no_answer_in_time"
    assert 0.35 < time.monotonic() - started < 0.9


def test_a_provider_that_takes_nothing_in_is_given_up_in_time(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # connects, and never reads
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        texts = [OutgoingText("+306984303406", "x" * 1_500, "Blossom")] * 500
        started = time.monotonic()
        with pytest.raises(SendError) as raised:
            connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.4).send_bulk(texts, ACCOUNT)
        assert raised.value.code == "no_answer_in_time"
        assert time.monotonic() - started < 0.9


def test_waiting_ends_when_the_worker_has_to_stop(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("429_retry_after_1"))
    naps: list[float] = []
    client = connect(recorded.url, sleep=naps.append, should_stop=lambda: len(naps) >= 2)
    with pytest.raises(SendError) as raised:
        client.send_bulk(TEXTS, ACCOUNT)
    assert raised.value.kind is SendErrorKind.TRANSIENT
    assert len(naps) == 2  # of the four quarters of a second that Retry-After asked for
    assert len(recorded.requests) == 1


def test_waits_add_up_to_no_more_than_the_bound(connect: Connect, recorded: RecordedProvider, naps: Naps) -> None:
    recorded.script(replay.answer("429_retry_after_1"))
    client = connect(recorded.url, max_wait=2.5, timeout=10.0)
    with pytest.raises(SendError):
        client.send_bulk(TEXTS, ACCOUNT)
    assert naps.total == 2.0
    assert len(recorded.requests) == 3
    assert client.longest_call_seconds == 42.6


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"7", 7.0),
        (b"2.5", 2.5),
        (b".5", None),
        (b"Fri, 20 Nov 2026 10:00:05 GMT", 5.0),
        (b"Fri, 20 Nov 2026 09:00:00 GMT", 0.0),
        (b"Fri, 20 Nov 2099 09:00:00 GMT", 86_400.0),
        (b"999999999", 86_400.0),
        (b"-5", None),
        (b"1e400", None),
        (b"soon", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    value: bytes, seconds: float | None, connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.raw(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: " + value + b"\r\n\r\n"))
    with (
        clock.frozen_at(datetime(2026, 11, 20, 10, tzinfo=UTC)),
        pytest.raises(SendError) as raised,
    ):
        connect(recorded.url, retry_delays=()).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.retry_after == seconds


# --- answers that only this level knows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "answer_unreadable"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answer_unreadable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answer_unreadable"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"messages": 3}', "answer_unreadable"),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"mess', "answer_incomplete"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "answer_incomplete"),
        (b'HTTP/1.1 503 Busy\r\nContent-Length: 500\r\n\r\n{"mess', "provider_failed"),
        (b'HTTP/1.1 503 Busy\r\nContent-Length: 17\r\n\r\n{"messageId": "01', "refused_but_taken"),
        (b"not HTTP at all\r\n\r\n", "connection_lost"),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "provider_failed"),
    ],
)
def test_an_odd_answer_leaves_the_outcome_unknown_after_one_call(
    answer: bytes, code: str, connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(replay.raw(answer, then_close=True))
    with pytest.raises(SendError) as raised:
        connect(recorded.url).send_bulk(TEXTS, ACCOUNT)
    assert (raised.value.kind, raised.value.code) == (SendErrorKind.UNKNOWN_OUTCOME, code)
    assert len(recorded.requests) == 1


def test_a_refusal_that_names_ids_is_not_split_and_sent_again(connect: Connect, recorded: RecordedProvider) -> None:
    body = b'{"message": "Partly handled", "messages": [{"messageId": "01KC69MT19BRK5MSXG1V95YPHX"}]}'
    recorded.script(replay.raw(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)))
    with pytest.raises(SendError) as raised:
        connect(recorded.url).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.code == "refused_but_taken"


def test_a_gateways_503_page_means_that_nothing_was_taken(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("503_gateway_page"), replay.answer("bulk_accepted"))
    assert connect(recorded.url).send_bulk(TEXTS, ACCOUNT).bulk_id


def test_a_refused_single_text_says_what_is_wrong_with_it(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("400_sender"))
    client = connect(recorded.url)
    for send in (lambda: client.send_one(TEXTS[0], ACCOUNT), lambda: client.send_bulk(TEXTS[:1], ACCOUNT)):
        with pytest.raises(SendError) as raised:
            send()
        assert (raised.value.code, raised.value.scope) == ("sender_refused", "message")


def test_a_single_texts_answer_is_read_in_each_known_shape(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(
        replay.answer("single_accepted"), replay.answer("single_accepted_flat"), replay.answer("single_refused")
    )
    client = connect(recorded.url)
    assert client.send_one(TEXTS[0], ACCOUNT) == Accepted("01KC69MT19BRK5MSXG1V95YPHX")
    assert client.send_one(TEXTS[0], ACCOUNT) == Accepted("01KC69MT19BRK5MSXG1V95YPHX")
    assert client.send_one(TEXTS[0], ACCOUNT) == Refused(Refusal.INVALID_NUMBER)


@pytest.mark.parametrize("turn", [replay.answer("500"), replay.silence(), replay.reset(), replay.answer("bulk_html")])
def test_a_status_may_be_asked_again_whatever_happened(
    turn: replay.Turn, connect: Connect, recorded: RecordedProvider
) -> None:
    recorded.script(turn, replay.answer("status_delivered"))
    status = connect(recorded.url, timeout=0.3).status("01KC69MT19BRK5MSXG1V95YPHX")
    assert status is not None
    assert status.went_to("+306984303406")
    assert len(recorded.requests) == 2


def test_no_library_beneath_us_repeats_a_call_on_its_own(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.close())
    client = connect(recorded.url, retry_delays=())
    with pytest.raises(SendError):
        client.status("01KC69MT19BRK5MSXG1V95YPHX")  # a GET, which libraries find safe to repeat
    assert len(recorded.requests) == 1
    with pytest.raises(SendError):
        client.send_bulk(TEXTS, ACCOUNT)
    assert len(recorded.requests) == 2


def test_a_status_asked_with_a_bad_key_is_permanent(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("401"))
    with pytest.raises(SendError) as raised:
        connect(recorded.url).status("01KC69MT19BRK5MSXG1V95YPHX")
    assert raised.value.code == "unauthorized"
    assert len(recorded.requests) == 1


def test_a_message_id_cant_change_the_path(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("404"))
    assert connect(recorded.url).status("../../admin?x=1#y") is None
    assert recorded.requests[0].startswith(b"GET /api/v1.1/Messages/..%2F..%2Fadmin%3Fx%3D1%23y HTTP/1.1\r\n")


# --- what goes out --------------------------------------------------------------------------------------------------


def test_a_bulk_call_is_what_the_api_describes(connect: Connect, recorded: RecordedProvider) -> None:
    recorded.script(replay.answer("bulk_accepted"))
    connect(recorded.url, api_key="k1").send_bulk(TEXTS, ACCOUNT)
    head, _, body = recorded.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1.1/Messages/sendmessagesbulk HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"x-mitto-api-key: k1" in lines
    assert b"content-type: application/json" in lines
    assert not any(line.startswith((b"cookie:", b"authorization:")) for line in lines)
    assert orjson.loads(body)["messages"][2] == {
        "trafficAccountId": ACCOUNT,
        "destination": "+306984303402",
        "sms": {"text": "Γεια 2 €", "sender": "Blossom"},
    }


def test_cookies_are_not_kept(connect: Connect, recorded: RecordedProvider) -> None:
    with_cookie = ACCEPTED.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n", 1)
    recorded.script(replay.raw(with_cookie))
    client = connect(recorded.url)
    client.send_bulk(TEXTS, ACCOUNT)
    client.send_bulk(TEXTS, ACCOUNT)
    assert b"cookie" not in recorded.requests[1].lower()


@pytest.mark.parametrize(
    ("texts", "options"),
    [([], {}), (TEXTS, {"batch_size": 2}), (TEXTS, {"max_bytes": 300})],
    ids=["none", "too many", "too large"],
)
def test_a_call_past_the_limits_is_refused_before_anything_leaves(
    texts: list[OutgoingText], options: dict[str, int], connect: Connect, recorded: RecordedProvider
) -> None:
    with pytest.raises(ValueError, match=r"call"):
        connect(recorded.url, **options).send_bulk(texts, ACCOUNT)
    assert recorded.connections == 0


def test_half_a_surrogate_pair_is_refused_before_anything_leaves(connect: Connect, recorded: RecordedProvider) -> None:
    with pytest.raises(PayloadError):
        connect(recorded.url).send_one(OutgoingText("+306984303406", "\ud83d", "Blossom"), ACCOUNT)
    assert recorded.connections == 0


@pytest.mark.parametrize("text", ["plain words", "\x01" * 300, "€" * 800, "😀" * 400, '"\\' * 500])
def test_a_plan_keeps_order_and_both_limits(text: str, connect: Connect) -> None:
    client = connect("http://127.0.0.1:1", batch_size=50, max_bytes=40_000)
    texts = [OutgoingText(f"+30698{number:07d}", text, "Blossom") for number in range(230)]
    groups = client.plan(texts, ACCOUNT)
    assert [each for group in groups for each in group] == texts
    assert all(len(group) <= 50 and len(bulk_body(group, ACCOUNT)) <= 40_000 for group in groups)


def test_a_plan_refuses_a_text_that_fits_in_no_call(connect: Connect) -> None:
    client = connect("http://127.0.0.1:1", max_bytes=2_000)
    with pytest.raises(PayloadError, match="position 1"):
        client.plan([TEXTS[0], OutgoingText("+306984303406", "x" * 3_000, "Blossom")], ACCOUNT)


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "https://host/?a=b", "host:80"])
def test_a_base_url_that_cant_be_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        MittoClient(url, "key")


@pytest.mark.parametrize("key", ["", "a\nb", "ключ", " key"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        MittoClient("http://host", key)


# --- the table of errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(FAULTS))
def test_each_error_of_the_table_can_be_told_and_carried_to_another_process(code: str) -> None:
    error = SendError(code, http_status=418, retry_after=2.0)
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert error.merchant_text.endswith(".")
    assert error.as_json(None)["code"] == code


def test_each_refusal_of_a_single_text_is_in_the_table_as_permanent() -> None:
    for refusal in Refusal:
        assert FAULTS[refusal].kind is SendErrorKind.PERMANENT
        assert FAULTS[refusal].scope == "message"
