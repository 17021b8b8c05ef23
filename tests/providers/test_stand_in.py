"""The stand-in itself: it is the judge of every other test, so its log, its receipts and its end are tested here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from blossom.mitto.client import MittoClient
from blossom.mitto.payloads import OutgoingText, Refusal, Refused, bulk_body, delivery_state, parse_inbound
from blossom.sandbox.mitto.process import StandIn, StandInError
from blossom.sandbox.mitto.segments import segments
from tests.providers.conftest import ACCOUNT, TEXTS
from tests.providers.receiver import SECRET, Receiver

Connect = Callable[..., MittoClient]
MANY = [OutgoingText(f"+30698430{number:04d}", f"text {number}", "Blossom") for number in range(40)]


@contextmanager
def receipts_to(receiver: Receiver, **receipts: Any) -> Iterator[StandIn]:
    """A stand-in of one's own that posts receipts to `receiver`, with a proof."""
    plan = {"url": receiver.url, "proof": {"hmac_secret": SECRET}, "retry_seconds": 0.01} | receipts
    with StandIn.start(receipts=plan) as mitto:
        yield mitto


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Come back as soon as `holds()`; fail the test if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


# --- the log --------------------------------------------------------------------------------------------------------


def test_the_log_has_every_text_taken_in_order(stand_in: StandIn, connect: Connect) -> None:
    client = connect(stand_in.url)
    first = client.send_bulk(TEXTS, ACCOUNT)
    second = client.send_bulk(MANY, "another account")
    log = stand_in.log()
    assert [each["seq"] for each in log] == list(range(43))
    assert [each["messageId"] for each in log] == [*first.message_ids, *second.message_ids]
    assert [each["bulkId"] for each in log] == [first.bulk_id] * 3 + [second.bulk_id] * 40
    assert [OutgoingText(each["destination"], each["text"], each["sender"]) for each in log] == TEXTS + MANY
    assert {each["accountId"] for each in log} == {ACCOUNT, "another account"}


def test_the_log_can_be_read_from_any_place(stand_in: StandIn, connect: Connect) -> None:
    client = connect(stand_in.url)
    for start in range(0, 40, 7):
        client.send_bulk(MANY[start : start + 7], ACCOUNT)
    whole = stand_in.log()
    for offset in (0, 1, 6, 7, 8, 39, 40, 400):
        page = requests.get(f"{stand_in.url}/_sandbox/log?offset={offset}&limit=9", timeout=5).json()
        assert page == whole[offset : offset + 9]


def test_the_log_file_has_a_text_before_its_answer_has_come(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "texts.jsonl"
    with StandIn.start(log=path) as mitto:
        for number in range(1, 6):
            connect(mitto.url).send_bulk(TEXTS, ACCOUNT)
            lines = path.read_bytes().splitlines()
            assert [orjson.loads(line)["seq"] for line in lines] == list(range(3 * number))


def test_the_summary_names_who_was_texted_twice_and_counts_segments(stand_in: StandIn, connect: Connect) -> None:
    client = connect(stand_in.url)
    client.send_bulk(MANY, ACCOUNT)
    assert stand_in.summary()["doubled"] == 0
    client.send_one(OutgoingText(MANY[7].destination, "Γ" * 161, "Blossom"), ACCOUNT)
    summary = stand_in.summary(segments=True)
    assert (summary["texts"], summary["distinct_destinations"], summary["segments"]) == (41, 40, 42)
    assert summary["doubled_destinations"] == {MANY[7].destination: 2}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("ά" * 70, 1),
        ("ά" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
    ],
)
def test_the_judge_counts_segments_by_the_standard(text: str, parts: int) -> None:
    assert segments(text) == parts


def test_reset_forgets_texts_and_begins_to_count_anew(stand_in: StandIn, connect: Connect) -> None:
    client = connect(stand_in.url)
    client.send_bulk(TEXTS, ACCOUNT)
    stand_in.reset()
    client.send_bulk(TEXTS[:1], ACCOUNT)
    assert [each["seq"] for each in stand_in.log()] == [0]
    assert stand_in.summary()["texts"] == 1


