"""Shopify's own segments: listed, read page by page past deaths and faults, and seen whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from blossom.contacts.models import Contact
from blossom.customers import jobs, rules, service
from blossom.customers.service import segment_lists, segment_members
from blossom.platform import clock, queue
from blossom.platform.db import session, transaction
from blossom.segments import queries as segments
from blossom.segments.models import (
    Segment,
    SegmentMember,
    ShopifySegment,
    ShopifySegmentList,
    ShopifySegmentPage,
)
from blossom.segments.rules import Audience, Reading, ReadingState
from blossom.shopify.client import ShopifyClient
from blossom.shopify.errors import ShopifyError
from blossom.shops.models import Shop as Tenant
from tests.customers.conftest import Shop
from tests.shops.conftest import OURS

EVERYBODY = "number_of_orders >= 0"
MEMBERS = "SegmentMembers"


class Segments:
    """The shop's segments there and here."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def make(self, **queries: str) -> list[int]:
        """At Shopify; their numbers there."""
        return [made["id"] for made in self.shop.shopify.add_segments(OURS, **queries)]

    def list(self) -> dict[str, int]:
        """List them, however short a time ago that was done: the name → the id here, of those that are not gone."""
        with transaction():
            session.execute(update(ShopifySegmentList).values(listed_at=None, next_try_at=clock.now()))
        service.run_segments()
        with transaction():
            return {each.name: each.segment_id for each in self.all() if each.gone_at is None}

    def all(self) -> list[Reading]:
        ids = session.scalars(select(ShopifySegment.segment_id).where(ShopifySegment.shop_id == self.shop.id)).all()
        return list(segments.readings(self.shop.id, ids).values())

    def ask(self, segment_id: int, older_than: timedelta = timedelta(0)) -> None:
        with transaction():
            service.ask_for_members(self.shop.id, [segment_id], older_than)

    def reading(self, segment_id: int) -> Reading:
        with transaction():
            return segments.readings(self.shop.id, [segment_id])[segment_id]

    def read(self, segment_id: int) -> Reading:
        self.ask(segment_id)
        service.run_segments()
        return self.reading(segment_id)

    def due(self) -> None:
        """The next try's time has come, and whoever had it in hand is dead."""
        with transaction():
            session.execute(
                update(ShopifySegment)
                .where(ShopifySegment.next_try_at.is_not(None))
                .values(next_try_at=clock.now(), in_hand_until=None)
            )

    def people(self, segment_id: int) -> set[int | None]:
        """The customers' numbers of whom a campaign to the segment would reach."""
        with transaction():
            found = segments.audience_select(self.shop.id, Audience(segments=(segment_id,))).subquery()
            query = select(Contact.shopify_customer_id).where(Contact.id == found.c.contact_id)
            return set(session.scalars(query))


@pytest.fixture
def ours(shop: Shop) -> Segments:
    """A shop whose four customers, one without a phone, were imported."""
    for number in range(3):
        shop.add(phone=f"+30698430340{number}", orders=number)
    shop.add(email="nobody@example.com", orders=3)
    shop.ask()
    shop.finish()
    return Segments(shop)


def customers_with_phones(ours: Segments) -> set[int | None]:
    return set(ours.shop.contacts().values())


def test_segments_are_listed_with_the_names_that_they_have_there(ours: Segments) -> None:
    often, _ = ours.make(Often="number_of_orders >= 2", Never="number_of_orders = 0")
    assert set(ours.list()) == {"Often", "Never"}
    ours.shop.shopify.act_on_segment(OURS, often, "update", name="Very often")
    assert set(ours.list()) == {"Very often", "Never"}
    with transaction():
        kinds = set(session.scalars(select(Segment.kind)))
    assert kinds == {"shopify"}


def test_many_segments_come_in_pages(ours: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_lists, "LISTED", 2)
    ours.make(**{f"Nr_{number}": EVERYBODY for number in range(5)})
    assert len(ours.list()) == 5


