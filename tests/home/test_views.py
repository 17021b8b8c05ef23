"""The home page tells what needs attention, what is on its way, and figures that are true, however much there is."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import text, update

from blossom.campaigns import service
from blossom.contacts import queries as contacts
from blossom.home.queries import summing
from blossom.messaging.models import Batch, Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import (
    add_messages,
    create_campaign,
    create_completed,
    create_sending,
    end_dispatch,
    make_ready,
)
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.people.test_plans import explain

PARTIAL = {"HX-Request-Type": "partial"}


def page(visitor: Visitor, path: str = "/", **options: Any) -> str:
    response = visitor.fetch(path, headers=PARTIAL, **options)
    assert response.status_code == 200
    html: str = response.get_data(as_text=True)
    return html


def words(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", html).split()))


def shown(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-figure="(\w+)">([^<]*)<', html))


def attention(html: str) -> list[str]:
    return re.findall(r'data-alert="(\w+)"', html)


def undone(html: str) -> list[str]:
    """The first steps that are still to do."""
    return re.findall(r'data-step="(\w+)">', html)


class TestFigures:
    def test_are_those_of_30_days(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        make_ready(ours, subscribers=3, credits=1234)
        create_contact(theirs)
        opt_out(create_subscriber(ours))
        add_messages(create_completed(ours), delivered=6, failed=2)
        html = page(visitor)
        found = shown(html)
        assert found == {
            "sent": "8", "delivered": "75.0%", "opt_outs": "1", "credits": "0", "contacts": "4",
            "available": "1,234", "reserved": "0",
        }  # fmt: skip
        today = re.findall(r"<tbody>\s*<tr><th scope=\"row\"><time[^>]*>[^<]*</time></th>(.*?)</tr>", html, re.DOTALL)[
            0
        ]
        assert re.findall(r">(\d+)<", today) == ["8", "6", "2", "1", "0"], "and beside the picture, for those who read"

    def test_what_is_older_is_not_among_them(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_completed(ours)
        add_messages(campaign, delivered=5)
        ago = clock.now() - timedelta(days=40)
        session.execute(update(Batch).values(recorded_at=ago))
        session.execute(update(Dispatch).values(created_at=ago))
        assert shown(page(visitor))["sent"] == "0"

    def test_a_day_is_one_of_the_shops(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        ours.timezone = "Pacific/Kiritimati"  # 14 hours before UTC
        add_messages(create_completed(ours), delivered=5)
        assert shown(page(visitor))["sent"] == "5"

    def test_of_very_many_texts_are_kept_for_a_minute(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_ready(ours)
        monkeypatch.setattr(summing, "KEPT_FROM", 1)
        add_messages(create_completed(ours), delivered=5)
        assert shown(page(visitor))["sent"] == "5"
        add_messages(create_completed(ours), delivered=5)
        assert shown(page(visitor))["sent"] == "5"

    def test_contacts_are_estimated_where_there_are_many(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(contacts, "COUNTED", 10)
        for _ in range(30):
            create_contact(ours)
        assert shown(page(visitor))["contacts"] == "10", "before the database has statistics"
        session.execute(text("ANALYZE contacts"))
        assert "about 30" in words(page(visitor))

    def test_contacts_are_never_counted_all(self, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(contacts, "COUNTED", 10)
        for _ in range(100):
            create_contact(ours)
        session.execute(text("ANALYZE contacts"))
        seen = explain(lambda: contacts.roughly(ours.id), "FROM contacts")
        reads = [node for node in seen.nodes if node.get("Relation Name") == "contacts"]
        assert max(node["Actual Rows"] for node in reads) <= 11


class TestAttention:
    def test_is_not_asked_for_where_all_is_well(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        add_messages(create_completed(ours), delivered=5)
        html = page(visitor)
        assert attention(html) == []
        assert "Needs your attention" not in html

    def test_of_a_campaign_that_could_not_be_sent(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_sending(ours, name="Sale <b>")
        end_dispatch(campaign, DispatchState.FAILED, "unauthorized")
        service.settle(ours.id, campaign.dispatch_id or 0)
        html = page(visitor)
        assert attention(html) == ["failed"]
        assert "“Sale &lt;b&gt;” could not be sent." in html
        assert "text of unauthorized" in html
        campaign.finished_at = clock.now() - timedelta(days=15)
        assert attention(page(visitor)) == []

    def test_of_failed_and_of_unconfirmed_texts(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        add_messages(create_completed(ours), delivered=5, failed=5, unconfirmed=2)
        html = page(visitor)
        assert attention(html) == ["unconfirmed", "failures"]
        assert "5 of 12 texts of “Sale” failed." in words(html)

    def test_of_a_sender_that_mitto_refuses_until_it_is_another(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        for message in add_messages(create_completed(ours), delivered=99, failed=1):
            if message.state == "failed":
                message.error = "sender_refused"
        assert attention(page(visitor)) == ["sender"]
        ours.sender = "Another"
        assert attention(page(visitor)) == []

    def test_of_a_campaign_that_ran_out_of_credit(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_sending(ours)
        service.pause_campaign(ours.id, campaign.id, actor="test")
        assert attention(page(visitor)) == [], "who paused it knows"
        campaign.failure_code, campaign.failure_text = "insufficient_credit", "5 credits are missing."
        html = page(visitor)
        assert attention(html) == ["out_of_credit"]
        assert "5 credits are missing." in html
        in_greek = words(page(visitor, "/?locale=el"))
        assert "Λείπουν μονάδες." in in_greek
        assert "missing" not in in_greek


class TestWhatIsOnItsWay:
    def test_is_shown_first_to_last_and_asks_again_while_something_is_sent(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        planned = create_campaign(ours, name="Planned")
        service.schedule_campaign(ours.id, planned.id, clock.now() + timedelta(days=1), actor="test")
        create_campaign(ours, name="Draft")
        going = create_sending(ours, name="Going")
        add_messages(going, delivered=3)
        session.execute(update(Dispatch).values(state="sending", total=10))
        part = page(visitor, "/going")
        assert part.strip() in page(visitor)
        assert re.findall(r'<a href="/campaigns/\d+">(\w+)</a>', part) == ["Going", "Planned"]
        assert "3 / 10" in words(part)
        assert 'hx-trigger="every 3s"' in part
        end_dispatch(going, DispatchState.COMPLETED)
        service.settle(ours.id, going.dispatch_id or 0)
        part = page(visitor, "/going")
        assert 'hx-trigger="every 20s"' in part, "what is planned begins by itself"
        service.cancel_campaign(ours.id, planned.id, actor="test")
        assert "hx-trigger" not in page(visitor, "/going")

    def test_holds_what_is_sent_however_much_is_planned_after_it(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        going = create_sending(ours, name="Going")
        planned = [create_campaign(ours, name=f"Later {number}") for number in range(101)]
        now = clock.now()
        for days, campaign in enumerate(reversed(planned), 1):  # the newest is due first
            due = now + timedelta(days=days)
            campaign.stored_state, campaign.schedule_kind = "scheduled", "at"
            campaign.scheduled_at = campaign.due_at = due
        planned[0].scheduled_at = planned[0].due_at = now + timedelta(hours=1)
        session.flush()
        found = re.findall(r'href="/campaigns/(\d+)"', page(visitor, "/going"))
        assert list(dict.fromkeys(found))[:3] == [str(each.id) for each in (going, planned[0], planned[100])]

    def test_takes_no_place_where_nothing_is(self, visitor: Visitor) -> None:
        assert re.search(r'id="going"[^>]* hidden>', page(visitor))


class TestFirstSteps:
    def test_tick_themselves_and_go_when_all_are_done(self, visitor: Visitor, ours: Shop) -> None:
        ours.contact_line = ""
        assert undone(page(visitor)) == ["contacts", "consent", "contact_line", "credits", "campaign"]
        create_contact(ours)
        assert undone(page(visitor)) == ["consent", "contact_line", "credits", "campaign"]
        make_ready(ours)
        assert undone(page(visitor)) == ["contact_line", "campaign"]
        ours.contact_line = "hello@ours.example"
        html = page(visitor)
        assert undone(html) == ["campaign"]
        assert "4 of 5 done" in words(html)
        create_sending(ours)
        assert "First steps" not in page(visitor)


def test_the_latest_campaigns_are_listed_with_what_became_of_them(visitor: Visitor, ours: Shop) -> None:
    make_ready(ours)
    create_campaign(ours, name="Draft <b>")
    add_messages(create_completed(ours, name="Done"), delivered=5, failed=2)
    html = page(visitor).partition("Latest campaigns")[2]
    rows = [words(row) for row in re.findall(r'<tr id="campaign-\d+-row">(.*?)</tr>', html, re.DOTALL)]
    assert rows == ["Done Completed 7 5", "Draft <b> Draft 0 0"]


def test_who_may_only_look_is_offered_nothing_to_write(visitor: Visitor, ours: Shop) -> None:
    member(ours, scopes=("read_customers",), user_id=7)
    html = visitor.fetch("/", token(sub="7")).get_data(as_text=True)
    assert "Write a campaign</a>" not in html.partition('id="home"')[0]


def test_htmx_gets_the_part_alone_and_the_page_has_it(visitor: Visitor) -> None:
    part = page(visitor).strip()
    assert part.startswith('<div class="stack" id="home">')
    assert part[:300] in visitor.document("/").get_data(as_text=True)


@pytest.mark.parametrize(("path", "most"), [("/", 24), ("/going", 8)])
def test_asks_as_often_for_much_as_for_little(visitor: Visitor, ours: Shop, path: str, most: int) -> None:
    def count() -> int:
        with statements() as seen:
            page(visitor, path)
        return len(seen)

    make_ready(ours, subscribers=1)
    add_messages(create_completed(ours), delivered=1, failed=1, unconfirmed=1)
    create_sending(ours)
    count()
    little = count()
    for _ in range(6):
        create_contact(ours)
        add_messages(create_completed(ours), delivered=2, failed=1, unconfirmed=1)
        create_sending(ours)
    assert count() <= little <= most