# --- outcomes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state", "raw"),
    [
        ("delivered", "delivered", "Delivered"),
        ("failed:DLR_021", "failed", "Failure"),
        ("undelivered", "failed", "undelivered"),
        ("expired", "failed", "EXPIRED"),
        ("sent", "sent", "Sent"),
    ],
)
def test_a_number_has_the_outcome_that_was_set_for_it(
    word: str, state: str, raw: str, stand_in: StandIn, connect: Connect
) -> None:
    stand_in.configure(outcomes={"exact": {TEXTS[1].destination: word}})
    client = connect(stand_in.url)
    message_id = client.send_bulk(TEXTS, ACCOUNT).message_ids[1]
    assert message_id is not None
    status = client.status(message_id)
    assert status is not None
    assert status.status_raw == raw
    assert delivery_state(status.status_raw) == state


def test_rules_are_asked_from_the_exact_number_to_the_share(stand_in: StandIn, connect: Connect) -> None:
    stand_in.configure(
        outcomes={
            "exact": {"+306984300001": "expired"},
            "suffix": {"1": "failed:A"},
            "prefix": {"+30698430000": "failed:B"},
            "blocked_words": ["text 13"],
            "share": {"sent": 1.0},
        }
    )
    client = connect(stand_in.url)
    answer = client.send_bulk(MANY, ACCOUNT)
    assert [place for place, message_id in enumerate(answer.message_ids) if message_id is None] == [13]
    assert answer.outcome(13) == Refused(Refusal.BLOCKED_CONTENT)
    said = {place: client.status(str(answer.message_ids[place])) for place in (1, 2, 11, 20)}
    assert {place: (each.status_raw, each.description) for place, each in said.items() if each} == {
        1: ("EXPIRED", None),
        2: ("Failure", "B"),
        11: ("Failure", "A"),
        20: ("Sent", None),
    }


def test_shares_are_kept_and_fall_on_the_same_numbers_each_time(stand_in: StandIn, connect: Connect) -> None:
    stand_in.configure(outcomes={"share": {"invalid": 0.3}})
    texts = [OutgoingText(f"+3069{number:08d}", "hi", "Blossom") for number in range(500)]
    client = connect(stand_in.url)
    first, again = (client.send_bulk(texts, ACCOUNT).message_ids for _ in range(2))
    refused = [message_id is None for message_id in first]
    assert 110 < sum(refused) < 190
    assert refused == [message_id is None for message_id in again]


def test_a_whole_call_is_refused_as_long_as_the_number_is_in_it(stand_in: StandIn, connect: Connect) -> None:
    stand_in.configure(outcomes={"exact": {TEXTS[1].destination: "invalid_batch"}})
    url, headers = stand_in.url, {"X-Mitto-API-Key": stand_in.api_key}
    client = connect(url)
    path = "/api/v1.1/Messages/sendmessagesbulk"
    assert requests.post(url + path, bulk_body(TEXTS, ACCOUNT), headers=headers, timeout=5).status_code == 400
    assert stand_in.summary()["texts"] == 0
    client.send_bulk([TEXTS[0], TEXTS[2]], ACCOUNT)
    assert stand_in.summary()["texts"] == 2


