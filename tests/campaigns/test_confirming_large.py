"""A shop too large to be counted while its merchant waits: a job counts before the question, and after the yes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from blossom.campaigns import jobs, service
from blossom.campaigns.models import Campaign, Yes
from blossom.campaigns.queries import yeses
from blossom.campaigns.rules import confirming as rules
from blossom.campaigns.rules.states import CampaignState
from blossom.campaigns.service import confirming, counting
from blossom.messaging.models import Dispatch
from blossom.messaging.queries import census
from blossom.platform import clock, db, kept, queue
from blossom.platform.db import session
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import service as wallet
from tests.admin.conftest import Visitor
from tests.campaigns.test_confirming import dispatches, form, numbers, say_yes, words
from tests.factories.campaigns import create_campaign, make_ready
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.shops import create_shop
from tests.inbound.test_concurrency import at_once


@pytest.fixture(autouse=True)
def _is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "AT_ONCE", 1)


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The jobs that were asked for, for `work`."""
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(queue, "enqueue", lambda name, queue="default", **given: calls.append((name, given)))
    return calls


@pytest.fixture
def campaign(ours: Shop) -> Campaign:
    make_ready(ours, subscribers=2)
    return create_campaign(ours)


def work(wanted: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What a worker does with the campaigns' jobs, within the test's transaction; which."""
    done = []
    while wanted:
        name, given = wanted.pop(0)
        if name == "campaigns.count_audience":
            planned = datetime.fromisoformat(given["planned"])
            service.count_audience(given["shop_id"], Audience.from_json(given["audience"]), planned)
        elif name == "campaigns.take_yes":
            service.take_yes(**given)
        done.append(name)
    return done


def look(visitor: Visitor, campaign: Campaign, waiting: str = "") -> Any:
    query = f"?waiting={waiting}" if waiting else ""
    return visitor.fetch(f"/campaigns/{campaign.id}/confirm{query}", headers={"HX-Request-Type": "partial"})


def asked(visitor: Visitor, campaign: Campaign, wanted: list[tuple[str, dict[str, Any]]]) -> str:
    """The question, once its people are counted."""
    look(visitor, campaign)
    work(wanted)
    html: str = look(visitor, campaign).get_data(as_text=True)
    assert form(html)
    return html


def passes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    at = clock.now() + timedelta(seconds=seconds)
    monkeypatch.setattr(clock, "now", lambda: at)


class TestTheQuestion:
    def test_counts_nobody_itself_and_comes_once_a_job_has(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as during_requests:
            during_requests.setattr(census, "take", lambda *_, **__: pytest.fail("in a request"))
            html = look(visitor, campaign).get_data(as_text=True)
            assert "Counting who gets it…" in words(html)
            assert form(html) == {}
            for _ in range(3):
                assert look(visitor, campaign, "counting").status_code == 204
        assert work(wanted) == ["campaigns.count_audience"], "many looks make one job"
        html = look(visitor, campaign, "counting").get_data(as_text=True)
        assert numbers(html)["recipients"] == "2"

    def test_is_a_page_of_its_own_too(self, visitor: Visitor, campaign: Campaign, wanted: list[Any]) -> None:
        page = visitor.document(f"/campaigns/{campaign.id}/confirm").get_data(as_text=True)
        assert "Counting who gets it…" in page
        assert f'href="/campaigns/{campaign.id}/confirm">Look again' in page

    def test_shows_a_count_of_the_last_minute_at_once_and_no_older(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked(visitor, campaign, wanted)
        assert form(look(visitor, campaign).get_data(as_text=True))
        passes(monkeypatch, 61)
        assert "Counting who gets it…" in words(look(visitor, campaign).get_data(as_text=True))

    def test_asks_for_a_lost_job_again(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], ours: Shop
    ) -> None:
        look(visitor, campaign)
        wanted.clear()
        look(visitor, campaign, "counting")
        assert wanted == []
        for key in queue.connection().keys(f"census:{ours.id}:*:wanted"):
            assert 0 < queue.connection().ttl(key) <= kept.WANTED_SECONDS
            queue.connection().delete(key)
        look(visitor, campaign, "counting")
        assert [name for name, _ in wanted] == ["campaigns.count_audience"]


class TestAYes:
    def test_is_done_once_everybody_was_counted_again(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = form(asked(visitor, campaign, wanted))
        with monkeypatch.context() as during_requests:
            during_requests.setattr(census, "take", lambda *_, **__: pytest.fail("in a request"))
            response = say_yes(visitor, campaign, given)
        assert response.status_code == 200
        assert "Everybody is counted once more" in words(response.get_data(as_text=True))
        assert (dispatches(), campaign.state) == (0, CampaignState.DRAFT)
        assert look(visitor, campaign, "send").status_code == 204
        assert work(wanted)[0] == "campaigns.take_yes"
        assert (dispatches(), campaign.state) == (1, CampaignState.SENDING)
        led = look(visitor, campaign, "send")
        assert f'"path":"/campaigns/{campaign.id}"' in led.headers["HX-Location"]
        assert "It is being sent" in led.headers["HX-Trigger"]
        assert session.scalar(select(func.count()).select_from(Yes)) == 0

    def test_said_again_and_again_in_two_tabs_sends_once(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any]
    ) -> None:
        one_tab = form(asked(visitor, campaign, wanted))
        other_tab = form(look(visitor, campaign).get_data(as_text=True))
        for given in (one_tab, one_tab, one_tab, other_tab):
            assert say_yes(visitor, campaign, given).status_code == 200
        assert [name for name, _ in wanted] == ["campaigns.take_yes"]
        again = wanted[0]
        work(wanted)
        service.take_yes(**again[1])
        assert dispatches() == 1
        assert "That was done already" in say_yes(visitor, campaign, other_tab).headers["HX-Trigger"]

    @pytest.mark.parametrize("change", ["somebody more", "somebody less", "another text", "less credit"])
    def test_is_for_the_numbers_that_were_shown_and_no_others(
        self, visitor: Visitor, ours: Shop, campaign: Campaign, wanted: list[Any], change: str
    ) -> None:
        person = create_subscriber(ours)
        given = form(asked(visitor, campaign, wanted))
        say_yes(visitor, campaign, given)
        if change == "somebody more":
            create_subscriber(ours)
        elif change == "somebody less":
            opt_out(person)
        elif change == "another text":
            service.update_campaign(ours.id, campaign.id, {"body": "Other. Reply STOP to opt out"}, actor="test")
        else:
            wallet.adjust(ours.id, -1, reference="x", reason="taken")
        work(wanted)
        assert (dispatches(), campaign.state) == (0, CampaignState.DRAFT)
        html = look(visitor, campaign, "send").get_data(as_text=True)
        assert "Nothing was sent: what you saw has changed meanwhile." in words(html)
        assert say_yes(visitor, campaign, form(html)).status_code == 200
        work(wanted)
        assert dispatches() == 1

    def test_to_numbers_that_another_count_has_changed_is_not_even_kept(
        self, visitor: Visitor, ours: Shop, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = form(asked(visitor, campaign, wanted))
        create_subscriber(ours)
        passes(monkeypatch, 61)
        asked(visitor, campaign, wanted)
        response = say_yes(visitor, campaign, given)
        assert response.status_code == 409
        assert numbers(response.get_data(as_text=True))["recipients"] == "3"
        assert wanted == []

    def test_to_numbers_that_nobody_remembers_counts_and_asks_again(
        self, visitor: Visitor, ours: Shop, campaign: Campaign, wanted: list[Any]
    ) -> None:
        given = form(asked(visitor, campaign, wanted))
        for key in queue.connection().keys(f"census:{ours.id}:*"):
            queue.connection().delete(key)
        response = say_yes(visitor, campaign, given)
        assert response.status_code == 409
        assert "Counting who gets it…" in words(response.get_data(as_text=True))
        assert work(wanted) == ["campaigns.count_audience"]
        assert dispatches() == 0

    def test_to_a_large_one_takes_its_number_at_once(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "LARGE", 2)
        given = form(asked(visitor, campaign, wanted))
        assert say_yes(visitor, campaign, {**given, "typed": "3"}).status_code == 422
        assert wanted == []
        say_yes(visitor, campaign, {**given, "typed": "2"})
        work(wanted)
        assert dispatches() == 1

    def test_to_an_hour_plans_it(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        campaign.plan = {"when": "at", "day": f"{clock.now() + timedelta(days=3):%Y-%m-%d}", "time": "18:30"}
        given = form(asked(visitor, campaign, wanted))
        assert "it is scheduled" in words(say_yes(visitor, campaign, given).get_data(as_text=True))
        work(wanted)
        assert campaign.state is CampaignState.SCHEDULED
        assert "Scheduled" in look(visitor, campaign, "schedule").headers["HX-Trigger"]

    def test_that_no_job_has_found_is_found_and_not_after_ten_minutes(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        say_yes(visitor, campaign, form(asked(visitor, campaign, wanted)))
        wanted.clear()
        assert yeses.lost_yeses(clock.now() - jobs.LOST_AFTER) == []
        passes(monkeypatch, 6)
        assert yeses.lost_yeses(clock.now() - jobs.LOST_AFTER) == [(campaign.shop_id, campaign.id)]
        passes(monkeypatch, confirming.HOLDS_FOR.total_seconds())
        service.take_yes(campaign.shop_id, campaign.id)
        assert dispatches() == 0
        work(wanted)
        assert "Nothing was sent" in words(look(visitor, campaign).get_data(as_text=True))

    def test_whose_draft_was_thrown_away_is_no_trouble(
        self, visitor: Visitor, campaign: Campaign, wanted: list[Any]
    ) -> None:
        say_yes(visitor, campaign, form(asked(visitor, campaign, wanted)))
        service.delete_campaign(campaign.shop_id, campaign.id, actor="test")
        assert work(wanted) == ["campaigns.take_yes"]


def test_of_jobs_that_run_at_the_same_moment_one_sends(committed_app: Flask) -> None:
    with db.transaction():
        shop = create_shop()
        make_ready(shop)
        campaign = create_campaign(shop)
        shop_id, campaign_id = shop.id, campaign.id
        service.count_audience(shop_id, Audience(everybody=True), clock.now())
    with db.transaction():
        question = service.ask_to_confirm(shop_id, campaign_id)
        assert isinstance(question, service.Question)
    with db.transaction():
        outcome = service.confirm_campaign(
            shop_id, campaign_id, deed="send", mark=question.mark, credits_free=question.credits_free, typed="",
            actor="staff:1",
        )  # fmt: skip
        assert outcome.checking is not None
    at_once(committed_app, *[lambda: jobs.take_yes(shop_id, campaign_id)] * 5)
    with db.transaction():
        assert session.scalar(select(func.count()).select_from(Dispatch)) == 1


def test_a_sweep_takes_what_was_lost(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction():
        shop = create_shop()
        make_ready(shop)
        campaign = create_campaign(shop)
        shop_id, campaign_id = shop.id, campaign.id
        service.count_audience(shop_id, Audience(everybody=True), clock.now())
    with db.transaction():
        question = service.ask_to_confirm(shop_id, campaign_id)
        assert isinstance(question, service.Question)
        service.confirm_campaign(
            shop_id, campaign_id, deed="send", mark=question.mark, credits_free=0, typed="", actor="staff:1"
        )
    jobs.take_yeses()
    monkeypatch.setattr(jobs, "LOST_AFTER", timedelta(0))
    with db.transaction():
        assert dispatches() == 0
    jobs.take_yeses()
    with db.transaction():
        assert dispatches() == 1
