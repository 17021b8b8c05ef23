"""Each way in which a call can end, against recorded answers and against the stand-in: what it means, how many
calls reached the provider, and how many texts it took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from blossom.mitto.client import MittoClient
from blossom.mitto.errors import SendError, SendErrorKind, SendErrorScope
from blossom.mitto.payloads import Accepted, Refusal, Refused
from tests.providers import recorded as replay
from tests.providers.conftest import ACCOUNT, TEXTS, Naps, RecordedFace, StandInFace
from tests.providers.recorded import Turn

Face = RecordedFace | StandInFace
PERMANENT, TRANSIENT, UNKNOWN = SendErrorKind.PERMANENT, SendErrorKind.TRANSIENT, SendErrorKind.UNKNOWN_OUTCOME
ACCOUNT_WIDE, BATCH = SendErrorScope.ACCOUNT, SendErrorScope.BATCH


@dataclass(frozen=True)
class Bad:
    """A call that goes wrong: how either provider brings it about, and what must come of it."""

    name: str
    turn: Turn
    fault: dict[str, Any]
    kind: SendErrorKind
    code: str
    scope: SendErrorScope = BATCH
    calls: int = 1
    taken: int = 0


def status(number: int, kind: SendErrorKind, code: str, **expected: Any) -> Bad:
    return Bad(str(number), replay.answer(str(number)), {"kind": str(number)}, kind, code, **expected)


HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000

BAD_CALLS = [
    # Nothing was taken: tried four times in all.
    status(429, TRANSIENT, "rate_limited", calls=4),
    status(503, TRANSIENT, "provider_busy", calls=4),
    # Refused: once is enough.
    status(400, PERMANENT, "batch_refused"),
    status(404, PERMANENT, "not_found", scope=ACCOUNT_WIDE),
    status(413, PERMANENT, "batch_too_large"),
    status(422, PERMANENT, "batch_refused"),
    status(401, PERMANENT, "unauthorized", scope=ACCOUNT_WIDE),
    status(402, PERMANENT, "payment_required", scope=ACCOUNT_WIDE),
    status(403, PERMANENT, "forbidden", scope=ACCOUNT_WIDE),
    status(307, PERMANENT, "wrong_address", scope=ACCOUNT_WIDE),
    # May have been taken: exactly one call, whether it was or not.
    status(302, UNKNOWN, "provider_failed"),
    status(408, UNKNOWN, "provider_failed"),
    status(500, UNKNOWN, "provider_failed"),
    status(502, UNKNOWN, "provider_failed"),
    status(504, UNKNOWN, "provider_failed"),
    Bad("500 taken", replay.answer("500"), {"kind": "500", "taken": True}, UNKNOWN, "provider_failed", taken=3),
    Bad("502 taken", replay.answer("502"), {"kind": "502", "taken": True}, UNKNOWN, "provider_failed", taken=3),
    Bad("504 taken", replay.answer("504"), {"kind": "504", "taken": True}, UNKNOWN, "provider_failed", taken=3),
    Bad(
        "503 that names ids",
        replay.answer("503_names_ids"),
        {"kind": "503", "taken": True},
        UNKNOWN,
        "refused_but_taken",
        taken=3,
    ),
    Bad("silence", replay.silence(), {"kind": "timeout"}, UNKNOWN, "no_answer_in_time"),
    Bad("silence, taken", replay.silence(), {"kind": "timeout", "taken": True}, UNKNOWN, "no_answer_in_time", taken=3),
    Bad("reset", replay.reset(), {"kind": "reset"}, UNKNOWN, "connection_lost"),
    Bad("reset, taken", replay.reset(), {"kind": "reset", "taken": True}, UNKNOWN, "connection_lost", taken=3),
    Bad(
        "cut short",
        replay.raw(replay.recording("bulk_cut"), then_close=True),
        {"kind": "cut"},
        UNKNOWN,
        "answer_incomplete",
        taken=3,
    ),
    Bad(
        "dripping",
        replay.drip(replay.recording("bulk_accepted"), 0.02),
        {"kind": "drip", "seconds": 0.02},
        UNKNOWN,
        "no_answer_in_time",
        taken=3,
    ),
    Bad("not JSON", replay.answer("bulk_html"), {"kind": "garbage"}, UNKNOWN, "answer_unreadable", taken=3),
    Bad("huge", replay.raw(HUGE), {"kind": "huge"}, UNKNOWN, "answer_too_large", taken=3),
    Bad("fewer entries", replay.answer("bulk_fewer"), {"kind": "fewer"}, UNKNOWN, "answer_mismatched", taken=3),
    Bad("more entries", replay.answer("bulk_more"), {"kind": "more"}, UNKNOWN, "answer_mismatched", taken=3),
    Bad(
        "one id twice",
        replay.answer("bulk_doubled_ids"),
        {"kind": "doubled_ids"},
        UNKNOWN,
        "answer_mismatched",
        taken=3,
    ),
]


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_a_bad_call_has_its_class_and_is_made_as_often_as_is_safe(
    bad: Bad, provider: Face, connect: Callable[..., MittoClient]
) -> None:
    provider.behave((bad.turn,), (bad.fault | {"next": 10},))
    with pytest.raises(SendError) as raised:
        connect(provider.url, timeout=5.0 if bad.name == "huge" else 0.6).send_bulk(TEXTS, ACCOUNT)
    error = raised.value
    assert (error.kind, error.code, error.scope) == (bad.kind, bad.code, bad.scope)
    assert provider.calls() == bad.calls
    if provider.taken() is not None:
        assert provider.taken() == bad.taken


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_a_bad_call_says_nothing_about_the_people_in_it(
    bad: Bad, recorded: replay.RecordedProvider, connect: Callable[..., MittoClient]
) -> None:
    recorded.script(bad.turn)
    with pytest.raises(SendError) as raised:
        connect(recorded.url, api_key="the-secret-key", timeout=0.3).send_bulk(TEXTS, ACCOUNT)
    error: BaseException | None = raised.value
    while error is not None:
        told = f"{error!r} {error} {vars(error)}"
        assert not any(each.destination in told or each.text in told for each in TEXTS)
        assert "the-secret-key" not in told
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_texts_are_accepted_in_their_order(provider: Face, connect: Callable[..., MittoClient]) -> None:
    provider.behave((replay.answer("bulk_accepted"),), ())
    answer = connect(provider.url).send_bulk(TEXTS, ACCOUNT)
    assert answer.bulk_id is not None
    assert len(set(answer.message_ids)) == 3
    assert all(isinstance(answer.outcome(place), Accepted) for place in range(3))
    assert provider.calls() == 1
    if provider.taken() is not None:
        assert provider.taken() == 3


def test_an_entry_without_an_id_is_a_refused_text_and_the_others_are_accepted(
    provider: Face, connect: Callable[..., MittoClient]
) -> None:
    provider.behave((replay.answer("bulk_one_refused"),), ({"kind": "missing_ids", "next": 1},))
    answer = connect(provider.url).send_bulk(TEXTS, ACCOUNT)
    assert [message_id is None for message_id in answer.message_ids] == [False, True, False]
    assert answer.outcome(1) == Refused(Refusal.INVALID_NUMBER)
    if provider.taken() is not None:
        assert provider.taken() == 2


def test_a_single_text_is_accepted(provider: Face, connect: Callable[..., MittoClient]) -> None:
    provider.behave((replay.answer("single_accepted"),), ())
    assert isinstance(connect(provider.url).send_one(TEXTS[0], ACCOUNT), Accepted)
    assert provider.calls() == 1


@pytest.mark.parametrize("kind", ["429", "503"])
def test_what_was_not_taken_is_sent_once_the_provider_recovers(
    kind: str, provider: Face, connect: Callable[..., MittoClient], naps: Naps
) -> None:
    provider.behave(
        (replay.answer(kind), replay.answer(kind), replay.answer("bulk_accepted")), ({"kind": kind, "next": 2},)
    )
    assert len(connect(provider.url).send_bulk(TEXTS, ACCOUNT).message_ids) == 3
    assert provider.calls() == 3
    assert naps.total == 0.6  # 100 ms, then 500 ms
    if provider.taken() is not None:
        assert provider.taken() == 3


def test_retry_after_is_obeyed_where_it_is_longer_than_our_own_wait(
    provider: Face, connect: Callable[..., MittoClient], naps: Naps
) -> None:
    provider.behave(
        (replay.answer("429_retry_after_1"), replay.answer("bulk_accepted")),
        ({"kind": "429", "retry_after": 1, "next": 1},),
    )
    connect(provider.url).send_bulk(TEXTS, ACCOUNT)
    assert naps.total == 1.0
    assert provider.calls() == 2


def test_a_retry_after_past_our_patience_goes_back_to_the_caller_at_once(
    provider: Face, connect: Callable[..., MittoClient], naps: Naps
) -> None:
    provider.behave((replay.answer("429_retry_after_3600"),), ({"kind": "429", "retry_after": 3600, "next": 10},))
    with pytest.raises(SendError) as raised:
        connect(provider.url).send_bulk(TEXTS, ACCOUNT)
    assert raised.value.retry_after == 3600
    assert naps.taken == []
    assert provider.calls() == 1


def test_a_status_is_told_and_an_unknown_id_is_none(provider: Face, connect: Callable[..., MittoClient]) -> None:
    provider.behave((replay.answer("single_accepted"), replay.answer("status_delivered"), replay.answer("404")), ())
    client = connect(provider.url)
    accepted = client.send_one(TEXTS[0], ACCOUNT)
    assert isinstance(accepted, Accepted)
    status = client.status(accepted.message_id)
    assert status is not None
    assert status.status_raw == "Delivered"
    assert status.message_id == accepted.message_id
    assert status.participants
    assert status.text
    assert status.created_at is not None
    assert status.parts == 1
    assert client.status("01ARZ3NDEKTSV4RRFFQ69G5FAV") is None


def test_health_tells_a_good_key_from_a_bad_one(provider: Face, connect: Callable[..., MittoClient]) -> None:
    provider.behave((replay.answer("404"),), ())
    assert connect(provider.url).health().code == "ok"
    provider.behave((replay.answer("401"),), ())
    assert connect(provider.url, api_key="not-the-key").health().code == "unauthorized"
