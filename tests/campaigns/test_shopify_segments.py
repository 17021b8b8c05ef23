"""Shopify's segments in audiences: read when they are chosen, kept fresh, and looked at before a yes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask

from blossom.campaigns import service
from blossom.campaigns.errors import CannotSend
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.campaigns.service import Question
from blossom.campaigns.service.confirming import Waits
from blossom.contacts.models import Contact
from blossom.messaging import service as messaging
from blossom.platform import clock
from blossom.platform.db import session
from blossom.segments.models import ShopifySegment
from blossom.segments.rules import ACCEPTED_AGE, Audience
from blossom.shops.models import Shop
from tests.factories.campaigns import create_campaign
from tests.factories.consent import create_subscriber
from tests.factories.segments import create_shopify_segment
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet

LONG = timedelta(days=1)
JUST_STALE = ACCEPTED_AGE + timedelta(seconds=1)


@pytest.fixture
def shop(app: Flask) -> Shop:
    made = create_shop()
    create_wallet(made.id)
    return made


@pytest.fixture
def people(shop: Shop) -> list[Contact]:
    return [create_subscriber(shop) for _ in range(3)]


def campaign_to(*segments: ShopifySegment, shop: Shop, **overrides: object) -> Campaign:
    audience = Audience(segments=tuple(each.segment_id for each in segments))
    return create_campaign(shop, audience=audience, **overrides)


def ask(campaign: Campaign) -> Question:
    asked = service.ask_to_confirm(campaign.shop_id, campaign.id)
    assert isinstance(asked, Question)
    return asked


def state_of(segment: ShopifySegment) -> str:
    session.refresh(segment)
    return segment.state


def rest(segment: ShopifySegment, read_at: datetime | None = None) -> None:
    segment.state, segment.next_try_at = "resting", None
    if read_at is not None:
        segment.read_at, segment.members, segment.known = read_at, segment.members or 0, segment.known or 0
    session.flush()


def test_choosing_one_has_it_read_unless_it_was_lately(shop: Shop, people: list[Contact]) -> None:
    never, lately = create_shopify_segment(shop), create_shopify_segment(shop, people)
    before = create_shopify_segment(shop, people, read_at=clock.now() - LONG)
    campaign_to(never, lately, before, shop=shop)
    assert [state_of(each) for each in (never, lately, before)] == ["wanted", "resting", "wanted"]


def test_leaving_one_out_has_it_read_too(shop: Shop, people: list[Contact]) -> None:
    left_out = create_shopify_segment(shop, people, read_at=clock.now() - LONG)
    create_campaign(shop, audience=Audience(everybody=True, exclude=(left_out.segment_id,)))
    assert state_of(left_out) == "wanted"


def test_the_question_shows_who_is_in_it(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people[:2], members=5)
    asked = ask(campaign_to(segment, shop=shop))
    assert (asked.waits, asked.recipients) == (None, 2)
    assert [(each.name, each.strangers) for each in asked.readings] == [("VIP", 3)]


def test_the_question_waits_for_one_that_was_never_read_and_for_one_that_is_read_in_seconds(
    shop: Shop, people: list[Contact]
) -> None:
    never = campaign_to(create_shopify_segment(shop), shop=shop)
    assert ask(never).waits is Waits.READING
    stale = create_shopify_segment(shop, people, read_at=clock.now() - JUST_STALE)
    campaign = campaign_to(stale, shop=shop)
    assert ask(campaign).waits is Waits.READING
    rest(stale, read_at=clock.now())
    assert ask(campaign).waits is None


def test_of_a_large_one_and_of_one_that_shopify_is_not_asked_for_it_shows_what_was_read_before(
    shop: Shop, people: list[Contact]
) -> None:
    stale = clock.now() - JUST_STALE
    large = create_shopify_segment(shop, people, members=5_001, read_at=stale)
    failing = create_shopify_segment(shop, people, read_at=stale, fault="no_answer")
    for each in (large, failing):
        asked = ask(campaign_to(each, shop=shop))
        assert (asked.waits, asked.recipients) == (None, 3)


def test_a_yes_to_numbers_that_were_shown_holds_though_the_list_is_stale_by_then(
    shop: Shop, people: list[Contact]
) -> None:
    segment = create_shopify_segment(shop, people)
    campaign = campaign_to(segment, shop=shop)
    asked = ask(campaign)
    rest(segment, read_at=clock.now() - JUST_STALE)
    given = {"deed": asked.deed.value, "mark": asked.mark, "credits_free": asked.credits_free, "typed": ""}
    outcome = service.confirm_campaign(shop.id, campaign.id, **given, actor="somebody")  # type: ignore[arg-type]
    assert outcome.done
    assert outcome.campaign.dispatch_id is not None
    messaging.prepare_dispatch(shop.id, outcome.campaign.dispatch_id)
    assert state_of(segment) == "wanted", "it is read anew before anybody is texted"


def test_one_that_was_deleted_at_shopify_is_a_reason_against_it(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people, gone_at=clock.now(), name="Summer guests")
    campaign = campaign_to(segment, shop=shop)
    asked = ask(campaign)
    assert [why["code"] for why in asked.reasons] == ["segment_gone"]
    assert asked.reasons[0]["message"] == "The segment “Summer guests” was deleted at Shopify."
    with pytest.raises(CannotSend):
        service.enqueue_campaign(shop.id, campaign.id, actor="somebody")


def test_one_that_could_never_be_read_is_a_reason_against_it(shop: Shop) -> None:
    segment = create_shopify_segment(shop)
    campaign = campaign_to(segment, shop=shop)
    segment.state, segment.next_try_at, segment.fault = "failed", None, "access_denied"
    session.flush()
    assert [why["code"] for why in ask(campaign).reasons] == ["segment_unread"]


def test_a_program_may_send_to_one_that_is_not_read_yet_and_its_audience_is_fixed_when_it_is(
    shop: Shop, people: list[Contact]
) -> None:
    segment = create_shopify_segment(shop)
    campaign = campaign_to(segment, shop=shop)
    sent = service.enqueue_campaign(shop.id, campaign.id, actor="a program")
    assert (sent.state, sent.dispatch_id is None) == (CampaignState.SENDING, False)


def test_a_planned_campaign_does_not_fail_at_its_hour_because_its_segment_was_not_read(shop: Shop) -> None:
    now = clock.now()
    campaign = campaign_to(create_shopify_segment(shop), shop=shop)
    campaign.stored_state, campaign.schedule_kind = "scheduled", "at"
    campaign.scheduled_at = campaign.due_at = now - timedelta(seconds=1)
    session.flush()
    sent = service.enqueue_due_campaign(shop.id, campaign.id, now)
    assert sent is not None
    assert sent.state is CampaignState.SENDING


class TestKeepingFresh:
    """What campaigns to come name is read by the clock."""

    def test_of_drafts_every_few_hours(self, shop: Shop, people: list[Contact]) -> None:
        segment = create_shopify_segment(shop, people)
        campaign_to(segment, shop=shop)
        assert service.keep_segments_fresh(clock.now()) == 0
        rest(segment, read_at=clock.now() - timedelta(hours=7))
        assert service.keep_segments_fresh(clock.now()) == 1
        assert state_of(segment) == "wanted"

    def test_not_of_a_draft_that_nobody_has_touched_for_weeks(self, shop: Shop, people: list[Contact]) -> None:
        segment = create_shopify_segment(shop, people)
        campaign_to(segment, shop=shop).updated_at = clock.now() - timedelta(days=15)
        rest(segment, read_at=clock.now() - LONG)
        assert service.keep_segments_fresh(clock.now()) == 0

    def test_shortly_before_a_planned_hour(self, shop: Shop, people: list[Contact]) -> None:
        now = clock.now()
        segment = create_shopify_segment(shop, people)
        campaign = campaign_to(segment, shop=shop)
        campaign.stored_state, campaign.schedule_kind = "scheduled", "at"
        campaign.scheduled_at = campaign.due_at = now + timedelta(minutes=10)
        rest(segment, read_at=now - timedelta(minutes=20))
        assert service.keep_segments_fresh(now) == 0, "it is too early"
        assert service.keep_segments_fresh(now + timedelta(minutes=7)) == 1

    def test_what_nobody_names_is_left_alone(self, shop: Shop, people: list[Contact]) -> None:
        create_shopify_segment(shop, people, read_at=clock.now() - LONG)
        assert service.keep_segments_fresh(clock.now()) == 0
