"""Pause, resume, cancel, send again, ask Mitto: each says before what it will do, with the numbers as they are."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from blossom.campaigns import service
from blossom.campaigns.models import Campaign, StatusRefresh
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules.states import DispatchState
from blossom.messaging.service import Refreshed
from blossom.platform import clock, config, queue
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import add_messages, create_campaign, create_completed, create_sending, make_ready
from tests.factories.consent import create_subscriber, opt_out

PARTIAL = {"HX-Request-Type": "partial"}


@pytest.fixture
def ready(ours: Shop) -> Shop:
    make_ready(ours)
    return ours


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def going_out(shop: Shop, pending: int, claimed: int = 0, **counts: int) -> Campaign:
    """A campaign of which so many messages have come to each state, others wait, others are with a worker."""
    campaign = create_sending(shop, name="Summer")
    add_messages(campaign, **counts)
    assert campaign.dispatch_id is not None
    now, done = clock.now(), session.query(Batch).filter_by(dispatch_id=campaign.dispatch_id).one()
    for number, (state, size) in enumerate((("pending", pending), ("claimed", claimed)), start=1):
        if size:
            session.add(
                Batch(
                    dispatch_id=campaign.dispatch_id,
                    number=number,
                    shop_id=shop.id,
                    state=state,
                    due_at=now,
                    valid_until=now + timedelta(hours=1),
                    size=size,
                    first_id=done.last_id,
                    last_id=done.last_id,
                )
            )
    total = sum(counts.values()) + pending + claimed
    values = {"state": DispatchState.SENDING, "total": total, "prepared_at": now}
    session.execute(update(Dispatch).where(Dispatch.id == campaign.dispatch_id).values(**values))
    session.flush()
    return campaign


def ask(visitor: Visitor, campaign: Campaign, deed: str) -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/{deed}", headers=PARTIAL)
    assert response.status_code == 200
    return response.get_data(as_text=True)


def do(visitor: Visitor, campaign: Campaign, deed: str, **form: object) -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/{deed}", method="POST", headers=PARTIAL, data=form)
    assert response.status_code == 200
    assert response.headers["HX-Replace-Url"] == f"/campaigns/{campaign.id}"
    assert "toast" in response.headers["HX-Trigger"]
    return response.get_data(as_text=True)


class TestThePageOffers:
    def test_what_can_be_done_now(self, visitor: Visitor, ready: Shop) -> None:
        def offered(campaign: Campaign) -> set[str]:
            html = visitor.fetch(f"/campaigns/{campaign.id}").get_data(as_text=True)
            return set(re.findall(r'id="campaign-\d+-ask-([\w-]+)"', html))

        sending = going_out(ready, pending=3, sent=1)
        assert offered(sending) == {"pause", "cancel"}
        service.pause_campaign(ready.id, sending.id, actor="test")
        assert offered(sending) == {"resume", "cancel"}
        done = create_completed(ready)
        add_messages(done, delivered=1, unconfirmed=1)
        assert offered(done) == {"retry-unconfirmed"}
        assert offered(create_campaign(ready)) == set()

    def test_to_send_again_only_where_some_would_be(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        (message,) = add_messages(campaign, failed=1)
        page = f"/campaigns/{campaign.id}"
        message.error = "invalid_number"
        assert "ask-retry-failed" not in visitor.fetch(page).get_data(as_text=True)
        session.execute(update(Message).where(Message.id == message.id).values(error="expired"))
        assert "ask-retry-failed" in visitor.fetch(page).get_data(as_text=True)

    def test_nothing_to_who_may_only_look(self, visitor: Visitor, ready: Shop) -> None:
        member(ready, ("read_customers",), user_id=77)
        campaign = going_out(ready, pending=3, sent=1)
        html = visitor.fetch(f"/campaigns/{campaign.id}", token(sub="77")).get_data(as_text=True)
        assert "Pause" not in html
        assert "Cancel" not in words(html).replace("Cancelled", "")
        assert "Refresh statuses" not in html


class TestPause:
    def test_says_how_many_have_left_and_how_many_wait(self, visitor: Visitor, ready: Shop) -> None:
        campaign = going_out(ready, pending=40, claimed=5, delivered=6, sent=2, failed=1, unconfirmed=1, skipped=3)
        told = words(ask(visitor, campaign, "pause"))
        assert "10 texts were handed to Mitto, and can't be called back." in told.replace("&#39;", "'")
        assert "40 wait, until you resume." in told
        assert "5 are being handed to Mitto at this moment" in told

    def test_pauses(self, visitor: Visitor, ready: Shop) -> None:
        campaign = going_out(ready, pending=2, sent=1)
        html = do(visitor, campaign, "pause")
        assert "badge-paused" in html
        assert "ask-resume" in html
        assert "hx-sse:connect" in html, "the stream goes on"
        dispatch = session.get_one(Dispatch, campaign.dispatch_id, populate_existing=True)
        assert dispatch.state == "paused"

    def test_what_has_ended_can_not_be(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        for method in ("GET", "POST"):
            response = visitor.fetch(f"/campaigns/{campaign.id}/pause", method=method, headers=PARTIAL)
            assert response.status_code == 409
            assert response.headers["HX-Retarget"] == "#trouble"

    def test_without_javascript_is_a_page_with_a_form(self, visitor: Visitor, ready: Shop) -> None:
        campaign = going_out(ready, pending=2, sent=1)
        html = visitor.document(f"/campaigns/{campaign.id}/pause").get_data(as_text=True)
        assert "<html" in html
        assert f'method="post" action="/campaigns/{campaign.id}/pause"' in html


class TestResume:
    def test_says_what_goes_out_and_does_it(self, visitor: Visitor, ready: Shop) -> None:
        campaign = going_out(ready, pending=4, sent=2)
        service.pause_campaign(ready.id, campaign.id, actor="test")
        told = words(ask(visitor, campaign, "resume"))
        assert "4 texts go out from now on" in told
        assert "2 were handed to Mitto already, and are not sent again." in told
        assert "badge-sending" in do(visitor, campaign, "resume")


class TestCancel:
    def test_says_what_never_leaves_and_what_has(self, visitor: Visitor, ready: Shop) -> None:
        campaign = going_out(ready, pending=7, delivered=2)
        told = words(ask(visitor, campaign, "cancel")).replace("&#39;", "'")
        assert "7 texts never leave." in told
        assert "2 texts were handed to Mitto, and can't be called back." in told
        told = words(do(visitor, campaign, "cancel"))
        assert "Cancelled" in told

    @pytest.mark.parametrize(
        "counts",
        [
            {"pending": 7, "delivered": 2, "failed": 3, "unconfirmed": 1, "claimed": 4},
            {"pending": 7},
            {"pending": 1, "failed": 1},
        ],
    )
    def test_tells_afterwards_what_it_told_before(self, visitor: Visitor, ready: Shop, counts: dict[str, int]) -> None:
        campaign = going_out(ready, **counts)
        asked, told = (
            re.findall(r"<(?:li|p)>(\d+ (?:texts?|is|are) [^<]*)<", html)
            for html in (ask(visitor, campaign, "cancel"), do(visitor, campaign, "cancel"))
        )
        assert told == asked != []

    def test_of_a_planned_one_says_that_nobody_has_got_it(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_campaign(ready)
        service.schedule_campaign(ready.id, campaign.id, clock.now() + timedelta(days=1), local=False, actor="test")
        assert "Nobody has got it yet, and nobody will." in words(ask(visitor, campaign, "cancel"))
        told = words(do(visitor, campaign, "cancel"))
        assert "Nobody has got it yet, and nobody will." in told
        assert "0 texts" not in told
        assert session.get_one(Campaign, campaign.id, populate_existing=True).state == "cancelled"

    def test_so_it_does_of_one_whose_audience_is_not_fixed_yet(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_campaign(ready)
        service.enqueue_campaign(ready.id, campaign.id, actor="test")
        assert campaign.dispatch_id is not None
        row = visitor.fetch(f"/campaigns/{campaign.id}/row/cancel").get_data(as_text=True)
        for html in (words(row), words(ask(visitor, campaign, "cancel")), words(do(visitor, campaign, "cancel"))):
            assert "Nobody has got it yet, and nobody will." in html
            assert "0 texts" not in html


class TestSendingAgain:
    def failed(self, shop: Shop) -> Campaign:
        """Three failures: one that passes, one for good, and one of somebody who has opted out since."""
        campaign = create_completed(shop)
        messages = add_messages(campaign, failed=3, delivered=2)
        messages[0].error, messages[1].error, messages[2].error = "expired", "invalid_number", "expired"
        gone = create_subscriber(shop, phone=messages[2].phone)
        opt_out(gone)
        session.flush()
        return campaign

    def test_says_how_many_and_which_not(self, visitor: Visitor, ready: Shop) -> None:
        told = words(ask(visitor, self.failed(ready), "retry-failed"))
        assert "1 text that failed for a passing reason is sent again." in told
        assert "2 are not: the reason stays, or the person has opted out." in told
        assert "The 2 people whose phones got it get nothing again." in told

    def test_sends_those_again_and_tells_what_came_of_it(self, visitor: Visitor, ready: Shop) -> None:
        campaign = self.failed(ready)
        told = words(do(visitor, campaign, "retry-failed"))
        assert "1 text is sent again." in told
        assert "1 failed for good." in told
        assert "1 has opted out since." in told
        assert session.get_one(Campaign, campaign.id, populate_existing=True).state == "sending"

    def test_sends_those_that_were_chosen(self, visitor: Visitor, ready: Shop) -> None:
        campaign = self.failed(ready)
        for_good = session.query(Message).filter_by(error="invalid_number").one().id
        page = visitor.fetch(f"/campaigns/{campaign.id}/recipients?state=failed").get_data(as_text=True)
        assert f'name="message" value="{for_good}"' in page
        question = ask(visitor, campaign, f"retry-failed?message={for_good}")
        assert "The 1 text that you chose is sent again" in words(question)
        assert f'type="hidden" name="message" value="{for_good}"' in question
        assert "1 text is sent again." in words(do(visitor, campaign, "retry-failed", message=[for_good, "x"]))
        assert session.get_one(Message, for_good, populate_existing=True).state == "pending"

    def test_of_the_unconfirmed_warns_that_some_may_get_it_twice(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, unconfirmed=2)
        told = words(ask(visitor, campaign, "retry-unconfirmed"))
        assert "would get it twice" in told
        assert "2 texts are unconfirmed." in told
        assert "2 texts are sent again." in words(do(visitor, campaign, "retry-unconfirmed"))

    def test_keeps_what_the_first_try_came_to(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        (message,) = add_messages(campaign, failed=1)
        message.error, message.delivery_status, message.provider_message_id = "expired", "EXPIRED", "first-id"
        do(visitor, campaign, "retry-failed")
        html = visitor.fetch(f"/campaigns/{campaign.id}/recipients/{message.id}").get_data(as_text=True)
        told = words(html)
        assert "The phone was off or out of reach for too long." in told
        assert "Sent again by your staff" in told
        assert "EXPIRED" in told
        assert "EXPIRED · expired" not in told, "the same twice"

    def test_of_a_large_campaign_waits_until_it_is_counted(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("blossom.campaigns.queries.tallies.COUNTED_AT_ONCE", 1)
        campaign = self.failed(ready)
        asked = ask(visitor, campaign, "retry-failed")
        assert "is being counted" in words(asked)
        assert "<button" not in asked
        (job,) = [job for job in queue.rq_queue("default").jobs if job.args[0] == "campaigns.tally"]
        assert job.args[1] == {"shop_id": ready.id, "campaign_id": campaign.id}
        service.count_tally(**job.args[1])
        assert "1 text that failed for a passing reason is sent again." in words(ask(visitor, campaign, "retry-failed"))


class TestAskingMitto:
    def test_is_a_jobs_and_the_page_tells_how_far_it_is(
        self, app: Flask, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, sent=3)
        page = f"/campaigns/{campaign.id}"
        assert "Refresh statuses from Mitto" in visitor.fetch(page).get_data(as_text=True)
        html = do(visitor, campaign, "refresh")
        assert "Mitto is being asked about texts without a final word." in html
        assert "hx-sse:connect" in html
        assert "already" in visitor.fetch(f"{page}/refresh", method="POST").headers["HX-Trigger"]

        found = [Refreshed("a", "Delivered"), Refreshed("b", "Sent"), Refreshed("c", None, "provider_busy")]
        monkeypatch.setattr("blossom.messaging.service.refresh_unanswered", lambda *_: found)
        session.commit()
        assert service.run_refreshes() == 1
        told = words(visitor.fetch(page).get_data(as_text=True))
        assert "It had news of 1 of 2 texts." in told
        assert "Mitto could not be asked about the others just now." in told
        assert service.run_refreshes() == 0

    def test_whose_worker_was_lost_is_asked_again(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, sent=1)
        do(visitor, campaign, "refresh")
        monkeypatch.setattr("blossom.messaging.service.refresh_unanswered", lambda *_: [])
        refresh = session.get_one(StatusRefresh, campaign.id)
        refresh.begun_at = clock.now() - timedelta(minutes=1)
        session.commit()
        assert service.run_refreshes() == 0, "another worker has it in hand"
        session.get_one(StatusRefresh, campaign.id).begun_at = clock.now() - timedelta(minutes=4)
        session.commit()
        assert service.run_refreshes() == 1

    def test_is_not_offered_for_texts_that_mitto_is_not_asked_about_any_more(
        self, visitor: Visitor, ready: Shop
    ) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, sent=3)
        old = clock.now() - timedelta(hours=config.current().unconfirmed_hours, minutes=1)
        session.execute(update(Batch).values(recorded_at=old))
        assert "Refresh statuses" not in visitor.fetch(f"/campaigns/{campaign.id}").get_data(as_text=True)


def test_the_page_asks_the_database_as_often_for_many_as_for_few(visitor: Visitor, ready: Shop) -> None:
    counts = []
    for number in (1, 40):
        campaign = create_completed(ready)
        for message in add_messages(campaign, failed=number, skipped=number, delivered=number):
            message.reason = "opted_out" if message.state == "skipped" else None
        visitor.fetch(f"/campaigns/{campaign.id}")
        with statements() as seen:
            assert visitor.fetch(f"/campaigns/{campaign.id}").status_code == 200
        counts.append(len(seen))
    assert counts[0] == counts[1]
    assert counts[0] <= 14


def test_what_can_not_be_sent_again_is_said_in_words_of_the_page(visitor: Visitor, ready: Shop) -> None:
    campaign = create_completed(ready)
    (message,) = add_messages(campaign, failed=1)
    message.error = "invalid_number"
    response = visitor.fetch(f"/campaigns/{campaign.id}/retry-failed", method="POST", headers=PARTIAL)
    assert response.status_code == 409
    told = words(response.get_data(as_text=True))
    assert "There is nothing to send again." in told
    assert "evenAskedAbout" not in told
    assert session.get_one(Message, message.id, populate_existing=True).state == "failed"
