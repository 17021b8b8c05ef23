"""A shop that the app leaves while somebody is just sending: nothing is begun, and nothing that was begun is missed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from blossom.campaigns import jobs, queries, service
from blossom.campaigns.models import Campaign
from blossom.inbound.service.handlers import installation
from blossom.messaging import service as messaging
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.db import session, transaction
from blossom.shops import service as shop_service
from blossom.shops.errors import ShopLeft
from blossom.shops.models import Shop
from tests.campaigns.test_jobs import ours
from tests.factories.campaigns import add_messages, create_campaign, create_completed, create_sending
from tests.faults.processes import until

__all__ = ["ours"]

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def leave(app: Flask, shop_id: int) -> None:
    """What the webhook of an uninstalled app does."""
    with app.app_context():
        with transaction():
            shop_service.uninstall(shop_id)
        installation.stop_texting(shop_id)


def states() -> list[tuple[str, str | None]]:
    """Of each campaign and its dispatch."""
    join = select(Campaign.stored_state, Dispatch.state).outerjoin(Dispatch, Dispatch.id == Campaign.dispatch_id)
    with transaction():
        return [(row[0], row[1]) for row in session.execute(join.order_by(Campaign.id))]


def somebody_waits() -> bool:
    with transaction():
        return bool(session.scalar(_WAITING))


@pytest.mark.parametrize("again", [False, True], ids=["enqueued", "retried"])
def test_what_is_being_enqueued_when_the_app_leaves_is_waited_for_and_stopped(
    committed_app: Flask, ours: Shop, again: bool
) -> None:
    with transaction():
        campaign = create_completed(ours) if again else create_campaign(ours)
        failed = [each.id for each in add_messages(campaign, failed=1)] if again else []
    with ThreadPoolExecutor(2) as threads:
        with transaction():
            if again:
                service.retry_failed(ours.id, campaign.id, failed, actor="staff:1")
            else:
                service.enqueue_campaign(ours.id, campaign.id, actor="staff:1")
            leaving = threads.submit(leave, committed_app, ours.id)
            until(lambda: threads.submit(_in, committed_app, somebody_waits).result(), "the uninstall waits")
        leaving.result()
    assert states() == [("cancelled", "cancelled")]


def _in(app: Flask, ask: Callable[[], bool]) -> bool:
    with app.app_context():
        return ask()


DEEDS: dict[str, Callable[[int, dict[str, int]], object]] = {
    "enqueue": lambda shop, ids: service.enqueue_campaign(shop, ids["draft"], actor="staff:1"),
    "schedule": lambda shop, ids: service.schedule_campaign(
        shop, ids["draft"], clock.now() + timedelta(days=1), actor="staff:1"
    ),
    "test": lambda shop, ids: service.send_test(shop, ids["draft"], ["+306912345678"], actor="staff:1"),
    "resume": lambda shop, ids: service.resume_campaign(shop, ids["paused"], actor="staff:1"),
    "retry": lambda shop, ids: service.retry_failed(shop, ids["completed"], actor="staff:1"),
    "answer": lambda shop, ids: messaging.send_reply(shop, "+306912345678", "Thanks."),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_a_request_that_was_let_in_before_the_app_left_begins_nothing_after_it(
    committed_app: Flask, ours: Shop, deed: str
) -> None:
    with transaction():
        completed = create_completed(ours)
        add_messages(completed, failed=1)
        paused = create_sending(ours)
        service.pause_campaign(ours.id, paused.id, actor="test")
        ids = {"draft": create_campaign(ours).id, "paused": paused.id, "completed": completed.id}
    before = states()
    with ThreadPoolExecutor(1) as threads, transaction():
        assert session.get_one(Shop, ours.id).uninstalled_at is None  # as the request saw it when it was let in
        threads.submit(_uninstall, committed_app, ours.id).result()
        with pytest.raises(ShopLeft) as refused:
            DEEDS[deed](ours.id, ids)
        session.rollback()
    assert refused.value.status == 409
    assert states() == before


def _uninstall(app: Flask, shop_id: int) -> None:
    with app.app_context(), transaction():
        shop_service.uninstall(shop_id)


def test_a_planned_campaign_whose_hour_comes_as_the_app_leaves_becomes_a_draft(
    committed_app: Flask, ours: Shop
) -> None:
    now = clock.now()
    with transaction():
        campaign = create_campaign(ours)
        service.schedule_campaign(ours.id, campaign.id, now + timedelta(hours=1), actor="test")
    with clock.frozen_at(now + timedelta(hours=2)):
        with transaction():
            assert queries.due_campaigns(clock.now()) == [(ours.id, campaign.id)]
        with transaction():
            shop_service.uninstall(ours.id)
        with transaction():  # the clock had listed it before
            assert service.enqueue_due_campaign(ours.id, campaign.id, clock.now()) is None
        assert states() == [("scheduled", None)]
        jobs.enqueue_due()
        assert states() == [("scheduled", None)]
        installation.stop_texting(ours.id)
    assert states() == [("draft", None)]


def test_an_audience_is_not_fixed_any_more_once_the_app_has_left(committed_app: Flask, ours: Shop) -> None:
    with transaction():
        sending = create_sending(ours)
        shop_service.uninstall(ours.id)
    with transaction():
        assert sending.dispatch_id is not None
        assert not messaging.prepare_dispatch(ours.id, sending.dispatch_id)
    with transaction():
        failed = session.get_one(Dispatch, sending.dispatch_id)
        assert (failed.state, failed.failure_code) == (DispatchState.FAILED, "shop_left")
        assert session.scalar(text("SELECT count(*) FROM messages")) == 0
