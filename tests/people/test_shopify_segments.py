"""Shopify's own segments on the merchant's pages: what was read of them, when, and having it read again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from blossom.platform import clock, queue
from blossom.platform.db import session
from blossom.segments.models import Segment, ShopifySegment
from blossom.segments.rules import ACCEPTED_AGE, Audience
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor
from tests.factories.campaigns import create_campaign, create_sending, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.segments import create_shopify_segment
from tests.people.test_segments import PARTIAL, post, told


@pytest.fixture
def asked_of_shopify(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs that were asked for."""
    asked: list[str] = []
    monkeypatch.setattr(queue, "_hand_over", lambda call: asked.append(call.name))
    return asked


def state_of(segment: ShopifySegment) -> str:
    return session.scalars(select(ShopifySegment.state).where(ShopifySegment.segment_id == segment.segment_id)).one()


class TestTheList:
    def test_shows_them_with_their_members_and_when_that_was(self, visitor: Visitor, ours: Shop) -> None:
        create_shopify_segment(ours, [create_subscriber(ours)], name="Regulars", members=1_204)
        words = told(visitor.fetch("/segments", headers=PARTIAL))
        assert re.search(r"Regulars Shopify 1,204 customers, read from Shopify on .* Read now", words)

    def test_has_shopify_asked_which_there_are(self, visitor: Visitor, ours: Shop, asked_of_shopify: list[str]) -> None:
        visitor.fetch("/segments", headers=PARTIAL)
        assert asked_of_shopify == ["customers.list_segments"]

    def test_has_it_asked_once_however_many_look(self, visitor: Visitor, stranger: Visitor, theirs: Shop) -> None:
        for each in (visitor, visitor, stranger, visitor):
            each.fetch("/segments", headers=PARTIAL)
            each.fetch("/campaigns/new", headers=PARTIAL)
        asked = [job.args[:2] for job in queue.rq_queue("sync").jobs]
        assert [name for name, _ in asked] == ["customers.list_segments"] * 2
        assert len({given["shop_id"] for _, given in asked}) == 2

    def test_looks_again_by_itself_at_one_that_is_being_read_and_at_no_other(
        self, visitor: Visitor, ours: Shop
    ) -> None:
        being_read = {"state": "reading", "next_try_at": clock.now(), "expected": 5_000, "read_so_far": 1_500}
        busy = create_shopify_segment(ours, **being_read)
        create_shopify_segment(ours, name="Other")
        html = visitor.fetch("/segments", headers=PARTIAL).text
        polled = re.findall(r'hx-get="(/segments/\d+/reading)"', html)
        assert polled == [f"/segments/{busy.segment_id}/reading"]
        assert "being read from Shopify: 1,500 of about 5,000" in html

    def test_says_why_one_could_not_be_read(self, visitor: Visitor, ours: Shop) -> None:
        create_shopify_segment(ours, state="failed", fault="access_denied", wanted_at=clock.now())
        assert "Grant the missing permissions" in told(visitor.fetch("/segments", headers=PARTIAL))


