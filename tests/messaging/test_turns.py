"""Who goes first: automations before campaigns, shops in turn, priorities within a shop, and no batch twice."""

from __future__ import annotations

import threading
from collections import Counter

from flask import Flask

from blossom.messaging import service
from blossom.messaging.rules.states import DispatchKind
from blossom.messaging.service import claiming
from blossom.platform import clock, db
from blossom.segments.rules import Audience
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers


def claim_all(most: int = 100) -> list[claiming.Claim]:
    claims = []
    for _ in range(most):
        with db.transaction():
            claim = claiming.claim_batch("test", clock.now())
        if claim is None:
            break
        claims.append(claim)
    return claims


def test_another_shops_few_texts_wait_for_one_batch_not_for_a_whole_campaign(outbox: Outbox) -> None:
    subscribers(outbox, 500)  # ten batches
    big = outbox.start()
    with db.transaction():
        small_shop = create_shop(domain="small.myshopify.com", sender="Small")
        create_wallet(small_shop.id)
        create_subscriber(small_shop)
    with db.transaction():
        first = claiming.claim_batch("test", clock.now())
    small = outbox.start(shop_id=small_shop.id, sender="Small")
    order = [claim.dispatch_id for claim in claim_all()]
    assert first is not None
    assert first.dispatch_id == big.id
    assert order.index(small.id) == 0, "the shop that was never served comes next"
    assert len(order) == 10


def test_within_a_shop_the_high_priority_goes_first(outbox: Outbox) -> None:
    subscribers(outbox, 60)
    low, normal, high = (outbox.start(priority=priority) for priority in ("low", "normal", "high"))
    order = [claim.dispatch_id for claim in claim_all()]
    assert order == [high.id, high.id, normal.id, normal.id, low.id, low.id]


def test_automations_go_before_every_campaign(outbox: Outbox) -> None:
    subscribers(outbox, 60)
    campaign = outbox.start(priority="high")
    automation = outbox.start(kind=DispatchKind.AUTOMATION, priority="low")
    order = [claim.dispatch_id for claim in claim_all()]
    assert order == [automation.id, automation.id, campaign.id, campaign.id]


def test_many_lanes_at_once_never_take_the_same_batch(committed_outbox: Outbox, committed_app: Flask) -> None:
    subscribers(committed_outbox, 400)
    dispatch = committed_outbox.start()
    barrier = threading.Barrier(6)
    faults: list[BaseException] = []

    def lane(number: int) -> None:
        with committed_app.app_context():
            barrier.wait()
            try:
                service.run_lane(seconds=60, worker=f"lane-{number}")
            except BaseException as error:
                faults.append(error)

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    counted = Counter(text["destination"] for text in committed_outbox.mitto.log())
    assert len(counted) == 400
    assert set(counted.values()) == {1}
    assert committed_outbox.progress(dispatch).finished_at is not None
    committed_outbox.check_books(dispatch)


def test_two_that_prepare_at_once_make_one_audience(committed_outbox: Outbox, committed_app: Flask) -> None:
    subscribers(committed_outbox, 100)
    plan = service.DispatchPlan(
        committed_outbox.shop.id, Audience(everybody=True), "Hello. Reply STOP to opt out", "Ours"
    )
    with db.transaction():
        dispatch = service.start_dispatch(plan)
    barrier = threading.Barrier(4)
    won = []

    def prepare() -> None:
        with committed_app.app_context():
            barrier.wait()
            with db.transaction():
                won.append(service.prepare_dispatch(plan.shop_id, dispatch.id))

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert committed_outbox.progress(dispatch).total == 100
