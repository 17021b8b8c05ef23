"""An audience with a segment of Shopify's is fixed with what Shopify says now, or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from blossom.contacts.models import Contact
from blossom.messaging import service
from blossom.messaging.models import Dispatch, Message
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.db import session
from blossom.segments.models import ShopifySegment
from blossom.segments.rules import ACCEPTED_AGE, Audience
from blossom.shops.models import Shop
from tests.factories.consent import create_subscriber
from tests.factories.segments import create_shopify_segment
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import TEXT

OLD = ACCEPTED_AGE + timedelta(seconds=1)


@pytest.fixture
def shop(app: Flask) -> Shop:
    made = create_shop()
    create_wallet(made.id)
    return made


@pytest.fixture
def people(shop: Shop) -> list[Contact]:
    return [create_subscriber(shop) for _ in range(3)]


def start(shop: Shop, audience: Audience) -> Dispatch:
    plan = service.DispatchPlan(shop_id=shop.id, audience=audience, source=TEXT, sender=shop.sender)
    return service.start_dispatch(plan)


def prepare(dispatch: Dispatch) -> DispatchState:
    service.prepare_dispatch(dispatch.shop_id, dispatch.id)
    session.refresh(dispatch)
    return DispatchState(dispatch.state)


def texted(dispatch: Dispatch) -> set[bytes]:
    return set(session.scalars(select(Message.phone_hash).where(Message.dispatch_id == dispatch.id)))


def read_now(segment: ShopifySegment) -> None:
    """As the job does that reads it."""
    segment.state, segment.next_try_at = "resting", None
    segment.read_at, segment.members, segment.known = clock.now(), segment.members or 0, segment.known or 0
    session.flush()


def test_members_that_were_read_just_now_are_texted(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people[:2])
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    assert prepare(dispatch) is DispatchState.SENDING
    assert texted(dispatch) == {each.phone_hash for each in people[:2]}


def test_an_older_list_is_never_texted_but_read_anew_first(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people[:2], read_at=clock.now() - OLD)
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(segment)
    assert (segment.state, segment.next_try_at is not None) == ("wanted", True)
    assert texted(dispatch) == set()
    assert prepare(dispatch) is DispatchState.PREPARING, "each sweep looks, and none loses patience"
    read_now(segment)
    assert prepare(dispatch) is DispatchState.SENDING
    assert texted(dispatch) == {each.phone_hash for each in people[:2]}


def test_who_is_left_out_is_read_anew_too(shop: Shop, people: list[Contact]) -> None:
    left_out = create_shopify_segment(shop, people[:1], read_at=clock.now() - OLD)
    dispatch = start(shop, Audience(everybody=True, exclude=(left_out.segment_id,)))
    assert prepare(dispatch) is DispatchState.PREPARING
    read_now(left_out)
    assert prepare(dispatch) is DispatchState.SENDING
    assert texted(dispatch) == {each.phone_hash for each in people[1:]}


def test_a_list_that_was_being_read_again_and_is_old_by_now_is_waited_for(shop: Shop, people: list[Contact]) -> None:
    old = clock.now() - OLD
    segment = create_shopify_segment(shop, people, read_at=old, state="reading", next_try_at=clock.now(), tries=3)
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    before = segment.next_try_at
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(segment)
    assert (segment.state, segment.tries, segment.next_try_at) == ("reading", 3, before), "its pauses are kept"


def test_one_that_was_deleted_at_shopify_fails_it_with_the_reason(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people, gone_at=clock.now())
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    assert prepare(dispatch) is DispatchState.FAILED
    assert dispatch.failure_code == "segment_gone"
    assert "Nothing was sent" in str(dispatch.failure_text)
    assert texted(dispatch) == set()


def test_one_that_could_not_be_read_pauses_it_and_resuming_has_it_tried_anew(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people, read_at=clock.now() - OLD)
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    prepare(dispatch)
    session.refresh(segment)
    segment.state, segment.next_try_at, segment.fault = "failed", None, "access_denied"
    session.flush()
    assert prepare(dispatch) is DispatchState.PAUSED
    assert dispatch.failure_code == "segment_unread"
    assert texted(dispatch) == set()
    session.refresh(segment)
    assert segment.fault == "access_denied", "the segment's page says why"
    service.resume_dispatch(shop.id, dispatch.id)
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(segment)
    assert segment.state == "wanted"
    read_now(segment)
    assert prepare(dispatch) is DispatchState.SENDING


def test_what_failed_before_it_began_is_tried_for_it(shop: Shop, people: list[Contact]) -> None:
    long_ago = clock.now() - timedelta(days=1)
    segment = create_shopify_segment(shop, people, read_at=long_ago, wanted_at=long_ago, state="failed", fault="x")
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(segment)
    assert segment.state == "wanted"


def test_one_that_is_cancelled_while_it_waits_texts_nobody(shop: Shop, people: list[Contact]) -> None:
    segment = create_shopify_segment(shop, people, read_at=clock.now() - OLD)
    dispatch = start(shop, Audience(segments=(segment.segment_id,)))
    prepare(dispatch)
    service.cancel_dispatch(shop.id, dispatch.id)
    read_now(segment)
    assert prepare(dispatch) is DispatchState.CANCELLED
    assert texted(dispatch) == set()


def test_two_that_take_long_to_read_do_not_wait_for_each_other_for_ever(shop: Shop, people: list[Contact]) -> None:
    """Each would be old by the time the other is there."""
    began, longer = clock.now() - timedelta(hours=2), create_shopify_segment(shop, people[:1], name="Longer")
    dispatch = start(shop, Audience(segments=(create_shopify_segment(shop, people[1:]).segment_id, longer.segment_id)))
    shorter = session.scalars(select(ShopifySegment).where(ShopifySegment.segment_id != longer.segment_id)).one()
    dispatch.created_at = began
    shorter.wanted_at, shorter.read_at = began, clock.now() - timedelta(hours=1)
    longer.wanted_at, longer.read_at = began, began - timedelta(days=1)
    longer.state, longer.next_try_at = "reading", clock.now()
    session.flush()
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(shorter)
    assert shorter.state == "resting", "it is not read again and again meanwhile"
    read_now(longer)
    assert prepare(dispatch) is DispatchState.SENDING
    assert texted(dispatch) == {each.phone_hash for each in people}


@pytest.mark.parametrize("read", ["before the dispatch began", "before the other was begun"])
def test_but_one_that_was_read_earlier_is_read_anew_beside_it(shop: Shop, people: list[Contact], read: str) -> None:
    hour = timedelta(hours=1)
    now = clock.now()
    began, begun = (now - hour, now - 3 * hour) if "dispatch" in read else (now - 3 * hour, now - hour)
    longer = create_shopify_segment(shop, people[:1], name="Longer", wanted_at=begun)
    other = create_shopify_segment(shop, people[1:], wanted_at=now - 2 * hour, read_at=now - 2 * hour)
    dispatch = start(shop, Audience(segments=(other.segment_id, longer.segment_id)))
    dispatch.created_at = began
    session.flush()
    assert prepare(dispatch) is DispatchState.PREPARING
    session.refresh(other)
    assert other.state == "wanted"
