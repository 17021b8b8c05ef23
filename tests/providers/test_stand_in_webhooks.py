"""What the stand-in posts to the app, receipts and people's texts: when, in what order, how often, with what proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from blossom.mitto.client import MittoClient
from blossom.mitto.errors import SendError
from blossom.mitto.payloads import OutgoingText, delivery_state, parse_inbound
from blossom.sandbox.mitto.process import StandIn
from tests.providers.conftest import ACCOUNT, TEXTS
from tests.providers.receiver import SECRET, Receiver, wait_until

Connect = Callable[..., MittoClient]
MANY = [OutgoingText(f"+30698430{number:04d}", f"text {number}", "Blossom") for number in range(40)]


@contextmanager
def receipts_to(receiver: Receiver, **receipts: Any) -> Iterator[StandIn]:
    """A stand-in of one's own that posts receipts to `receiver`, with a proof."""
    plan = {"url": receiver.url, "proof": {"hmac_secret": SECRET}, "retry_seconds": 0.01} | receipts
    with StandIn.start(receipts=plan) as mitto:
        yield mitto


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
        with pytest.raises(SendError, match="broke"):
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
