"""Webhooks' bodies as nobody should write them, rightly signed: no fault of ours, none stuck, the next one is taken.

Hypothesis takes a body that Shopify's stand-in or Mitto has really sent, and breaks it: values of other kinds, of no
bearable size, missing, doubled, nested; characters that are none; JSON that is none.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blossom.inbound.service import handlers, known_shops
from blossom.messaging import service as messaging
from blossom.platform import clock, crypto, db, queue
from blossom.shops.models import Shop
from tests.factories.consent import create_subscriber
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.wallet import create_wallet
from tests.inbound.conftest import FORM, Mitto, receipts, texts, webhooks
from tests.inbound.merchant import OURS, SECRET, Merchant, handle, merchant, running
from tests.personas import Personas

__all__ = ["merchant", "running"]

GOLDEN = Path(__file__).parent / "golden"
PHONE = "+306984303406"
"""Who texts in the golden bodies."""

VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**31, 2**63 - 1, 2**63, -(2**70), 10**400,
    "", " ", "\0", "a\0b", "\ud800", "a\udc00\ud800b", "\u202e\u200b", "x" * 70_000, "Ω" * 300, "gid://shopify/Customer/0",
    "gid://shopify/Customer/" + "9" * 40, "9" * 40, "+30", "+306984303406", "٣٠٦٩٨٤٣٠٣٤٠٦", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "2026-02-31T00:00:00Z", "evil.example", "theirs.myshopify.com", "{{ 7 }}", "'; --",
    [], [None], [[]], ["a", 1], [{}] * 50, {}, {"": ""}, {"\0": "\0"}, {"id": {"id": {"id": 1}}},
]  # fmt: skip

NOON = "2026-11-20T12:00:00Z"
MOMENTS = [
    None,
    NOON,
    "2030-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "",
    "soon",
    "2026-13-01T00:00:00Z",
]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


values = (
    st.sampled_from(("\0", "a\0b", "\ud800"))
    | st.sampled_from(VALUES)
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from((40, 900)).map(deep)
)


def places(body: Any) -> Iterator[tuple[Any, Any]]:
    """Each value in the body, as what holds it and its name or place there."""
    for name, value in list(body.items() if isinstance(body, dict) else enumerate(body)):
        yield body, name
        if isinstance(value, (dict, list)):
            yield from places(value)


def change(draw: st.DrawFn, body: Any) -> None:
    """Break one thing in it."""
    held = list(places(body))
    if not held:
        return
    holder, name = held[draw(st.integers(0, len(held) - 1))]
    deed = draw(st.sampled_from(("other", "other", "gone", "wrapped", "renamed")))
    if deed == "gone":
        del holder[name]
    elif deed == "wrapped":
        holder[name] = draw(st.sampled_from((list, dict)))() or [holder[name]]
    elif deed == "renamed" and isinstance(holder, dict):
        holder[draw(st.sampled_from((f" {name}", name.upper(), "\0", "id", "customer")))] = holder.pop(name)
    else:
        holder[name] = copy.deepcopy(draw(values))


RAW: list[Callable[[bytes], bytes]] = [
    lambda raw: raw[: len(raw) // 2],
    lambda raw: b"\xef\xbb\xbf" + raw,
    lambda raw: b"[" + raw + b"]",
    lambda raw: raw + raw,
    lambda raw: raw.replace(b"{", b'{"id": 1, "phone": [], ', 1),
    lambda raw: raw.replace(b'"', b'"\xff', 1),
    lambda raw: b"",
    lambda raw: b"null",
    lambda raw: b'"\\u0000\\ud800"',
    lambda raw: b"[" * 5_000 + b"]" * 5_000,
]


@st.composite
def broken(draw: st.DrawFn, bodies: list[tuple[str, Any]]) -> tuple[str, bytes]:
    """One of `bodies` and its name (a topic, a path), broken in one to four ways."""
    name, body = draw(st.sampled_from(bodies))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(0, 4))):
        change(draw, body)
    raw = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        raw = draw(st.sampled_from(RAW))(raw)
    return name, raw


@contextmanager
def undone(shop_id: int) -> Iterator[None]:
    """What happens inside leaves nothing behind, be it that the shop is forgotten."""
    db.session.commit()
    db.session.remove()
    savepoint = db.engine().begin_nested()  # type: ignore[attr-defined]  # in a test it is the connection
    try:
        yield
    finally:
        db.session.remove()
        savepoint.rollback()
        known_shops.forget()
        crypto.forget(shop_id)


ANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
_id = count(1)


def of_shopify(merchant: Merchant) -> list[tuple[str, Any]]:
    """A body of each topic that we do something about (and one of another), as the stand-in sends it, where it does."""
    merchant.told = 0
    stand_in = merchant.stand_in
    people = [merchant.add(phone=f"+30694444444{n}", first_name="Zoë", tags=["vip"]) for n in range(4)]
    merchant.act(people[0], "update", fields={"last_name": "Ω"})
    merchant.act(people[0], "consent", fields={"state": "UNSUBSCRIBED"})
    merchant.act(people[0], "merge", other=people[1])
    merchant.act(people[2], "data_request")
    merchant.act(people[2], "redact")
    merchant.act(people[3], "delete")
    stand_in.place_order(OURS, stand_in.begin_checkout(OURS)["token"])
    stand_in.uninstall(OURS)
    stand_in.redact_shop(OURS)
    sent = {each["topic"]: each["body"] for each in merchant.news()}
    sent |= {
        "app/scopes_update": {"id": 1, "previous": ["read_orders"], "current": ["read_customers"], "updated_at": NOON},
        "bulk_operations/finish": {
            "admin_graphql_api_id": "gid://shopify/BulkOperation/1", "status": "completed", "type": "query",
            "error_code": None, "created_at": NOON, "completed_at": NOON,
        },
    }  # fmt: skip
    assert set(handlers.BY_TOPIC) <= set(sent)
    merchant.install()
    kept = {*handlers.BY_TOPIC, "orders/create"}
    return sorted((topic, body) for topic, body in sent.items() if topic in kept)


def test_whatever_shopify_s_bodies_hold_each_comes_to_an_end(merchant: Merchant) -> None:
    bodies = of_shopify(merchant)
    create_subscriber(db.session.get_one(Shop, merchant.shop_id), phone="+306944444440")

    @ANY
    @example(("bulk_operations/finish", b'{"admin_graphql_api_id": "gid\\u0000"}'), None)  # was tried for a day
    @given(broken(bodies), st.sampled_from(MOMENTS))
    def each_comes_to_an_end(case: tuple[str, bytes], moment: str | None) -> None:
        topic, raw = case
        with undone(merchant.shop_id):
            for body, at in ((raw, moment), (b'{"id": 424242}', None)):
                answer = merchant.shopify.post(
                    topic if body is raw else "customers/delete",
                    body,
                    secret=SECRET,
                    Triggered_At=at,
                    Webhook_Id=f"any-{next(_id)}",
                )
                assert answer.status_code in ((200, 400) if at else (200,))
            handle()
            for row in webhooks():
                assert row.in_hand_until is None, "it is nobody's"
                ended = row.state != "new" or (row.next_try_at is not None and row.next_try_at > clock.now())
                assert ended, "it waits for nothing"
                assert row.fault is None or row.fault == row.fault.lower(), f"{row.fault} is a fault of ours"
            assert row.state in ("done", "ignored"), "the next one was kept waiting"

    each_comes_to_an_end()


def of_mitto(kind: str) -> list[tuple[str, Any]]:
    return [
        (path.name, orjson.loads(path.read_bytes()))
        for path in sorted((GOLDEN / kind).glob("*.json"))
        if path.stem != "expected"
    ]


def test_whatever_mitto_s_receipts_hold_they_are_taken_or_refused(mitto: Mitto, personas: Personas) -> None:
    create_message(create_batch(create_dispatch(personas.ours.id), state="done"), "01KC69MT19BRK5MSXG1V95YPHX")

    @ANY
    @given(broken(of_mitto("receipts")), st.sampled_from(("application/json", FORM, "", "text/plain; charset=utf-7")))
    def taken_or_refused(case: tuple[str, bytes], content_type: str) -> None:
        with undone(personas.ours.id):
            assert mitto.post("dlr", case[1], content_type=content_type).status_code in (200, 400, 413, 422)
            sound = {
                "messageId": "01KC69MT19BRK5MSXG1V95YPHX",
                "deliveryStatus": "Delivered",
                "updatedAt": "2026-01-02T00:00:00Z",
            }
            assert mitto.post("dlr", sound).get_json()["accepted"] == 1
            while messaging.apply_receipts():
                pass
            assert {each.state for each in receipts()} <= {"applied", "orphan"}

    taken_or_refused()


def test_whatever_people_s_texts_hold_they_are_taken_or_refused(mitto: Mitto, personas: Personas) -> None:
    create_subscriber(personas.ours, phone=PHONE)
    create_wallet(personas.ours.id)

    @ANY
    @given(broken(of_mitto("texts")), st.sampled_from(("application/json", FORM, "", "text/plain; charset=utf-7")))
    def taken_or_refused(case: tuple[str, bytes], content_type: str) -> None:
        with undone(personas.ours.id):
            assert mitto.post("inbound", case[1], content_type=content_type).status_code in (200, 400, 413, 422)
            assert (
                mitto.post("inbound", {"from": PHONE, "to": "Ours", "text": "HELP", "id": "next"}).get_json()[
                    "accepted"
                ]
                == 1
            )
            waiting = queue.rq_queue("default")
            for job in waiting.jobs:
                name, arguments, _ = job.args
                queue.registered()[name](**arguments)
            waiting.empty()  # type: ignore[no-untyped-call]
            assert [each.id for each in texts() if each.handled_at is None] == []

    taken_or_refused()
