"""Who gets a campaign: pages by outcome, a number looked for, one message's history."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from blossom.campaigns.models import Campaign
from blossom.campaigns.views import recipients
from blossom.links.models import LinkTarget
from blossom.links.service import record_click
from blossom.messaging.models import Attempt, Batch, Dispatch, Message, Receipt
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, statements
from tests.factories.campaigns import add_messages, create_campaign, create_completed, make_ready
from tests.factories.contacts import create_contact
from tests.factories.messaging import name_message


@pytest.fixture
def ready(ours: Shop) -> Shop:
    make_ready(ours)
    return ours


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("&#39;", "'").split())


def rows(html: str) -> list[int]:
    return [int(found) for found in re.findall(r'id="message-(\d+)-row"', html)]


def listed(visitor: Visitor, campaign: Campaign, query: str = "") -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/recipients{query}")
    assert response.status_code == 200
    return response.get_data(as_text=True)


def search(visitor: Visitor, campaign: Campaign, phone: str, status: int = 200) -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/recipients", method="POST", data={"phone": phone})
    assert response.status_code == status
    return response.get_data(as_text=True)


class TestList:
    def test_goes_on_a_page_at_a_time_and_shows_each_once(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recipients, "ON_A_PAGE", 3)
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=5, failed=2)
        html, met = listed(visitor, campaign), []
        while True:
            met += rows(html)
            more = re.search(r'rel="next" href="([^"]*)"', html)
            if more is None:
                break
            html = visitor.fetch(more[1].replace("&amp;", "&")).get_data(as_text=True)
        assert sorted(met) == sorted(message.id for message in messages)

    def test_is_filtered_by_outcome_with_counts_on_the_tabs(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=3, failed=1)
        messages[3].error = "invalid_number"
        html = listed(visitor, campaign, "?state=failed")
        assert rows(html) == [messages[3].id]
        assert "Mitto can't text this phone number." in words(html)
        tabs = re.search(r'<nav class="tabs" aria-label="Recipients by outcome">(.*?)</nav>', html, re.DOTALL)
        assert tabs
        assert words(tabs[1]) == "All 4 Delivered 3 Failed 1"

    def test_shows_numbers_in_groups_and_the_forgotten_without(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        known, forgotten = add_messages(campaign, delivered=2)
        known.phone, forgotten.phone_sealed = "+306912345678", None
        html = words(listed(visitor, campaign))
        assert "+30 691 234 5678" in html
        assert "Forgotten" in html

    def test_names_countries_and_says_of_a_number_that_it_is_of_none(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        _, elsewhere = add_messages(campaign, delivered=2)
        elsewhere.country = "ZZ"
        html = words(listed(visitor, campaign))
        assert ("Greece" in html, "No country's own numbers" in html) == (True, True)
        assert "ZZ" not in html

    @pytest.mark.parametrize("query", ["?state=odd", "?state=sending", "?after=x", "?after=1", "?after=99999999999.1"])
    def test_knows_no_odd_page(self, visitor: Visitor, ready: Shop, query: str) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=1)
        assert visitor.fetch(f"/campaigns/{campaign.id}/recipients{query}").status_code == 404

    def test_there_is_none_of_what_was_never_sent(self, visitor: Visitor, ready: Shop) -> None:
        draft = create_campaign(ready)
        response = visitor.fetch(f"/campaigns/{draft.id}/recipients")
        assert response.status_code == 409
        assert "Nothing of this campaign has been sent." in words(response.get_data(as_text=True))

    def test_asks_as_often_for_a_full_page_as_for_one_line(self, visitor: Visitor, ready: Shop) -> None:
        counts = []
        for number in (1, 40):
            campaign = create_completed(ready)
            add_messages(campaign, delivered=number)
            listed(visitor, campaign)
            with statements() as seen:
                listed(visitor, campaign)
            counts.append(len(seen))
        assert counts[0] == counts[1]
        assert counts[0] <= 13


class TestSearch:
    def test_finds_a_number_however_it_is_written(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=3)
        phone = str(messages[1].phone)
        for typed in (phone, phone.removeprefix("+30"), f"0030 {phone[3:6]} {phone[6:]}"):
            html = search(visitor, campaign, typed)
            assert rows(html) == [messages[1].id]
            assert "This number is a recipient" in words(html)

    def test_says_when_it_is_not_among_them(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=1)
        html = search(visitor, campaign, "+306900000000")
        assert "This number is not among the recipients" in words(html)

    def test_says_what_is_wrong_with_what_was_typed_and_keeps_it(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=1)
        html = search(visitor, campaign, "12", status=422)
        assert 'value="12"' in html
        assert 'aria-invalid="true"' in html
        assert 'id="phone-fault"' in html


class TestHistory:
    def told(self, visitor: Visitor, campaign: Campaign, message: Message) -> str:
        response = visitor.fetch(f"/campaigns/{campaign.id}/recipients/{message.id}")
        assert response.status_code == 200
        return words(response.get_data(as_text=True))

    def test_tells_all_that_happened_in_order(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        (message,) = add_messages(campaign, delivered=1)
        began = clock.now() - timedelta(minutes=10)
        batch = session.query(Batch).filter_by(dispatch_id=campaign.dispatch_id).one()
        batch.due_at = began
        session.execute(update(Dispatch).values(prepared_at=began - timedelta(seconds=1)))
        session.add(
            Attempt(
                shop_id=ready.id,
                dispatch_id=campaign.dispatch_id,
                batch_number=batch.number,
                state="recorded",
                worker="w",
                claimed_at=began + timedelta(seconds=1),
                lease_until=began,
                called_at=began + timedelta(seconds=2),
                ended_at=began + timedelta(seconds=3),
            )
        )
        message.provider_message_id = "01KC"
        message.delivered_at = began + timedelta(seconds=9)
        name_message(message, "01KC")
        session.add(
            Receipt(
                fingerprint=b"1",
                provider_message_id="01KC",
                status="Delivered",
                shop_id=ready.id,
                message_id=message.id,
                occurred_at=began + timedelta(seconds=8),
                received_at=clock.now(),
                state="applied",
            )
        )
        session.execute(
            insert(LinkTarget).values(
                dispatch_id=campaign.dispatch_id, number=1, shop_id=ready.id, address="https://shop.example/sale"
            )
        )
        session.flush()
        assert campaign.dispatch_id is not None
        record_click(ready.id, campaign.dispatch_id, message.id, 1)
        html = visitor.fetch(f"/campaigns/{campaign.id}/recipients/{message.id}").get_data(as_text=True)
        headings = re.findall(r'<p class="event"><strong>([^<]*)<', html)
        assert headings == [
            "Queued", "Its turn", "Picked up for sending", "Handed to Mitto", "Mitto answered", "Receipt: Delivered",
            "Delivered", "Opened a link",
        ]  # fmt: skip
        told = words(html)
        assert "https://shop.example/sale" in told
        assert re.search(r"\d\d:\d\d:\d\d", told), "to the second"

    def test_says_why_somebody_was_skipped(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        (message,) = add_messages(campaign, skipped=1)
        message.reason = "capped"
        assert "Have had enough texts lately" in self.told(visitor, campaign, message)

    def test_leads_to_the_person(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        (message,) = add_messages(campaign, delivered=1)
        person = create_contact(ready, phone=str(message.phone))
        html = visitor.fetch(f"/campaigns/{campaign.id}/recipients/{message.id}").get_data(as_text=True)
        assert f'href="/contacts/{person.id}"' in html

    def test_of_another_campaigns_message_is_not_there(self, visitor: Visitor, ready: Shop) -> None:
        one, other = create_completed(ready), create_completed(ready)
        add_messages(one, delivered=1)
        (message,) = add_messages(other, delivered=1)
        assert visitor.fetch(f"/campaigns/{one.id}/recipients/{message.id}").status_code == 404
        assert visitor.fetch(f"/campaigns/{one.id}/recipients/999999999999999999999").status_code == 404