@pytest.mark.parametrize("destination", ["", "12", "+30abc4303401", "+306984303406123456"])
def test_what_is_no_phone_number_is_refused_and_not_logged(
    destination: str, stand_in: StandIn, connect: Connect
) -> None:
    answer = connect(stand_in.url).send_bulk([TEXTS[0], OutgoingText(destination, "hi", "Blossom")], ACCOUNT)
    assert answer.message_ids[1] is None
    assert stand_in.summary()["texts"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"messages": []}', 400),
        (b'{"messages": [{}]}', 400),
        (b'{"messages": [{"trafficAccountId": 1, "destination": "+30", "sms": {"text": "", "sender": ""}}]}', 400),
        (b" " * 1_000_001, 413),
    ],
)
def test_a_call_of_the_wrong_shape_is_refused(body: bytes, status: int, stand_in: StandIn) -> None:
    url = f"{stand_in.url}/api/v1.1/Messages/sendmessagesbulk"
    answer = requests.post(url, body, headers={"X-Mitto-API-Key": stand_in.api_key}, timeout=5)
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", "/api/v1.1/Messages/send", None, 401),
        ("POST", "/api/v1.1/Messages/send", "wrong", 401),
        ("GET", "/api/v1.1/Messages/01ARZ3NDEKTSV4RRFFQ69G5FAV", "wrong", 401),
        ("GET", "/api/v1.1/Messages/01ARZ3NDEKTSV4RRFFQ69G5FAV", "sandbox-key", 404),
        ("GET", "/api/v1.1/Messages/send", "sandbox-key", 405),
        ("POST", "/api/v2/sms", "sandbox-key", 404),
    ],
)
def test_strangers_and_unknown_paths_are_turned_away(
    method: str, path: str, key: str | None, status: int, stand_in: StandIn
) -> None:
    headers = {} if key is None else {"X-Mitto-API-Key": key}
    assert requests.request(method, stand_in.url + path, headers=headers, timeout=5).status_code == status


# --- receipts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["deliveryStatus", "status", "errorcode", "form", "query"])
def test_each_text_gets_one_genuine_receipt_in_any_shape(shape: str, receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, shape=shape) as mitto:
        mitto.configure(outcomes={"exact": {TEXTS[1].destination: "failed:DLR_021"}})
        ids = connect(mitto.url).send_bulk(TEXTS, ACCOUNT).message_ids
        wait_until(lambda: len(receiver.arrived) == 3)
    assert all(request.genuine for request in receiver.arrived)
    states = {message_id: delivery_state(status) for message_id, status in receiver.said}
    assert states == {ids[0]: "delivered", ids[1]: "failed", ids[2]: "delivered"}
    assert "DLR_021" in {each.error_code for request in receiver.arrived for each in request.receipts}