class TestOneOfThem:
    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ({"state": "wanted", "next_try_at": True}, "It is tried again by itself."),
            ({"state": "failed"}, "It was tried several times."),
            ({"state": "resting"}, "It was tried several times."),  # and a campaign that waited has been told
        ],
    )
    def test_promises_no_further_try_of_one_that_was_given_up(
        self, visitor: Visitor, ours: Shop, state: dict[str, Any], said: str
    ) -> None:
        values = {name: clock.now() if value is True else value for name, value in state.items()}
        create_shopify_segment(ours, fault="could_not_connect", **values)
        assert f"Shopify could not be reached. {said}" in told(visitor.fetch("/segments", headers=PARTIAL))

    def test_shows_who_is_in_it_and_how_many_are_no_contacts(self, visitor: Visitor, ours: Shop) -> None:
        person = create_subscriber(ours, first_name="Eleni", last_name="Papadaki")
        segment = create_shopify_segment(ours, [person], members=7)
        answer = visitor.fetch(f"/segments/{segment.segment_id}", headers=PARTIAL)
        figures = dict(re.findall(r'data-number="(\w+)">([^<]*)<', answer.text))
        assert figures == {"members": "7", "known": "1", "strangers": "6"}
        assert "Eleni Papadaki" in answer.text
        assert "no phone number at Shopify" in told(answer)

    def test_is_read_now_when_that_is_wanted(self, visitor: Visitor, ours: Shop, asked_of_shopify: list[str]) -> None:
        segment = create_shopify_segment(ours, [create_subscriber(ours)])
        answer = visitor.fetch(f"/segments/{segment.segment_id}/reading", method="POST", headers=PARTIAL)
        assert answer.status_code == 200
        assert "being read from Shopify…" in answer.text
        assert "Read now" not in answer.text
        assert state_of(segment) == "wanted"
        assert "customers.run_segments" in asked_of_shopify

    def test_is_shown_anew_when_its_reading_has_ended(self, visitor: Visitor, ours: Shop) -> None:
        segment = create_shopify_segment(ours, [], state="reading", next_try_at=clock.now())
        address = f"/segments/{segment.segment_id}/reading?whole=1"
        assert "HX-Retarget" not in visitor.fetch(address, headers=PARTIAL).headers
        segment.state, segment.next_try_at = "resting", None
        session.flush()
        ended = visitor.fetch(address, headers=PARTIAL)
        assert ended.headers["HX-Retarget"] == "#segment"
        assert 'id="segment"' in ended.text

    def test_can_be_neither_changed_nor_filled_nor_deleted_here(self, visitor: Visitor, ours: Shop) -> None:
        segment = create_shopify_segment(ours, [])
        address = f"/segments/{segment.segment_id}"
        assert post(visitor, address, ("country", "in", "GR"), do="save").status_code == 404
        member_form = {"query": "+306984303401"}
        assert visitor.fetch(f"{address}/members", method="POST", data=member_form, headers=PARTIAL).status_code == 404
        assert visitor.fetch(f"{address}/delete", method="POST", headers=PARTIAL).status_code == 409
        assert session.get(Segment, segment.segment_id) is not None

    def test_that_is_gone_at_shopify_says_so_and_may_be_deleted_unless_a_campaign_needs_it(
        self, visitor: Visitor, ours: Shop
    ) -> None:
        segment = create_shopify_segment(ours, [], gone_at=clock.now())
        address = f"/segments/{segment.segment_id}"
        page = visitor.fetch(address, headers=PARTIAL)
        assert "This segment was deleted at Shopify" in page.text
        assert "Read now" not in page.text
        campaign = create_campaign(ours, audience=Audience(segments=(segment.segment_id,)))
        assert visitor.fetch(f"{address}/delete", method="POST", headers=PARTIAL).status_code == 409
        session.delete(campaign)
        session.flush()
        assert visitor.fetch(f"{address}/delete", method="POST", headers=PARTIAL).status_code == 200
        assert session.query(Segment).count() == 0

    def test_how_its_reading_stands_is_a_page_too(self, visitor: Visitor, ours: Shop) -> None:
        segment = create_shopify_segment(ours, [], name="Regulars")
        assert "<h1>Regulars</h1>" in visitor.document(f"/segments/{segment.segment_id}/reading").text

    def test_of_another_shop_is_not_there(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        segment = create_shopify_segment(theirs, [])
        for address in (f"/segments/{segment.segment_id}", f"/segments/{segment.segment_id}/reading"):
            assert visitor.fetch(address, headers=PARTIAL).status_code == 404
        again = visitor.fetch(f"/segments/{segment.segment_id}/reading", method="POST", headers=PARTIAL)
        assert again.status_code == 404
        assert state_of(segment) == "resting"


class TestWriting:
    def test_a_campaign_can_go_to_one_and_sees_how_it_stands(self, visitor: Visitor, ours: Shop) -> None:
        segment = create_shopify_segment(ours, [create_subscriber(ours)], members=3, name="Regulars")
        gone = create_shopify_segment(ours, [], gone_at=clock.now(), name="Deleted there")
        html = visitor.fetch(f"/campaigns/new?segment={segment.segment_id}", headers=PARTIAL).text
        assert re.search(r"<span>Regulars <small>Shopify</small> <small>3</small></span>", html)
        assert f'data-reading="{segment.segment_id}"' in html
        assert "2 of them are not among your contacts" in html
        assert f'value="{gone.segment_id}"' not in html, "nobody can choose what is gone"

    def test_the_page_looks_again_while_it_is_being_read(self, visitor: Visitor, ours: Shop) -> None:
        segment = create_shopify_segment(ours, state="reading", next_try_at=clock.now())
        html = visitor.fetch(f"/campaigns/new?segment={segment.segment_id}", headers=PARTIAL).text
        assert 'id="being-read"' in html
        assert 'id="being-read"' not in visitor.fetch("/campaigns/new", headers=PARTIAL).text

    def test_a_campaign_that_waits_for_one_says_so(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        segment = create_shopify_segment(ours, [create_subscriber(ours)], name="Regulars")
        campaign = create_sending(ours, audience=Audience(segments=(segment.segment_id,)))
        page = f"/campaigns/{campaign.id}"
        assert "Fixing who gets it" in visitor.fetch(page, headers=PARTIAL).text
        session.query(ShopifySegment).update({"read_at": clock.now() - ACCEPTED_AGE * 2})
        html = visitor.fetch(page, headers=PARTIAL).text
        assert "Reading from Shopify who is in Regulars." in html
        assert "Fixing who gets it" not in html
