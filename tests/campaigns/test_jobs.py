"""The campaigns' jobs, and many clicks at once, with real commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import text
from structlog.testing import capture_logs

from blossom.campaigns import jobs, queries, service
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging import jobs as messaging_jobs
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock, queue
from blossom.platform.db import session, transaction
from blossom.shops.models import Shop
from blossom.wallet import queries as balances
from blossom.wallet import service as wallet
from tests.api.client import ApiClient, client_for
from tests.factories.campaigns import create_campaign, create_sending, end_dispatch, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop


@pytest.fixture
def ours(committed_app: Flask) -> Shop:
    with transaction():
        shop = create_shop()
        make_ready(shop)
    return shop


def _jobs(wanted: str) -> list[dict[str, object]]:
    waiting = [job for name in queue.QUEUES for job in queue.rq_queue(name).jobs]
    return [job.args[1] for job in waiting if job.args[0] == wanted]


def _state(shop: Shop, campaign_id: int) -> CampaignState:
    with transaction():
        return queries.get_campaign(shop.id, campaign_id).state


def test_twenty_clicks_at_once_send_once_and_get_one_answer(committed_app: Flask, ours: Shop) -> None:
    with transaction():
        campaign_id = create_campaign(ours).id
        key = client_for(committed_app, ours.id).key
    together = Barrier(20)

    def click() -> tuple[int, object]:
        client = ApiClient(committed_app, key)
        together.wait()
        answer = client.post(f"/api/campaigns/{campaign_id}/enqueue")
        return answer.status_code, answer.get_json()

    with ThreadPoolExecutor(20) as pool:
        answers = [future.result() for future in [pool.submit(click) for _ in range(20)]]
    assert [status for status, _ in answers] == [200] * 20
    assert all(answer == answers[0][1] for _, answer in answers)
    with transaction():
        assert session.execute(text("SELECT count(*) FROM dispatches")).scalar_one() == 1
        enqueued = text("SELECT count(*) FROM audit_entries WHERE action = 'campaigns.enqueued'")
        assert session.execute(enqueued).scalar_one() == 1
    assert len(_jobs("messaging.prepare_dispatch")) == 1


def test_pause_and_enqueue_and_cancel_at_once_end_in_one_state(committed_app: Flask, ours: Shop) -> None:
    with transaction():
        campaign_id = create_sending(ours).id
        key = client_for(committed_app, ours.id).key
    together = Barrier(9)

    def click(deed: str) -> int:
        client = ApiClient(committed_app, key)
        together.wait()
        return client.post(f"/api/campaigns/{campaign_id}/{deed}").status_code

    with ThreadPoolExecutor(9) as pool:
        clicks = [pool.submit(click, deed) for deed in ("pause", "enqueue", "cancel") * 3]
    assert {click.result() for click in clicks} <= {200, 409}
    with transaction():
        assert queries.get_campaign(ours.id, campaign_id).state is CampaignState.CANCELLED
        assert session.execute(text("SELECT state FROM dispatches")).scalars().all() == ["cancelled"]


def test_two_clocks_send_what_is_due_once(committed_app: Flask, ours: Shop) -> None:
    now = clock.now()
    with transaction():
        due, later = create_campaign(ours), create_campaign(ours)
        service.schedule_campaign(ours.id, due.id, now + timedelta(hours=1), actor="test")
        service.schedule_campaign(ours.id, later.id, now + timedelta(hours=3), actor="test")
    together = Barrier(2)

    def tick() -> None:
        with committed_app.app_context():
            together.wait()
            jobs.enqueue_due()

    with clock.frozen_at(now + timedelta(hours=2)), ThreadPoolExecutor(2) as pool:
        for ticked in [pool.submit(tick), pool.submit(tick)]:
            ticked.result()
    assert (_state(ours, due.id), _state(ours, later.id)) == (CampaignState.SENDING, CampaignState.SCHEDULED)
    assert len(_jobs("messaging.prepare_dispatch")) == 1


def test_one_broken_campaign_does_not_keep_the_others(
    committed_app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    with transaction():
        broken, sound = create_campaign(ours), create_campaign(ours)
        for campaign in (broken, sound):
            service.schedule_campaign(ours.id, campaign.id, now + timedelta(hours=1), actor="test")
    enqueue = service.enqueue_due_campaign

    def break_one(shop_id: int, campaign_id: int, *rest: object) -> object:
        if campaign_id == broken.id:
            raise ZeroDivisionError
        return enqueue(shop_id, campaign_id, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "enqueue_due_campaign", break_one)
    with clock.frozen_at(now + timedelta(hours=2)):
        jobs.enqueue_due()
    assert (_state(ours, broken.id), _state(ours, sound.id)) == (CampaignState.SCHEDULED, CampaignState.SENDING)


def test_one_without_credit_fails_and_stays_failed(committed_app: Flask) -> None:
    now = clock.now()
    with transaction():
        poor = create_shop(domain="poor.myshopify.com")
        make_ready(poor, credits=1)
        campaign = create_campaign(poor)
        service.schedule_campaign(poor.id, campaign.id, now + timedelta(hours=1), actor="test")
    with clock.frozen_at(now + timedelta(hours=2)):
        jobs.enqueue_due()
        jobs.enqueue_due()
    assert _state(poor, campaign.id) is CampaignState.FAILED
    assert _jobs("messaging.prepare_dispatch") == []


def test_the_news_of_an_end_settles_and_so_does_the_sweep_when_it_was_lost(committed_app: Flask, ours: Shop) -> None:
    with transaction():
        told, lost, open_still = create_sending(ours), create_sending(ours), create_sending(ours)
        for campaign in (told, lost):
            end_dispatch(campaign, DispatchState.COMPLETED)
    assert told.dispatch_id is not None
    jobs.settle(shop_id=ours.id, dispatch_id=told.dispatch_id)
    assert (_state(ours, told.id), _state(ours, lost.id)) == (CampaignState.COMPLETED, CampaignState.SENDING)
    for _ in range(2):
        jobs.settle_all()
        assert _state(ours, lost.id) is CampaignState.COMPLETED
        assert _state(ours, open_still.id) is CampaignState.SENDING


def test_one_that_cannot_be_settled_does_not_keep_the_others(
    committed_app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        broken, sound = create_sending(ours), create_sending(ours)
        for campaign in (broken, sound):
            end_dispatch(campaign, DispatchState.COMPLETED)
    settle = service.settle

    def break_one(shop_id: int, dispatch_id: int) -> bool:
        if dispatch_id == broken.dispatch_id:
            raise ZeroDivisionError
        return settle(shop_id, dispatch_id)

    monkeypatch.setattr(service, "settle", break_one)
    with capture_logs() as told:
        jobs.settle_all()
    assert (_state(ours, broken.id), _state(ours, sound.id)) == (CampaignState.SENDING, CampaignState.COMPLETED)
    assert [entry["dispatch_id"] for entry in told if entry["event"] == "campaigns.settle_failed"] == [
        broken.dispatch_id
    ]


def test_credits_are_held_until_the_last_zone_of_a_local_time_has_had_its_day(committed_app: Flask, ours: Shop) -> None:
    """The wall time comes 25 hours later in Pago Pago than on Kiritimati, and both are of one reservation."""
    now = clock.now().replace(microsecond=0)
    with transaction():
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            create_subscriber(ours, zone=zone)
        session.execute(text("UPDATE shops SET quiet_hours_on = false"))
        campaign = create_campaign(ours)
        wall = (now + timedelta(days=3)).replace(tzinfo=None)
        service.schedule_campaign(ours.id, campaign.id, wall, local=True, actor="test")
    first, last = (
        wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    )
    with clock.frozen_at(first):
        jobs.enqueue_due()
        [prepare] = _jobs("messaging.prepare_dispatch")
        messaging_jobs.prepare_dispatch(**prepare)
    with transaction():
        due = session.scalars(text("SELECT DISTINCT due_at FROM batches ORDER BY 1")).all()
    assert (due[0], due[-1], due[-1] - due[0]) == (first, last, timedelta(hours=25))
    for moment, held in ((last + timedelta(hours=23), True), (last + timedelta(hours=25), False)):
        with clock.frozen_at(moment), transaction():
            wallet.expire_due(moment)
            assert (balances.balance(ours.id).reserved > 0) is held, moment


def test_the_job_that_messaging_tells_is_registered() -> None:
    assert {"campaigns.settle", "campaigns.settle_all", "campaigns.enqueue_due"} <= set(queue.registered())