def test_one_that_was_deleted_is_marked_if_somebody_chose_it_and_forgotten_else(ours: Segments) -> None:
    chosen, passed_over = ours.make(Chosen=EVERYBODY, Passed_over=EVERYBODY)
    listed = ours.list()
    ours.read(listed["Chosen"])
    for number in (chosen, passed_over):
        ours.shop.shopify.act_on_segment(OURS, number, "delete")
    assert ours.list() == {}
    with transaction():
        assert [each.segment_id for each in ours.all()] == [listed["Chosen"]]
    assert ours.reading(listed["Chosen"]).gone_at is not None
    assert len(ours.people(listed["Chosen"])) == 3, "what was fixed or shown stays as it was"


def test_a_visit_has_them_listed_once_a_minute(ours: Segments) -> None:
    def listings() -> int:
        return sum(call["operation"] == "Segments" for call in ours.shop.shopify.calls())

    ours.list()
    before = listings()
    jobs.list_segments(ours.shop.id)
    service.run_segments()
    assert listings() == before, "it was listed a moment ago"
    with transaction():
        session.execute(update(ShopifySegmentList).values(listed_at=clock.now() - segment_lists.LIST_AGE * 2))
    jobs.list_segments(ours.shop.id)
    service.run_segments()
    assert listings() == before + 1


def test_a_list_that_could_not_be_had_is_asked_for_again_and_nothing_is_gone(ours: Segments) -> None:
    ours.make(Often=EVERYBODY)
    ours.list()
    ours.shop.shopify.fail({"kind": "500", "area": "graphql", "operation": "Segments", "share": 1.0})
    assert set(ours.list()) == {"Often"}
    with transaction():
        row = session.scalars(select(ShopifySegmentList)).one()
    assert (row.fault, row.tries) == ("shopify_failed", 1)
    assert row.next_try_at > clock.now()


def test_members_are_the_contacts_whose_customers_are_in_it_and_the_others_are_counted(ours: Segments) -> None:
    ours.make(Buyers="number_of_orders >= 1")
    segment_id = ours.list()["Buyers"]
    assert ours.reading(segment_id).read_at is None, "who is in one that nobody chose is not asked"
    read = ours.read(segment_id)
    assert (read.state, read.members, read.known, read.strangers) == (ReadingState.RESTING, 3, 2, 1)
    assert read.read_at is not None
    numbers = ours.shop.contacts()
    assert ours.people(segment_id) == {numbers["+306984303401"], numbers["+306984303402"]}


def test_another_reading_brings_who_came_and_takes_who_left(ours: Segments) -> None:
    ours.make(Buyers="number_of_orders >= 1")
    segment_id = ours.list()["Buyers"]
    ours.read(segment_id)
    numbers = ours.shop.contacts()
    came, left, stays = (numbers[f"+30698430340{each}"] for each in (0, 1, 2))
    assert came
    assert left
    ours.shop.act(came, "update", fields={"orders": 7})
    ours.shop.act(left, "update", fields={"orders": 0})
    assert ours.people(segment_id) == {left, stays}
    ours.read(segment_id)
    assert ours.people(segment_id) == {came, stays}


def test_one_that_was_read_a_moment_ago_is_not_read_again_for_a_look(ours: Segments) -> None:
    ours.make(Buyers=EVERYBODY)
    segment_id = ours.list()["Buyers"]
    ours.read(segment_id)
    jobs.read_segments(ours.shop.id, [segment_id])
    assert ours.reading(segment_id).state is ReadingState.RESTING
    ours.ask(segment_id)
    assert ours.reading(segment_id).state is ReadingState.WANTED


