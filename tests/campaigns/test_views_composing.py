"""A merchant writes a campaign: nothing typed is lost or overwritten unseen, and what is shown is what will be sent."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
import redis
from werkzeug.test import TestResponse

from blossom.audit.models import AuditEntry
from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging.models import Dispatch
from blossom.messaging.service import prepare_dispatch
from blossom.platform import clock, queue
from blossom.platform.db import session
from blossom.segments import service as segments
from blossom.shops import service as shop_service
from blossom.shops.models import Shop, StaffMember
from blossom.wallet import queries as wallet
from tests.admin.conftest import Visitor, member, ours, shopify, statements, stranger, theirs, token, visitor
from tests.factories.campaigns import create_campaign, make_ready
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.factories.segments import create_shopify_segment
from tests.factories.wallet import end_prices

__all__ = ["ours", "shopify", "stranger", "theirs", "visitor"]

HOUR = datetime.fromisoformat("2027-03-01T10:00")
PARTIAL = {"HX-Request-Type": "partial"}
TEXT = "Hi {{ first_name | default: 'there' }}, 20% off until Sunday. Reply STOP to opt out"

DEAR_BY_NAMES = (
    "{{ first_name | default: 'Hello' }}, everything is cheaper until Sunday in the shop. Reply STOP to opt out"
)
"""One segment for Maria, and two for Μαρία."""


def words(response: TestResponse | str) -> str:
    html = response if isinstance(response, str) else response.get_data(as_text=True)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def typed(**fields: Any) -> dict[str, Any]:
    """The form, as a page that was just loaded sends it."""
    return {"page": str(uuid4()), "turn": "1", "name": "Summer", "body": TEXT, "who": "everybody", **fields}


def send(visitor: Visitor, path: str, form: dict[str, Any], **options: Any) -> TestResponse:
    return visitor.fetch(path, method="POST", data=form, headers=PARTIAL, **options)


def edit(campaign: Campaign) -> str:
    return f"/campaigns/{campaign.id}/edit"


def campaigns() -> list[Campaign]:
    return list(session.query(Campaign).order_by(Campaign.id))


class TestThePage:
    def test_is_empty_at_first_and_chooses_nobody(self, visitor: Visitor) -> None:
        html = visitor.document("/campaigns/new").get_data(as_text=True)
        assert "Saved as you type" in html
        assert 'value="everybody" checked' not in html
        assert campaigns() == [], "who only looks leaves no draft behind"

    def test_shows_a_draft_as_it_was_typed(self, visitor: Visitor, ours: Shop) -> None:
        send(visitor, "/campaigns/new", typed(when="local", day="2027-03-01", time="10:00", priority="low"))
        (campaign,) = campaigns()
        html = visitor.document(edit(campaign)).get_data(as_text=True)
        for shown in (
            'value="Summer"',
            'name="who" value="everybody" checked',
            'name="when" value="local" checked',
            'value="2027-03-01"',
            'value="10:00"',
            '<option value="low" selected>',
            'name="version" value="1"',
        ):
            assert shown in html
        assert "&#39;there&#39;" in html

    def test_asks_as_little_with_much_as_with_little(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        visitor.fetch(edit(campaign))
        with statements() as few:
            visitor.fetch(edit(campaign))
        for number in range(5):
            segments.create_segment(ours.id, f"List {number}")
            create_campaign(ours, name=f"Other {number}")
            create_subscriber(ours)
        with statements() as many:
            visitor.fetch(edit(campaign))
        assert len(many) == len(few) <= 15


class TestSaving:
    def test_a_page_begins_one_draft_however_often_it_hears_no_answer(self, visitor: Visitor) -> None:
        form = typed()
        first = send(visitor, "/campaigns/new", form)
        again = send(visitor, "/campaigns/new", {**form, "turn": "2", "name": "Summer sale"})
        (campaign,) = campaigns()
        assert (campaign.name, campaign.state) == ("Summer sale", CampaignState.DRAFT)
        assert first.headers["HX-Replace-Url"] == again.headers["HX-Replace-Url"] == edit(campaign)

    def test_nothing_comes_back_but_how_it_stands(self, visitor: Visitor) -> None:
        html = send(visitor, "/campaigns/new", typed()).get_data(as_text=True)
        assert html.lstrip().startswith('<div class="kept" id="kept" data-state="saved">')
        assert "<textarea" not in html, "what is typed meanwhile is not taken away"

    def test_a_draft_without_a_name_gets_one(self, visitor: Visitor) -> None:
        send(visitor, "/campaigns/new", typed(name="  ", body=""))
        assert [each.name for each in campaigns()] == ["Untitled campaign"]

    def test_of_the_same_page_goes_on_though_an_answer_was_lost(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        form = typed(version="1")
        send(visitor, edit(campaign), form)  # whose answer, with version 2, never came
        answer = send(visitor, edit(campaign), {**form, "turn": "2", "body": "Newer. Reply STOP to opt out"})
        assert (answer.status_code, campaign.body) == (200, "Newer. Reply STOP to opt out")

    def test_that_was_overtaken_by_a_newer_one_changes_nothing(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        form = typed(version="1")
        send(visitor, edit(campaign), {**form, "turn": "2", "body": "Newer"})
        late = send(visitor, edit(campaign), {**form, "turn": "1", "body": "Older"})
        assert (late.status_code, campaign.body) == (200, "Newer")

    @pytest.mark.parametrize("by", ["another tab", "the API"])
    def test_never_overwrites_unseen_what_somebody_else_changed(self, visitor: Visitor, ours: Shop, by: str) -> None:
        campaign = create_campaign(ours)
        if by == "another tab":
            send(visitor, edit(campaign), typed(version="1", body="Theirs"))
        else:
            service.update_campaign(ours.id, campaign.id, {"body": "Theirs"}, actor="api_key:1")
        mine = typed(version="1", body="Mine")
        refused = send(visitor, edit(campaign), mine)
        assert (refused.status_code, campaign.body) == (409, "Theirs")
        shown = words(refused)
        assert "Somebody changed this campaign meanwhile" in shown
        assert "Theirs" in shown, "so that one can compare"
        over = re.findall(r'name="over" value="(\d+)"', refused.get_data(as_text=True))
        assert send(visitor, edit(campaign), {**mine, "turn": "2", "over": over[0]}).status_code == 200
        assert campaign.body == "Mine"

    def test_over_a_version_that_has_changed_again_is_refused_again(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        for body in ("Theirs", "Theirs, again"):
            service.update_campaign(ours.id, campaign.id, {"body": body}, actor="api_key:1")
        answer = send(visitor, edit(campaign), typed(version="1", over="2", body="Mine"))
        assert (answer.status_code, campaign.body) == (409, "Theirs, again")

    def test_the_same_is_no_conflict_and_no_change(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours, name="Summer", body=TEXT)
        service.update_campaign(ours.id, campaign.id, {"name": "Summer"}, actor="api_key:1")
        answer = send(visitor, edit(campaign), typed(version="1"))
        assert (answer.status_code, campaign.version) == (200, 2)

    def test_is_noted_once_a_page_not_with_every_pause_in_typing(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        form = typed(version="1")
        for turn in range(1, 6):
            send(visitor, edit(campaign), {**form, "turn": str(turn), "body": f"{turn}"})
        noted = session.query(AuditEntry).filter_by(subject_id=campaign.id, action="campaigns.changed").all()
        assert [entry.actor for entry in noted] == [f"staff:{member_id()}"]

    def test_keeps_half_of_a_variable_and_of_a_date(self, visitor: Visitor) -> None:
        answer = send(visitor, "/campaigns/new", typed(body="Hi {{ fir", when="at", day="2027-0", who="segments"))
        (campaign,) = campaigns()
        assert (answer.status_code, campaign.body, campaign.audience) == (200, "Hi {{ fir", None)
        assert campaign.plan == {"when": "at", "day": "2027-0", "time": ""}

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [("name", "x" * 201, "200"), ("name", "\u200b", "one line"), ("body", "x" * 4001, "4,000")],
    )
    def test_says_what_can_t_be_kept(self, visitor: Visitor, field: str, value: str, said: str) -> None:
        answer = send(visitor, "/campaigns/new", typed(**{field: value}))
        assert (answer.status_code, said in words(answer), campaigns()) == (422, True, [])

    def test_without_knowing_from_which_page_is_refused(self, visitor: Visitor) -> None:
        assert send(visitor, "/campaigns/new", {"name": "x"}).status_code == 422

    def test_of_what_was_deleted_elsewhere_goes_on_as_another_draft(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        path = edit(campaign)
        service.delete_campaign(ours.id, campaign.id, actor="test")
        gone = send(visitor, path, typed(version="1", body="Mine"))
        assert gone.status_code == 404
        assert "deleted meanwhile" in words(gone)
        clicked = typed(version="1", body="Mine", anew="yes")
        begun = send(visitor, path, clicked)
        assert send(visitor, path, {**clicked, "turn": "2"}).status_code == 200, "a double click"
        (campaign,) = campaigns()
        assert (begun.headers["HX-Replace-Url"], campaign.body) == (edit(campaign), "Mine")
        page = re.findall(r'name="page" value="([^"]+)"', begun.get_data(as_text=True))[0]
        assert send(visitor, edit(campaign), typed(page=page, turn="2", body="Mine too")).status_code == 200
        assert [each.body for each in campaigns()] == ["Mine too"]

    def test_of_what_is_being_sent_is_refused_and_leads_to_it(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
        answer = send(visitor, edit(campaign), typed(version="1", body="Too late"))
        assert (answer.status_code, campaign.body != "Too late") == (409, True)
        assert f'href="/campaigns/{campaign.id}"' in answer.get_data(as_text=True)
        there = visitor.fetch(edit(campaign))
        assert (there.status_code, there.headers["Location"]) == (303, f"/campaigns/{campaign.id}")

    def test_a_segment_that_is_no_more_is_left_out_and_told(self, visitor: Visitor, ours: Shop) -> None:
        kept = segments.create_segment(ours.id, "Kept")
        form = typed(who="segments", include=[str(kept.id), "999999"])
        assert send(visitor, "/campaigns/new", form).status_code == 200
        assert campaigns()[0].audience == {"segments": [kept.id]}
        assert "A segment that was chosen is no more" in words(send(visitor, "/campaigns/preview", form))


def member_id() -> int:
    return session.query(StaffMember).filter_by(shopify_user_id=42).one().id


class TestWhatIsPlanned:
    @pytest.fixture
    def planned(self, ours: Shop) -> Campaign:
        make_ready(ours)
        campaign = create_campaign(ours, name="Summer", body=TEXT)
        return service.schedule_campaign(ours.id, campaign.id, HOUR, actor="test")

    def form(self, campaign: Campaign, **fields: Any) -> dict[str, Any]:
        hour = {"when": "at", "day": "2027-03-01", "time": "10:00"}
        return typed(version=str(campaign.version), **{**hour, "do": "save", **fields})

    def test_is_saved_by_a_button_not_by_itself(self, visitor: Visitor, planned: Campaign) -> None:
        html = visitor.document(edit(planned)).get_data(as_text=True)
        assert 'data-keep="by-button"' in html
        assert "until then it goes out as it was" in words(html)

    def test_stays_fit_for_its_hour(self, visitor: Visitor, planned: Campaign) -> None:
        answer = send(visitor, edit(planned), self.form(planned, body="Hi {{ fir"))
        assert (answer.status_code, planned.body) == (422, TEXT)
        assert "The planned campaign stays as it was" in words(answer)

    def test_keeps_an_hour_that_nobody_touched(self, visitor: Visitor, ours: Shop, planned: Campaign) -> None:
        soon = clock.now().replace(second=0, microsecond=0) + timedelta(minutes=2)
        service.schedule_campaign(ours.id, planned.id, soon, actor="test")
        hour = service.plan_of(ours, planned)
        with clock.frozen_at(soon + timedelta(seconds=30)):  # it is due, and about to be taken
            form = self.form(planned, body=f"{TEXT}!", day=hour.day, time=hour.time)
            answer = send(visitor, edit(planned), form)
        assert (answer.status_code, planned.state, planned.due_at) == (200, CampaignState.SCHEDULED, soon)
        assert planned.body == f"{TEXT}!"
        assert "it goes out as planned" in answer.headers["HX-Trigger"]

    def test_goes_out_at_another_hour(self, visitor: Visitor, planned: Campaign) -> None:
        send(visitor, edit(planned), self.form(planned, when="local", time="11:30"))
        assert (planned.state, planned.local_at) == (CampaignState.SCHEDULED, HOUR.replace(hour=11, minute=30))

    def test_is_a_draft_again_when_it_is_meant_for_now(self, visitor: Visitor, planned: Campaign) -> None:
        send(visitor, edit(planned), self.form(planned, when="now"))
        assert (planned.state, planned.due_at, planned.plan) == (CampaignState.DRAFT, None, None)

    def test_refuses_an_hour_that_has_passed(self, visitor: Visitor, planned: Campaign) -> None:
        answer = send(visitor, edit(planned), self.form(planned, day="2020-01-01"))
        assert (answer.status_code, planned.state) == (422, CampaignState.SCHEDULED)
        assert "passed" in words(answer)

    def test_a_test_of_it_sends_what_is_typed_and_saves_nothing(self, visitor: Visitor, planned: Campaign) -> None:
        form = self.form(planned, body="Other words. Reply STOP to opt out", do="test", phones="+306912345678")
        assert "On its way to 1 number" in words(send(visitor, edit(planned), form))
        assert planned.body == TEXT
        assert session.query(Dispatch).one().source == "Other words. Reply STOP to opt out"

    def test_off_its_schedule_keeps_the_hour_in_its_draft(self, ours: Shop, planned: Campaign) -> None:
        service.unschedule_campaign(ours.id, planned.id, actor="test")
        assert planned.plan == {"when": "at", "day": "2027-03-01", "time": "10:00"}


class TestThePreview:
    def live(self, visitor: Visitor, **fields: Any) -> str:
        answer = send(visitor, "/campaigns/preview", typed(**fields))
        assert answer.status_code == 200
        return answer.get_data(as_text=True)

    def count(self, visitor: Visitor, **fields: Any) -> None:
        answer = send(visitor, "/campaigns/count", typed(**fields))
        assert (answer.status_code, answer.headers["HX-Trigger"]) == (200, "counted")

    def bubble(self, html: str) -> str:
        (shown,) = re.findall(r'<p class="bubble" data-preview>(.*?)</p>', html, re.DOTALL)
        return unescape(re.sub(r"<[^>]*>", "", shown))

    def figures(self, html: str) -> dict[str, str]:
        return dict(re.findall(r'data-figure="([\w-]+)"[^>]*>([^<]*)<', html))

    def test_names_no_number_before_a_segment_of_shopify_s_was_read(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        segment = create_shopify_segment(ours)
        fields = {"who": "segments", "include": str(segment.segment_id)}
        self.count(visitor, **fields)
        shown = self.live(visitor, **fields)
        assert "recipients" not in self.figures(shown)
        assert "is known once Shopify" in words(shown)

    def test_counts_nobody_until_it_is_asked_to(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        assert "Counting…" in self.live(visitor)
        self.count(visitor)
        assert self.figures(self.live(visitor))["recipients"] == "2"

    def test_shows_what_the_api_and_the_sending_say(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3)
        create_subscriber(ours, first_name="Νίκος")
        opt_out(create_subscriber(ours))
        create_contact(ours, phone=None)
        self.count(visitor)
        html = self.live(visitor)
        campaign = create_campaign(ours, body=TEXT)
        seen = service.preview(ours, campaign)
        shown = self.figures(html)
        assert shown["recipients"] == str(seen.estimate.recipients)
        assert shown["credits"] == str(seen.estimate.credits)
        assert shown["segments-total"] == str(seen.estimate.segments)
        assert shown["after"] == str(seen.credit.available - seen.estimate.credits)
        assert self.bubble(html) == seen.samples[0].text
        left_out = {reason: int(people) for reason, people in re.findall(r'data-left-out="(\w+)">(\d+)', html)}
        assert left_out == seen.left_out
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
        prepare_dispatch(ours.id, campaign.dispatch_id or 0)
        assert wallet.balance(ours.id).reserved == int(shown["credits"])

    def test_says_what_stands_against_it_in_the_readers_language(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3, credits=1)
        self.count(visitor)
        answer = send(visitor, "/campaigns/preview?locale=el", typed())
        assert "ελεύθερες είναι 1: λείπουν" in words(answer)
        assert "missing" not in words(answer)

    def test_shows_it_for_whom_one_chooses(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        nobody_s, other = create_subscriber(ours, first_name=None), create_contact(ours, first_name="Zoe")
        self.count(visitor)
        assert self.bubble(self.live(visitor)).startswith("Hi Eleni,")
        assert self.bubble(self.live(visitor, person=str(nobody_s.id))).startswith("Hi there,")
        assert self.bubble(self.live(visitor, person="example")).startswith("Hi Maria,")
        assert self.bubble(self.live(visitor, person_phone=other.phone)).startswith("Hi Zoe,")
        assert "Nobody of your contacts has this number" in self.live(visitor, person_phone="+306900000000")
        assert self.bubble(self.live(visitor, person="999999")).startswith("Hi Eleni,")

    def test_shows_nobody_of_another_shop(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        make_ready(ours)
        stranger = create_subscriber(theirs, first_name="Stranger")
        self.count(visitor)
        html = self.live(visitor, person=str(stranger.id)) + self.live(visitor, person_phone=stranger.phone)
        assert "Stranger" not in html

    def test_offers_what_saves_and_says_how_much(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3)
        body = "“Sale” — everything is cheaper until Sunday, in the shop and online. Reply STOP to opt out"
        self.count(visitor, body=body)
        html = self.live(visitor, body=body)
        (cure,) = re.findall(r'data-cure="([^"]*)"', html)
        assert unescape(cure) == body.replace("“", '"').replace("”", '"').replace("—", "-")
        before = int(self.figures(html)["credits"])
        after = int(self.figures(self.live(visitor, body=unescape(cure)))["credits"])
        assert f"Saves {before - after} credits of {before}" in words(html)

    def test_offers_greek_capitals_with_the_opt_out_line_that_makes_it_dear(self, visitor: Visitor, ours: Shop) -> None:
        ours.opt_out_text = "Απάντησε ΣΤΟΠ για διαγραφή"
        html = self.live(visitor, body="20% off everything in the shop until Sunday night, and online too")
        (cure,) = re.findall(r'data-cure="([^"]*)" data-cure-name="greek_capitals"', html)
        assert unescape(cure).endswith("AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH")

    def test_offers_greek_names_in_capitals_for_whom_it_saves(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=1)
        maria = create_subscriber(ours, first_name="Μαρία", last_name="Παππά")
        body = DEAR_BY_NAMES
        self.count(visitor, body=body)
        html = self.live(visitor, body=body)
        ((cure, name),) = re.findall(r'data-cure="([^"]*)" data-cure-name="([^"]*)"', html)
        assert (name, unescape(cure)) == ("greek_values", body.replace("first_name |", "first_name | upper |"))
        before = int(self.figures(html)["credits"])
        html = self.live(visitor, body=unescape(cure), person=str(maria.id))
        after = int(self.figures(html)["credits"])
        assert (before, after) == (15, 10)
        assert "Saves 5 credits of 15" in words(self.live(visitor, body=body))
        assert self.bubble(html).startswith("MAPIA, everything")
        assert "data-cure" not in html

    @pytest.mark.parametrize(
        "people",
        [
            [("Gonçalo", "Silva"), *[("Μαρία", "Jones")] * 3],
            [("Maria", "Παππά"), *[("Μαρία", "Jones")] * 3],
            [("Łukasz", "Nowak"), *[("Μαρία", "Jones")] * 3],
        ],
    )
    def test_offers_them_whoever_is_shown(self, visitor: Visitor, ours: Shop, people: list[tuple[str, str]]) -> None:
        make_ready(ours, subscribers=0)
        for first, last in people:
            create_subscriber(ours, first_name=first, last_name=last)
        body = DEAR_BY_NAMES
        self.count(visitor, body=body)
        html = self.live(visitor, body=body)
        ((cure, name),) = re.findall(r'data-cure="([^"]*)" data-cure-name="([^"]*)"', html)
        assert (name, unescape(cure)) == ("greek_values", body.replace("first_name |", "first_name | upper |"))
        assert "Saves " in words(html)

    def test_offers_them_by_one_person_where_names_were_kept_before_sizes_told_of_capitals(
        self, visitor: Visitor, ours: Shop
    ) -> None:
        make_ready(ours, subscribers=1)
        maria = create_subscriber(ours, first_name="Μαρία", last_name="Παππά")
        maria.first_name_size = -5
        session.flush()
        body = DEAR_BY_NAMES
        self.count(visitor, body=body)
        for person in (str(maria.id), ""):
            html = self.live(visitor, body=body, person=person)
            ((cure, name),) = re.findall(r'data-cure="([^"]*)" data-cure-name="([^"]*)"', html)
            assert name == "greek_values"
            assert unescape(cure) == body.replace("first_name |", "first_name | upper |")
            assert "1 segment less for Μαρία Παππά" in words(html)
        html = self.live(visitor, body=unescape(cure), person=str(maria.id))
        assert self.bubble(html).startswith("MAPIA, everything")
        assert "1 segment " in words(html)
        assert "data-cure" not in html

    def test_offers_no_capitals_for_names_of_another_script(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=0)
        create_subscriber(ours, first_name="Иван")
        body = DEAR_BY_NAMES
        self.count(visitor, body=body)
        assert "data-cure" not in self.live(visitor, body=body)

    def test_says_what_is_wrong_at_its_place(self, visitor: Visitor) -> None:
        html = self.live(visitor, body="Hi,\nso {{ frist_name }}")
        assert 'data-code="unknown_variable"' in html
        assert "<code>so {{ <mark>frist_name }}</mark></code>" in html
        assert 'data-line="2" data-column="7"' in html

    def test_mends_with_one_click_what_was_clearly_meant(self, visitor: Visitor) -> None:
        html = self.live(visitor, body="Hi {{ frist_name }}")
        (mended,) = re.findall(r'data-cure="([^"]*)"', html)
        assert unescape(mended) == "Hi {{ first_name }}"
        (mended,) = re.findall(r'data-cure="([^"]*)"', self.live(visitor, body=mended))
        assert unescape(mended) == 'Hi {{ first_name | default: "there" }}'

    def test_shows_when_people_are_awake_and_when_they_get_it(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=0)
        ours.quiet_hours_on = True
        create_subscriber(ours, zone="Europe/Athens")
        for number in range(2):
            create_subscriber(ours, zone="Europe/Paris", phone=f"+3361234567{number}", phone_country="FR")
        hour = {"when": "local", "day": "2027-03-02", "time": "08:00"}
        self.count(visitor, **hour)
        (hours,) = re.findall(r'<table class="hours">.*?</table>', self.live(visitor, **hour), re.DOTALL)
        paris, athens = re.findall(r'<tr>\s*(<th scope="row">.*?</tr>)', hours, re.DOTALL)
        assert [words(row) for row in (paris, athens)] == [
            "Paris 2 people 10:00–20:00 0 6 12 18 24 2 Mar 2027, 10:00 there waits for their quiet hours to end",
            "Athens 1 person 09:00–20:00 0 6 12 18 24 2 Mar 2027, 09:00 there waits for their quiet hours to end",
        ]
        assert 'x="600" width="600"' in paris
        assert 'class="hours-mark" x="474"' in paris

    @pytest.mark.parametrize(
        ("hour", "fault"),
        [
            ({"day": "2027-03-02", "time": ""}, "Choose a day and a time."),
            ({"day": "2020-03-02", "time": "10:00"}, "This time has passed."),
            ({"day": "2029-03-02", "time": "10:00"}, "a year ahead at most"),
        ],
    )
    def test_says_what_is_wrong_with_the_hour(self, visitor: Visitor, hour: dict[str, str], fault: str) -> None:
        assert fault in self.live(visitor, when="at", **hour)

    def test_goes_on_without_redis(self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        make_ready(ours)
        monkeypatch.setattr(queue, "_connection", redis.Redis.from_url("redis://localhost:1"))
        self.count(visitor)
        assert self.figures(self.live(visitor))["recipients"] == "2"

    def test_says_that_nothing_has_a_price_and_still_opens(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        end_prices()
        self.count(visitor)
        told = "No prices have been set yet, so nothing can be sent. Tell whoever runs Blossom for you."
        campaign = create_campaign(ours, body="Wait… Reply STOP to opt out")
        assert visitor.fetch("/campaigns/new").status_code == 200
        pages = [self.live(visitor), visitor.fetch(edit(campaign))]
        assert [told in words(page) for page in pages] == [True, True]
        assert self.figures(self.live(visitor))["recipients"] == "2"
        answer = send(visitor, edit(campaign), typed(do="test", phones="+306912345678", version=campaign.version))
        assert told in words(answer)
        reviewed = send(visitor, edit(campaign), typed(do="review", version=campaign.version))
        assert told in words(reviewed)
        assert 'href="#cost"' in reviewed.get_data(as_text=True)
        assert session.query(Dispatch).count() == 0

    def test_reads_no_audience_and_asks_little(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3)
        self.count(visitor)
        self.live(visitor)  # the price list is known for a minute
        with statements() as few:
            self.live(visitor)
        for _ in range(20):
            create_subscriber(ours, first_name="Anastasia" * (1 + _ % 5))
        with statements() as many:
            self.live(visitor)
        assert len(many) == len(few) <= 12
        assert not any("count(*)" in statement for statement in many)


class TestReviewing:
    def test_leads_to_the_question_with_the_numbers(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        answer = send(visitor, "/campaigns/new", typed(do="review"))
        (campaign,) = campaigns()
        assert answer.status_code == 200
        assert json.loads(answer.headers["HX-Trigger"]) == {"review": {"address": f"/campaigns/{campaign.id}/confirm"}}
        assert "2" in words(visitor.fetch(f"/campaigns/{campaign.id}/confirm"))

    @pytest.mark.parametrize(
        ("fields", "said", "place"),
        [
            ({"who": ""}, "Nobody was chosen to get it.", "#who"),
            ({"body": "Hi {{ name }}"}, "There is no variable “name” here.", "#body"),
            ({"when": "at", "day": "2020-01-01", "time": "10:00"}, "This time has passed.", "#when"),
            ({"who": "everybody", "exclude": "999999"}, "A segment that was chosen is no more.", "#who"),
        ],
    )
    def test_says_what_stands_against_it_where_and_saves_it_anyway(
        self, visitor: Visitor, ours: Shop, fields: dict[str, str], said: str, place: str
    ) -> None:
        answer = send(visitor, "/campaigns/new", typed(do="review", **fields))
        assert (answer.status_code, "HX-Trigger" in answer.headers) == (200, False)
        assert said in words(answer)
        assert f'href="{place}"' in answer.get_data(as_text=True)
        assert len(campaigns()) == 1

    def test_without_a_script_is_a_page_of_its_own(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        form = typed(do="review")
        full = visitor.fetch("/campaigns/new", method="POST", data=form, headers={"HX-Request-Type": "full"})
        assert (full.status_code, full.headers["Location"]) == (303, f"/campaigns/{campaigns()[0].id}/confirm")

    def test_and_trying_need_the_right_to_send(self, visitor: Visitor, ours: Shop) -> None:
        member(ours, ("read_customers",), user_id=77)
        for path, method in (("/campaigns/new", "GET"), ("/campaigns/new", "POST"), ("/campaigns/preview", "POST")):
            answer = visitor.fetch(path, token(sub="77"), method=method, data=typed() if method == "POST" else None)
            assert answer.status_code == 403, path


class TestTrying:
    def test_offers_the_shops_own_numbers(self, visitor: Visitor, ours: Shop) -> None:
        shop_service.set_trial_numbers(ours.id, ["+306912345678", "+306912345679"])
        assert 'value="+306912345678, +306912345679"' in visitor.document("/campaigns/new").get_data(as_text=True)

    def test_saves_and_sends_to_ones_own_number(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        form = typed(do="test", phones="+306912345678, 691 234 5679")
        assert "On its way to 2 numbers" in words(send(visitor, "/campaigns/new", form))
        assert session.query(Dispatch).one().total == 2
        assert [each.name for each in campaigns()] == ["Summer"]

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"phones": " "}, "Give a number of your own"),
            ({"phones": "12"}, "too few digits"),
            ({"phones": ",".join(["+306912345678"] * 11)}, "10 numbers at most"),
            ({"phones": "+306912345678", "body": "Hi {{ name }}"}, "There is no variable"),
        ],
    )
    def test_says_why_not(self, visitor: Visitor, ours: Shop, fields: dict[str, str], said: str) -> None:
        make_ready(ours)
        answer = send(visitor, "/campaigns/new", typed(do="test", **fields))
        assert said in words(answer)
        assert session.query(Dispatch).count() == 0

    def test_says_which_number_is_wrong_in_the_readers_language(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        form = typed(do="test", phones="+306912345678, 12")
        assert "«12»: Ο αριθμός έχει λιγότερα ψηφία" in words(send(visitor, "/campaigns/new?locale=el", form))
