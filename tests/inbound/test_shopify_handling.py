"""From a stored webhook to its end: tried again, given up, replayed; one at a time in a shop; and forgotten in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from flask import Flask

from blossom import cli
from blossom.commands import webhooks as webhook_commands
from blossom.inbound import jobs
from blossom.inbound import service as inbound
from blossom.inbound.errors import Hopeless, NotYet
from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import APPLIED, Result, Webhook
from blossom.inbound.service import handlers, handling
from blossom.inbound.service.handlers import Handler
from blossom.platform import clock, crypto, db
from blossom.shopify.errors import ShopifyError
from tests.factories.shops import create_shop
from tests.inbound.conftest import Shopify, connect_to_shopify, webhooks
from tests.inbound.test_concurrency import at_once
from tests.personas import Personas

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
QUICK, ASKING, OTHER = "customers/delete", "customers/update", "customers/create"


class Handled:
    """A handler that notes what it got, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.got: list[Webhook] = []
        self.faults: Iterator[BaseException] = iter(())

    def __call__(self, webhook: Webhook) -> Result:
        self.got.append(webhook)
        for fault in self.faults:
            raise fault
        return APPLIED


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Handled:
    """In place of what is done about two topics, one quick and one that asks Shopify."""
    handler = Handled()
    own = {QUICK: Handler(handler), ASKING: Handler(handler, asks=True)}
    monkeypatch.setattr(handlers, "BY_TOPIC", own)
    return handler


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def pass_by(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def the_only() -> ShopifyWebhook:
    (found,) = webhooks()
    return found


def test_a_handler_gets_the_payload_and_the_webhook_is_done(
    shopify: Shopify, personas: Personas, handled: Handled
) -> None:
    shopify.post(QUICK, {"id": 7})
    jobs.handle_webhooks()
    (got,) = handled.got
    assert (got.shop_id, got.shop_domain, got.topic) == (personas.ours.id, "ours.myshopify.com", QUICK)
    assert (got.payload, got.triggered_at.year) == ({"id": 7}, 2026)
    ended = the_only()
    assert (ended.state, ended.outcome, ended.tries, ended.fault) == ("done", "applied", 1, None)
    jobs.handle_webhooks()
    assert len(handled.got) == 1


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_a_moment_beyond_all_calendars_stops_nobodys_webhooks(
    shopify: Shopify, personas: Personas, handled: Handled, moment: str
) -> None:
    assert shopify.post(QUICK, {"id": 7}, Triggered_At=moment).status_code == 200
    shopify.post(QUICK, {"id": 8}, "theirs.myshopify.com")
    jobs.handle_webhooks()
    assert [each.payload["id"] for each in handled.got] == [7, 8]


def test_each_job_handles_its_own_topics(shopify: Shopify, personas: Personas, handled: Handled) -> None:
    shopify.post(ASKING, {"id": 7})
    jobs.handle_webhooks()
    assert handled.got == []
    jobs.ask_shopify()
    assert len(handled.got) == 1


def test_a_failed_one_is_tried_again_later_and_later_and_then_given_up(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    handled.faults = iter([RuntimeError("+306984303406")] * 100)
    shopify.post(QUICK, {"id": 7})
    waits = []
    while the_only().state == "new":
        due_at = the_only().next_try_at
        assert due_at is not None
        waits.append(due_at - time.now)
        time.now = due_at - timedelta(seconds=1)
        jobs.handle_webhooks()
        assert len(handled.got) == len(waits) - 1, "not before its time"
        time.now = due_at
        jobs.handle_webhooks()
        assert len(handled.got) == len(waits)
        assert the_only().fault == "RuntimeError"  # no value, which may be a person's
    assert waits == [timedelta(), *rules.RETRY_AFTER]
    assert sorted(waits) == waits
    assert (the_only().state, the_only().tries) == ("dead", len(rules.RETRY_AFTER) + 1)


def test_what_passes_by_itself_ends_well(shopify: Shopify, personas: Personas, handled: Handled, time: Time) -> None:
    handled.faults = iter([NotYet("shopify_lags")])
    shopify.post(QUICK, {"id": 7})
    jobs.handle_webhooks()
    assert the_only().fault == "shopify_lags"
    time.pass_by(rules.RETRY_AFTER[0])
    jobs.handle_webhooks()
    assert (the_only().state, the_only().fault, the_only().tries) == ("done", None, 2)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [(b"\xff{", "payload_not_json"), (b"", "payload_not_json"), (b"[1]", "payload_no_object"), (b"{}", "hopeless")],
)
def test_what_no_try_can_mend_is_given_up_at_once(
    shopify: Shopify, personas: Personas, handled: Handled, raw: bytes, fault: str
) -> None:
    handled.faults = iter([Hopeless("hopeless")])
    shopify.post(QUICK, raw)
    jobs.handle_webhooks()
    assert (the_only().state, the_only().fault, the_only().tries) == ("dead", fault, 1)


def test_one_whose_shop_was_forgotten_while_it_waited_is_nobodys(
    shopify: Shopify, personas: Personas, handled: Handled
) -> None:
    shopify.post(QUICK, {"id": 7})
    crypto.destroy_shop_keys(personas.ours.id)
    db.session.commit()
    jobs.handle_webhooks()
    assert (the_only().state, the_only().outcome) == ("ignored", "shop_redacted")


def test_one_that_can_t_be_opened_is_given_up_at_once(shopify: Shopify, personas: Personas, handled: Handled) -> None:
    shopify.post(QUICK, {"id": 7})
    the_only().payload_sealed = b"altered"
    db.session.commit()
    jobs.handle_webhooks()
    assert (the_only().state, the_only().fault) == ("dead", "payload_sealed")


def test_an_operator_lists_the_dead_and_replays_them(
    shopify: Shopify, personas: Personas, handled: Handled, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled.faults = iter([Hopeless("hopeless")] * 2)
    for number in (1, 2):
        shopify.post(QUICK, {"id": number})
    jobs.handle_webhooks()
    listed = run(monkeypatch, shopify.app, "dead")["webhooks"]
    assert [(each["topic"], each["shop"], each["fault"]) for each in listed] == [
        (QUICK, "ours.myshopify.com", "hopeless")
    ] * 2
    first = listed[0]["id"]
    assert run(monkeypatch, shopify.app, "replay", str(first), "999999") == {"replayed": [first]}
    jobs.handle_webhooks()
    assert [each.state for each in webhooks()] == ["done", "dead"]
    assert len(run(monkeypatch, shopify.app, "replay")["replayed"]) == 1
    jobs.handle_webhooks()
    assert [each.state for each in webhooks()] == ["done", "done"]
    assert run(monkeypatch, shopify.app, "dead") == {"webhooks": []}


def run(monkeypatch: pytest.MonkeyPatch, app: Flask, *arguments: str) -> Any:
    """What `blossom webhooks …` prints, on the database of this test."""
    monkeypatch.setattr(webhook_commands, "application", app.app_context)
    result = CliRunner().invoke(cli.main, ["webhooks", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return orjson.loads(result.output)


def test_what_is_done_can_t_be_replayed(shopify: Shopify, personas: Personas, handled: Handled) -> None:
    shopify.post(QUICK, {"id": 7})
    jobs.handle_webhooks()
    with db.transaction():
        assert inbound.replay([the_only().id]) == []


def test_one_whose_worker_is_lost_is_taken_up_when_its_time_is_over(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    handled.faults = iter([KeyboardInterrupt()])  # no Exception: nothing is written down, as after a kill
    shopify.post(QUICK, {"id": 7})
    with pytest.raises(KeyboardInterrupt):
        jobs.handle_webhooks()
    jobs.handle_webhooks()
    assert len(handled.got) == 1
    time.pass_by(rules.IN_HAND)
    jobs.handle_webhooks()
    assert (the_only().state, the_only().tries) == ("done", 2)


def test_one_that_kills_every_worker_is_given_up(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    handled.faults = iter([KeyboardInterrupt()] * 100)
    shopify.post(QUICK, {"id": 7})
    for _ in range(len(rules.RETRY_AFTER) + 1):
        with pytest.raises(KeyboardInterrupt):
            jobs.handle_webhooks()
        time.pass_by(rules.IN_HAND)
    jobs.handle_webhooks()
    assert (the_only().state, the_only().fault) == ("dead", "worker_lost")


def test_who_lost_a_webhook_says_nothing_about_it_any_more(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try ends long after its time, while the second is under way."""
    shopify.post(QUICK, {"id": 7})

    def slow(webhook: Webhook) -> Result:
        monkeypatch.setattr(handlers, "BY_TOPIC", {QUICK: Handler(handled)})
        time.pass_by(rules.IN_HAND)
        handled.faults = iter([NotYet("second")])
        jobs.handle_webhooks()
        return APPLIED

    monkeypatch.setattr(handlers, "BY_TOPIC", {QUICK: Handler(slow)})
    jobs.handle_webhooks()
    assert (the_only().state, the_only().fault, the_only().tries) == ("new", "second", 2)


def test_in_a_shop_one_is_in_hand_at_a_time_and_other_shops_don_t_wait(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    for shop in ("ours", "ours", "theirs"):
        shopify.post(QUICK, {"id": 7}, f"{shop}.myshopify.com")
    with db.transaction():
        taken = [handling._take([QUICK]) for _ in range(3)]
    assert [[row.shop_id for row in rows] for rows in taken] == [[personas.ours.id], [personas.theirs.id], []]
    time.pass_by(rules.IN_HAND)
    jobs.handle_webhooks()
    assert {each.state for each in webhooks()} == {"done"}


def test_a_shop_of_which_many_wait_keeps_no_other_shop_waiting(
    shopify: Shopify, personas: Personas, handled: Handled
) -> None:
    for number in range(4):
        shopify.post(QUICK, {"id": number})
    for number in (8, 9):
        shopify.post(QUICK, {"id": number}, "theirs.myshopify.com")
    jobs.handle_webhooks()
    assert [got.payload["id"] for got in handled.got] == [0, 8, 1, 9, 2, 3]


class HandledTogether(Handled):
    """A handler that takes several, and notes how many at a time; the ids in `bad` fail by themselves, those in
    `breaks` with whatever is handled beside them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.times: list[list[int]] = []
        self.bad: set[int] = set()
        self.breaks: dict[int, Exception] = {}
        handler = Handler(self, asks=True, together=self.together)
        monkeypatch.setattr(handlers, "BY_TOPIC", {ASKING: handler, OTHER: handler, QUICK: Handler(self, asks=True)})

    def __call__(self, webhook: Webhook) -> Result:
        self._break([webhook])
        return super().__call__(webhook)

    def _break(self, webhooks: Sequence[Webhook]) -> None:
        for webhook in webhooks:
            if fault := self.breaks.get(webhook.payload["id"]):
                raise fault

    def together(self, webhooks: Sequence[Webhook]) -> list[Result | Exception]:
        self.times.append([webhook.payload["id"] for webhook in webhooks])
        self._break(webhooks)
        ends: list[Result | Exception] = [NotYet("bad") if each in self.bad else APPLIED for each in self.times[-1]]
        for fault in self.faults:
            raise fault
        return ends


@pytest.fixture
def together(handled: Handled, monkeypatch: pytest.MonkeyPatch) -> HandledTogether:
    return HandledTogether(monkeypatch)


def test_what_can_be_handled_together_is_in_its_order_and_no_more_at_a_time_than_shopify_tells_of(
    shopify: Shopify, personas: Personas, together: HandledTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "TOGETHER", 3)
    for number, topic in enumerate([ASKING, OTHER, QUICK, ASKING, OTHER]):
        shopify.post(topic, {"id": number})
    shopify.post(ASKING, {"id": 9}, "theirs.myshopify.com")
    jobs.ask_shopify()
    assert together.times == [[0, 1, 3]]
    assert [got.payload["id"] for got in together.got] == [9, 2, 4], "alone, where there is nothing like it"
    assert {(each.state, each.tries, each.fault) for each in webhooks()} == {("done", 1, None)}


def test_one_that_fails_holds_none_of_the_others_up_and_is_tried_again_with_them(
    shopify: Shopify, personas: Personas, together: HandledTogether, time: Time
) -> None:
    together.bad = {1}
    for number in range(3):
        shopify.post(ASKING, {"id": number})
    jobs.ask_shopify()
    assert [(each.state, each.fault) for each in webhooks()] == [("done", None), ("new", "bad"), ("done", None)]
    together.bad = set()
    time.pass_by(rules.RETRY_AFTER[0])
    shopify.post(ASKING, {"id": 3})
    jobs.ask_shopify()
    assert together.times == [[0, 1, 2], [1, 3]]
    assert {each.state for each in webhooks()} == {"done"}


@pytest.mark.parametrize(
    "fault",
    [ValueError("what nobody thought of"), ShopifyError("answer_unreadable")],
    ids=["ours", "shopify's, about this question"],
)
def test_one_that_breaks_what_handles_several_is_found_and_the_others_are_handled_at_once(
    shopify: Shopify, personas: Personas, together: HandledTogether, fault: Exception
) -> None:
    """Tried again with it, all of them would have been given up with it a day later, opt-outs among them."""
    together.breaks = {1: fault}
    for number in range(3):
        shopify.post(ASKING, {"id": number})
    jobs.ask_shopify()
    assert [each.state for each in webhooks()] == ["done", "new", "done"]
    assert together.times == [[0, 1, 2]]


def test_what_fails_for_all_is_put_off_for_all_and_given_up_in_the_end(
    shopify: Shopify, personas: Personas, together: HandledTogether, time: Time
) -> None:
    together.faults = iter([ShopifyError("could_not_connect")] * 100)
    for number in range(2):
        shopify.post(ASKING, {"id": number})
    while webhooks()[0].state == "new":
        jobs.ask_shopify()
        time.pass_by(timedelta(hours=12))
    assert {(each.state, each.fault, each.tries) for each in webhooks()} == {
        ("dead", "could_not_connect", len(rules.RETRY_AFTER) + 1)
    }


def test_after_a_worker_s_death_each_is_tried_alone_so_that_the_one_to_blame_takes_nobody_along(
    shopify: Shopify, personas: Personas, together: HandledTogether, time: Time
) -> None:
    together.faults = iter([KeyboardInterrupt()])
    for number in range(3):
        shopify.post(ASKING, {"id": number})
    with pytest.raises(KeyboardInterrupt):
        jobs.ask_shopify()
    time.pass_by(rules.IN_HAND)
    jobs.ask_shopify()
    assert together.times == [[0, 1, 2]]
    assert [got.payload["id"] for got in together.got] == [0, 1, 2]
    assert {(each.state, each.tries) for each in webhooks()} == {("done", 2)}


def test_one_that_can_t_be_read_is_given_up_and_the_others_are_handled(
    shopify: Shopify, personas: Personas, together: HandledTogether
) -> None:
    for raw in (b'{"id": 0}', b"[1]", b'{"id": 2}'):
        shopify.post(ASKING, raw)
    jobs.ask_shopify()
    assert together.times == [[0, 2]]
    assert [(each.state, each.fault) for each in webhooks()] == [
        ("done", None),
        ("dead", "payload_no_object"),
        ("done", None),
    ]


def test_two_workers_never_take_two_of_one_shop(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_to_shopify(monkeypatch)
    with db.transaction():
        create_shop()
    for number in range(8):
        assert Shopify(committed_app).post(QUICK, {"id": number}).status_code == 200

    def take() -> Any:
        with db.transaction():
            return handling._take([QUICK])

    taken = at_once(committed_app, *[take] * 8)
    assert [len(rows) for rows in taken if rows] == [1]


def test_a_shop_that_shopify_fails_for_doesn_t_hold_up_the_others(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    for number in range(5):
        shopify.post(ASKING, {"id": number})
    shopify.post(ASKING, {"id": 9}, "theirs.myshopify.com")
    handled.faults = iter([ShopifyError("could_not_connect")])
    jobs.ask_shopify()
    assert [got.payload["id"] for got in handled.got] == [0, 9]
    assert the_first().fault == "could_not_connect"
    assert [each.tries for each in webhooks()] == [1, 0, 0, 0, 0, 1]
    time.pass_by(rules.RETRY_AFTER[0])
    jobs.ask_shopify()
    assert {each.state for each in webhooks()} == {"done"}


def the_first() -> ShopifyWebhook:
    return webhooks()[0]


def test_what_is_done_with_loses_its_payload_and_then_goes(
    shopify: Shopify, personas: Personas, handled: Handled, time: Time
) -> None:
    shopify.post("orders/create", {"id": 1})
    shopify.post(QUICK, {"id": 2})
    jobs.handle_webhooks()
    handled.faults = iter([Hopeless("hopeless")])
    shopify.post(QUICK, {"id": 3})
    jobs.handle_webhooks()

    def kept() -> list[bool]:
        return [each.payload_sealed is not None for each in webhooks()]

    time.pass_by(rules.PAYLOAD_KEPT)
    jobs.prune_webhooks()
    assert kept() == [True, True, True]
    time.pass_by(timedelta(seconds=1))
    jobs.prune_webhooks()
    assert kept() == [False, False, True]
    time.pass_by(rules.ROW_KEPT)
    jobs.prune_webhooks()
    assert [each.state for each in webhooks()] == ["dead"], "the dead wait for an operator"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-11-20T12:00:00Z", NOON),
        ("2026-11-20T14:00:00+02:00", NOON),
        ("2026-11-20T12:00:00.000000999Z", NOON),
        ("2026-11-20T12:00:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("2026-13-20T12:00:00Z", None),
        ("٢٠٢٦-11-20T12:00:00Z", None),
        ("x" * 100, None),
        (5, None),
        (None, None),
    ],
)
def test_moments(given: object, read: datetime | None) -> None:
    assert rules.read_moment(given) == read


@pytest.mark.parametrize(
    ("payload", "customer"),
    [
        ({"id": 7}, 7),
        ({"id": "7"}, 7),
        ({"customer_id": 7}, 7),
        ({"customer": {"id": 7}, "id": 8}, 7),
        ({"customer": {}, "id": 8}, None),
        ({"id": True}, None),
        ({"id": -7}, None),
        ({"id": "٧"}, None),
        ({"id": 10**30}, None),
        ({"id": 7.5}, None),
        ({}, None),
    ],
)
def test_whom_a_payload_is_about(payload: dict[str, Any], customer: int | None) -> None:
    assert rules.customer_id(payload) == customer