def test_a_token_proves_a_receipt_as_well(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, proof={"token": SECRET, "hmac_secret": ""}) as mitto:
        connect(mitto.url).send_bulk(TEXTS, ACCOUNT)
        wait_until(lambda: len(receiver.said) == 3)
    assert all("X-Mitto-Signature" not in request.headers for request in receiver.arrived)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_receipts_come_in_arrays_of_the_size_asked_for(size: int, receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, array_size=size) as mitto:
        connect(mitto.url).send_bulk(MANY, ACCOUNT)
        wait_until(lambda: len(receiver.said) == 40)
    sizes = sorted(len(request.receipts) for request in receiver.arrived)
    assert sizes == sorted([size] * (40 // size) + [40 % size] * bool(40 % size))


def test_receipts_keep_their_order_or_lose_it_as_told(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, connections=1, hold=True) as mitto:
        client = connect(mitto.url)
        said = {}
        for order in ("in_order", "reversed", "shuffled"):
            mitto.configure(receipts={"order": order})
            ids = client.send_bulk(MANY, ACCOUNT).message_ids
            receiver.arrived.clear()
            assert mitto.flush_receipts()["unfinished_posts"] == 0
            said[order] = ([message_id for message_id, _ in receiver.said], ids)
    assert said["in_order"][0] == said["in_order"][1]
    assert said["reversed"][0] == said["reversed"][1][::-1]
    assert said["shuffled"][0] != said["shuffled"][1]
    assert sorted(said["shuffled"][0]) == sorted(map(str, said["shuffled"][1]))


def test_each_receipt_is_repeated_as_often_as_told(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, repeats=3, hold=True, sent_first=True) as mitto:
        ids = connect(mitto.url).send_bulk(TEXTS, ACCOUNT).message_ids
        mitto.flush_receipts()
    assert sorted(receiver.said) == sorted(
        (str(message_id), status) for message_id in ids for status in ("Sent", "Delivered") for _ in range(3)
    )


def test_receipts_can_come_before_the_answer_to_the_send(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, before_answer=True) as mitto:
        ids = connect(mitto.url, timeout=5.0).send_bulk(TEXTS, ACCOUNT).message_ids
        assert sorted(message_id for message_id, _ in receiver.said) == sorted(map(str, ids))


def test_lost_receipts_are_never_posted(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, loss_share=1.0, hold=True) as mitto:
        connect(mitto.url).send_bulk(TEXTS, ACCOUNT)
        mitto.flush_receipts()
        assert mitto.counters()["receipts"]["lost"] == 3
    assert receiver.arrived == []


def test_forged_receipts_lie_and_dont_prove_themselves(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, forged_share=1.0, hold=True) as mitto:
        ids = connect(mitto.url).send_bulk(TEXTS, ACCOUNT).message_ids
        mitto.flush_receipts()
    forged = [request for request in receiver.arrived if not request.genuine]
    assert sorted(receiver.said) == sorted((str(message_id), "Delivered") for message_id in ids)
    assert {request.receipts[0].status_raw for request in forged} == {"Failure"}
    assert sorted(request.receipts[0].provider_message_id for request in forged) == sorted(map(str, ids))


def test_receipts_about_unknown_texts_are_genuine(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, unknown_share=1.0, hold=True) as mitto:
        ids = set(connect(mitto.url).send_bulk(TEXTS, ACCOUNT).message_ids)
        mitto.flush_receipts()
        mitto.post_unknown_receipts(2)
        wait_until(lambda: len(receiver.said) == 8)
        strangers = [message_id for message_id, _ in receiver.said if message_id not in ids]
        assert len(strangers) == 5
        assert all(connect(mitto.url).status(message_id) is None for message_id in strangers)


def test_a_receipt_that_isnt_answered_with_2xx_is_posted_again(receiver: Receiver, connect: Connect) -> None:
    receiver.statuses = [500, 503, 401]
    with receipts_to(receiver) as mitto:
        connect(mitto.url).send_one(TEXTS[0], ACCOUNT)
        wait_until(lambda: len(receiver.arrived) == 4)
        wait_until(lambda: mitto.counters()["receipts"]["unfinished_posts"] == 0)
    assert len({request.body for request in receiver.arrived}) == 1


def test_a_receipt_is_given_up_after_the_tries_it_has(receiver: Receiver, connect: Connect) -> None:
    receiver.statuses = [500] * 10
    with receipts_to(receiver, tries=3) as mitto:
        connect(mitto.url).send_one(TEXTS[0], ACCOUNT)
        wait_until(lambda: mitto.counters()["posts"].get("abandoned") == 1)
    assert len(receiver.arrived) == 3


def test_a_delayed_receipt_comes_in_its_time_and_the_status_changes_with_it(
    receiver: Receiver, connect: Connect
) -> None:
    with receipts_to(receiver, delay=[0.3, 0.5]) as mitto:
        client = connect(mitto.url)
        sent_at = time.monotonic()
        ids = client.send_bulk(TEXTS, ACCOUNT).message_ids
        before = client.status(str(ids[0]))
        wait_until(lambda: bool(receiver.arrived))
        assert time.monotonic() - sent_at >= 0.3
        wait_until(lambda: len(receiver.said) == 3)
        after = client.status(str(ids[0]))
    assert before is not None
    assert after is not None
    assert (before.status_raw, after.status_raw) == ("Sent", "Delivered")


def test_held_receipts_wait_for_the_flush_and_so_does_the_status(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver, hold=True) as mitto:
        client = connect(mitto.url)
        message_id = str(client.send_bulk(TEXTS, ACCOUNT).message_ids[0])
        before = client.status(message_id)
        assert mitto.counters()["receipts"]["planned"] == 3
        assert receiver.arrived == []
        assert mitto.flush_receipts()["flushed"] == 3
        after = client.status(message_id)
    assert before is not None
    assert after is not None
    assert (before.status_raw, after.status_raw) == ("Sent", "Delivered")


def test_receipts_of_texts_whose_answer_was_lost_are_posted_too(receiver: Receiver, connect: Connect) -> None:
    with receipts_to(receiver) as mitto:
        mitto.configure(faults=[{"kind": "reset", "taken": True, "next": 1}])
        with pytest.raises(Exception, match="broke"):
            connect(mitto.url).send_bulk(TEXTS, ACCOUNT)
        wait_until(lambda: len(receiver.said) == 3)
        status = connect(mitto.url).status(receiver.said[0][0])
    assert status is not None
    assert any(status.went_to(each.destination) and status.text == each.text for each in TEXTS)


# --- inbound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [False, True])
def test_a_persons_text_is_posted_to_the_app_and_its_answer_told(
    form: bool, receiver: Receiver, stand_in: StandIn
) -> None:
    stand_in.configure(inbound={"url": receiver.url, "proof": {"hmac_secret": SECRET}})
    reply = stand_in.inbound("+306984303406", "ΣΤΟΠ!", form=form)
    assert reply == {"status": 200, "body": "ok"}
    (request,) = receiver.arrived
    assert request.genuine
    (text,) = parse_inbound(request.body, request.headers["Content-Type"]).texts
    assert (text.sender, text.recipient, text.text) == ("+306984303406", "Blossom", "ΣΤΟΠ!")
    assert text.provider_message_id


def test_a_forged_inbound_text_doesnt_prove_itself(receiver: Receiver, stand_in: StandIn) -> None:
    stand_in.configure(inbound={"url": receiver.url, "proof": {"token": SECRET}})
    stand_in.inbound("+306984303406", "STOP", forged=True)
    assert not receiver.arrived[0].genuine


# --- steering, and its life -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        ({"colour": "red"}, "behaviour has no colour"),
        ({"receipts": {"ordre": "reversed"}}, "receipts has no ordre"),
        ({"receipts": {"order": "sideways"}}, "receipts.order is one of"),
        ({"receipts": {"url": "https://host/"}}, "receipts.url"),
        ({"outcomes": {"exact": {"+30": "lost"}}}, "no outcome is called 'lost'"),
        ({"faults": [{"kind": "flood"}]}, "no fault is called 'flood'"),
        ({"faults": "500"}, "faults is an object"),
    ],
)
def test_a_behaviour_that_cant_be_used_is_refused_with_the_reason(
    sections: dict[str, Any], error: str, stand_in: StandIn
) -> None:
    with pytest.raises(StandInError, match=error):
        stand_in.configure(**sections)