def test_a_worker_that_dies_between_two_pages_is_followed_by_one_that_goes_on(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_members, "PAGE", 1)
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.ask(segment_id)
    with monkeypatch.context() as dying:
        die_after(dying, pages=2)
        with pytest.raises(KeyboardInterrupt):
            service.run_segments()
    halfway = ours.reading(segment_id)
    assert (halfway.state, halfway.read_so_far, halfway.expected) == (ReadingState.READING, 2, 4)
    assert ours.people(segment_id) == set(), "half of a list is none"
    assert service.run_segments() == 0, "it is in the dead one's hands still"
    before = pages_asked(ours)
    ours.due()
    service.run_segments()
    assert pages_asked(ours) == before + 2, "those that were read are not asked for again"
    assert ours.people(segment_id) == customers_with_phones(ours)
    with transaction():
        assert session.scalar(select(func.count()).select_from(ShopifySegmentPage)) == 0


def test_what_was_read_before_stands_until_all_of_the_next_reading_is_there(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_members, "PAGE", 1)
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.read(segment_id)
    ours.ask(segment_id)
    with monkeypatch.context() as dying:
        die_after(dying, pages=1)
        with pytest.raises(KeyboardInterrupt):
            service.run_segments()
    assert ours.people(segment_id) == customers_with_phones(ours)


