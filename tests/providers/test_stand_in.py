"""The stand-in itself: it is the judge of every other test, so its log, its receipts and its end are tested here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from blossom.mitto.client import MittoClient
from blossom.mitto.errors import SendError
from blossom.mitto.payloads import OutgoingText, Refusal, Refused, bulk_body, delivery_state
from blossom.sandbox.mitto.process import StandIn, StandInError
from blossom.sandbox.mitto.segments import segments
from tests.providers.conftest import ACCOUNT, TEXTS
from tests.providers.receiver import wait_until

Connect = Callable[..., MittoClient]
MANY = [OutgoingText(f"+30698430{number:04d}", f"text {number}", "Blossom") for number in range(40)]


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


def test_the_log_tells_in_which_way_the_call_of_a_text_went_wrong(stand_in: StandIn, connect: Connect) -> None:
    client = connect(stand_in.url)
    stand_in.configure(faults=[{"kind": "garbage", "next": 1}, {"kind": "502", "taken": False, "next": 1}])
    for text in TEXTS[:2]:
        with pytest.raises(SendError):
            client.send_bulk([text], ACCOUNT)
    client.send_bulk(TEXTS[2:], ACCOUNT)
    assert [(each["destination"], each["fault"]) for each in stand_in.log()] == [
        (TEXTS[0].destination, "garbage"),
        (TEXTS[2].destination, None),
    ]


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