def test_faults_by_share_hit_about_that_many_calls_and_the_same_ones_for_a_seed(
    stand_in: StandIn, connect: Connect
) -> None:
    def hit() -> list[bool]:
        stand_in.configure(faults=[{"kind": "500", "share": 0.3}], seed=7)
        results = []
        for _ in range(60):
            try:
                client.send_bulk(TEXTS, ACCOUNT)
                results.append(False)
            except Exception:
                results.append(True)
        return results

    client = connect(stand_in.url)
    first = hit()
    assert 8 <= sum(first) <= 30
    assert first == hit()


def test_it_ends_cleanly_when_told_to(tmp_path: Path, connect: Connect) -> None:
    mitto = StandIn.start(log=tmp_path / "log")
    connect(mitto.url).send_bulk(TEXTS, ACCOUNT)
    mitto.stop()
    assert mitto._process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(mitto.pid, 0)


def test_it_ends_when_its_parent_has_been_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    program = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'blossom.sandbox.mitto', '--parent', str(os.getpid()),"
        f" '--ready-file', {str(ready)!r}], stdout=subprocess.DEVNULL)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    wait_until(ready.exists)
    pid = orjson.loads(ready.read_bytes())["pid"]
    parent.kill()
    parent.wait()

    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    """Ended, though whoever adopted it hasn't reaped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_says_so_when_it_cant_start() -> None:
    with pytest.raises(StandInError, match="ended with code"):
        StandIn.start(receipts={"order": "sideways"})