def test_a_worker_that_was_thought_dead_writes_nothing_any_more(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.ask(segment_id)
    keys = {"shop_id": ours.shop.id, "segment_id": segment_id, "turn": 0}
    with transaction():
        session.execute(update(ShopifySegment).values(turn=1))
    with pytest.raises(segment_members.TakenOver), transaction():
        segment_members._store(SimpleNamespace(**keys), None, None, 1, [1])
    with pytest.raises(segment_members.TakenOver):
        segment_members._adopt(SimpleNamespace(**keys))
    assert ours.reading(segment_id).read_at is None


def test_where_it_stopped_means_nothing_any_more_it_begins_anew(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.ask(segment_id)
    with transaction():
        session.execute(update(ShopifySegment).values(state="reading", cursor="no cursor of theirs", read_so_far=9))
    service.run_segments()
    read = ours.reading(segment_id)
    assert (read.state, read.members, read.read_so_far) == (ReadingState.RESTING, 4, 4)


def test_where_a_late_page_fails_for_good_it_is_given_up_after_beginning_anew_a_few_times(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_members, "PAGE", 2)
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    real, late = ShopifyClient.run, []

    def run(client: ShopifyClient, operation: str, **variables: Any) -> Any:
        if variables.get("after") is not None:
            late.append(variables["after"])
            if len(late) == 20:
                raise KeyboardInterrupt  # for ever
            raise ShopifyError("answer_unreadable", http_status=200)
        return real(client, operation, **variables)

    ours.ask(segment_id)
    with monkeypatch.context() as failing:
        failing.setattr(ShopifyClient, "run", run)
        while segment_members._read_due(ends_at=0.0):  # a page, and then it is others' turn
            pass
    read = ours.reading(segment_id)
    assert (read.state, read.fault) == (ReadingState.FAILED, "answer_unreadable")
    assert len(late) == 3
    assert ours.read(segment_id).members == 4, "asked for once more it is tried once more"


def test_a_reading_of_long_ago_begins_anew(ours: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_members, "PAGE", 2)
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.ask(segment_id)
    with monkeypatch.context() as dying:
        die_after(dying, pages=1)
        with pytest.raises(KeyboardInterrupt):
            service.run_segments()
    with transaction():
        session.execute(update(ShopifySegment).values(wanted_at=clock.now() - segment_members.LONGEST * 2))
    before = pages_asked(ours)
    ours.due()
    service.run_segments()
    assert pages_asked(ours) == before + 2
    assert ours.reading(segment_id).members == 4


def test_one_that_is_deleted_before_it_is_read_is_marked_as_gone(ours: Segments) -> None:
    (number,) = ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.shop.shopify.act_on_segment(OURS, number, "delete")
    read = ours.read(segment_id)
    assert read.gone_at is not None
    assert (read.state, read.read_at) == (ReadingState.RESTING, None)
    ours.ask(segment_id)
    assert not ours.reading(segment_id).is_open, "nobody can be asked for it"


def test_being_throttled_costs_time_only(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.shop.shopify.fail({"kind": "throttled", "area": "graphql", "operation": MEMBERS, "next": 1})
    assert ours.read(segment_id).members == 4


def test_while_shopify_fails_it_is_tried_later_and_later_then_given_up_and_may_be_asked_for_again(
    ours: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShopifyClient, "__init__", impatient(ShopifyClient.__init__))
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.shop.shopify.fail({"kind": "503", "area": "graphql", "operation": MEMBERS, "share": 1.0})
    ours.ask(segment_id)
    tries, waited = 0, timedelta(0)
    while ours.reading(segment_id).is_open and tries < 20:
        service.run_segments()
        with transaction():
            row = session.scalars(select(ShopifySegment).execution_options(populate_existing=True)).one()
            waited += max(timedelta(0), row.next_try_at - clock.now()) if row.next_try_at else timedelta(0)
        tries += 1
        ours.due()
    read = ours.reading(segment_id)
    assert (read.state, read.fault, tries) == (ReadingState.FAILED, "shopify_failed", 9)
    assert timedelta(minutes=28) < waited < timedelta(minutes=30)
    ours.shop.shopify.fail()
    assert ours.read(segment_id).members == 4


def test_without_the_permission_it_is_given_up_at_once_with_the_reason(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.shop.shopify.install(OURS, ["read_orders"])
    assert (ours.read(segment_id).state, ours.reading(segment_id).fault) == (ReadingState.FAILED, "access_denied")


def test_a_shop_that_left_is_not_asked(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    ours.ask(segment_id)
    with transaction():
        session.execute(update(Tenant).values(uninstalled_at=clock.now()))
    assert service.run_segments() == 0


def test_another_shops_segments_are_not_touched(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    with transaction():
        service.ask_for_members(ours.shop.id + 1, [segment_id])
    assert not ours.reading(segment_id).is_open
    with transaction():
        assert segments.readings(ours.shop.id + 1, [segment_id]) == {}


def test_asking_wakes_a_worker_once(ours: Segments) -> None:
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    queue.rq_queue("sync").empty()
    ours.ask(segment_id)
    ours.ask(segment_id)
    assert queue.rq_queue("sync").count == 1


def test_a_large_segment_is_read_in_pages_that_a_call_may_cost(ours: Segments) -> None:
    people = [{"first_name": f"Nr {number}"} for number in range(1_100)]
    ours.shop.shopify.add_customers(OURS, *people)
    ours.make(All=EVERYBODY)
    segment_id = ours.list()["All"]
    read = ours.read(segment_id)
    assert (read.members, read.known) == (1_104, 3)
    assert pages_asked(ours) == 3
    with transaction():
        assert session.scalar(select(func.count()).select_from(SegmentMember)) == 3


def test_pauses_grow_and_end() -> None:
    pauses = [rules.reading_retry_after(tries) for tries in range(1, 10)]
    assert pauses[-1] is None
    grown = [pause for pause in pauses if pause is not None]
    assert grown == sorted(grown)


def die_after(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Let the worker die when it asks for the page after so many."""
    asked = 0
    run = ShopifyClient.run

    def mortal(self: ShopifyClient, operation: str, **variables: Any) -> dict[str, Any]:
        nonlocal asked
        if operation == "segment_members":
            asked += 1
            if asked > pages:
                raise KeyboardInterrupt
        return run(self, operation, **variables)

    monkeypatch.setattr(ShopifyClient, "run", mortal)


def impatient(init: Any) -> Any:
    """A client that tries each call once."""

    def begun(self: ShopifyClient, *given: Any, **options: Any) -> None:
        init(self, *given, **{**options, "retry_delays": ()})

    return begun


def pages_asked(ours: Segments) -> int:
    return sum(call["operation"] == MEMBERS for call in ours.shop.shopify.calls())
