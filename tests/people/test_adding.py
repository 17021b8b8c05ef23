"""A merchant adds somebody by hand, with their word for the consent; and sees what texts a person got."""

from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from blossom.audit.models import AuditEntry
from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.people.queries import listing, texts
from blossom.platform import crypto
from blossom.platform.db import session
from blossom.segments import service as segments
from blossom.segments.rules import Condition, Field, Match, Question
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import add_messages, create_completed, make_ready
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact

PARTIAL = {"HX-Request-Type": "partial"}
PHONE = "+306912345678"


@pytest.fixture(autouse=True)
def greek(ours: Shop) -> None:
    ours.default_country = "GR"


def add(visitor: Visitor, **typed: str) -> TestResponse:
    return visitor.fetch("/contacts/new", method="POST", data={"phone": "691 234 5678", **typed}, headers=PARTIAL)


def told(response: TestResponse) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", response.get_data(as_text=True)).split())


class TestAdding:
    def test_makes_a_contact_and_leads_there(self, visitor: Visitor, ours: Shop) -> None:
        answer = add(visitor, first_name=" Ελένη ", last_name="Παπά", email="e@blue.example", tags="vip, b2b,vip")
        contact = contacts.contact_by_phone(ours.id, PHONE)
        assert contact is not None
        assert (contact.first_name, contact.last_name, contact.email, contact.tags) == (
            "Ελένη", "Παπά", "e@blue.example", ["vip", "b2b"],
        )  # fmt: skip
        assert f'"/contacts/{contact.id}"' in answer.headers["HX-Location"]
        assert consents.state_of(ours.id, contact.phone_hash or b"") is State.NEVER_SUBSCRIBED

    def test_takes_all_tags_that_anybody_may_have(self, visitor: Visitor, ours: Shop) -> None:
        tags = [f"of {number} letters ".ljust(200, "x") for number in range(250)]
        add(visitor, tags=",".join(tags))
        contact = contacts.contact_by_phone(ours.id, PHONE)
        assert contact is not None
        assert contact.tags == tags

    def test_with_consent_keeps_how_they_agreed_and_who_says_so(self, visitor: Visitor, ours: Shop) -> None:
        add(visitor, consent="yes", how="on_paper", attested="on")
        contact = contacts.contact_by_phone(ours.id, PHONE)
        assert contact is not None
        assert contact.phone_hash is not None
        (event,) = consents.events(ours.id, contact.phone_hash)
        assert (event.to_state, event.source, event.details) == ("opted_in", "merchant", {"collected": "on_paper"})
        assert (event.wording or "").startswith("This person has agreed")
        assert (event.actor or "").startswith("staff:")
        assert {entry.action for entry in session.query(AuditEntry)} >= {"contacts.added"}
        page = told(visitor.fetch(f"/contacts/{contact.id}", headers=PARTIAL))
        assert "How they agreed on paper" in page

    @pytest.mark.parametrize(
        ("typed", "field"),
        [
            ({"phone": ""}, "phone"), ({"phone": "Anna"}, "phone"), ({"phone": "210 1234567"}, "phone"),
            ({"first_name": "x" * 300}, "first_name"), ({"email": "nobody"}, "email"),
            ({"tags": "vip," + "x" * 300}, "tags"), ({"tags": ",".join(map(str, range(251)))}, "tags"),
            ({"consent": "yes", "attested": "on"}, "how"), ({"consent": "yes", "how": "x", "attested": "on"}, "how"),
            ({"consent": "yes", "how": "on_paper"}, "attested"),
        ],
    )  # fmt: skip
    def test_says_what_is_wrong_at_the_field_and_keeps_what_was_typed(
        self, visitor: Visitor, ours: Shop, typed: dict[str, Any], field: str
    ) -> None:
        answer = add(visitor, **{"last_name": "Παπά", **typed})
        html = answer.get_data(as_text=True)
        assert answer.status_code == 422
        assert f'id="{field}-fault"' in html
        assert 'value="Παπά"' in html
        assert contacts.count(ours.id) == 0

    def test_of_a_number_that_is_here_leads_to_its_contact(self, visitor: Visitor, ours: Shop) -> None:
        known = create_contact(ours, phone=PHONE, first_name="Anna")
        answer = add(visitor, first_name="Ben")
        assert answer.status_code == 422
        assert f'<a href="/contacts/{known.id}">' in answer.get_data(as_text=True)
        assert contacts.contact(ours.id, known.id).first_name == "Anna"

    def test_undoes_no_opt_out(self, visitor: Visitor, ours: Shop) -> None:
        gone = create_contact(ours, phone=PHONE)
        opt_out(gone)
        session.delete(gone)
        session.flush()
        answer = add(visitor, consent="yes", how="by_phone", attested="on")
        assert "They opted out before, and stay so." in answer.headers["HX-Trigger"]
        assert consents.state_of(ours.id, crypto.for_shop(ours.id).lookup(PHONE)) is State.OPTED_OUT

    def test_is_not_for_who_may_only_look(self, visitor: Visitor, ours: Shop) -> None:
        member(ours, ("read_customers",), user_id=7)
        looking = token(sub="7")
        assert visitor.fetch("/contacts/new", looking).status_code == 403
        assert visitor.fetch("/contacts/new", looking, method="POST", data={"phone": PHONE}).status_code == 403
        assert "/contacts/new" not in visitor.fetch("/contacts", looking).get_data(as_text=True)


class TestTexts:
    def test_are_shown_with_their_campaign_the_newest_first(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        contact = create_subscriber(ours, phone=PHONE)
        for name, state in (("First", "delivered"), ("Second", "failed")):
            campaign = create_completed(ours, name=name)
            (message,) = add_messages(campaign, **{state: 1})
            assert contact.phone_hash is not None
            message.phone_hash = contact.phone_hash
        page = told(visitor.fetch(f"/contacts/{contact.id}", headers=PARTIAL))
        assert re.search(r"Campaign Second Failed .* Campaign First Delivered", page)

    def test_go_on_a_page_at_a_time(self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(texts, "SHOWN", 2)
        make_ready(ours)
        contact = create_subscriber(ours)
        for number in range(5):
            (message,) = add_messages(create_completed(ours, name=f"C{number}"), delivered=1)
            assert contact.phone_hash is not None
            message.phone_hash = contact.phone_hash
        met, address = [], f"/contacts/{contact.id}/texts"
        while address:
            html = visitor.fetch(address, headers=PARTIAL).get_data(as_text=True)
            met += re.findall(r'<a href="/campaigns/\d+">(\w+)</a>', html)
            older = re.search(r'href="([^"]*before=[\d-]+)"', html)
            address = older[1] if older else ""
        assert met == ["C4", "C3", "C2", "C1", "C0"]

    def test_of_somebody_without_any_say_so(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_contact(ours, phone=None)
        assert "Nobody has texted anything yet" in told(visitor.fetch(f"/contacts/{contact.id}/texts"))

    def test_are_asked_for_as_often_for_many_as_for_few(self, visitor: Visitor, ours: Shop) -> None:
        def ask() -> int:
            with statements() as seen:
                visitor.fetch(address)
            return len(seen)

        make_ready(ours)
        contact = create_subscriber(ours)
        phone_hash, address = contact.phone_hash, f"/contacts/{contact.id}/texts"
        for number in range(4):
            (message,) = add_messages(create_completed(ours), delivered=1)
            assert phone_hash is not None
            message.phone_hash = phone_hash
            session.flush()
            if number == 0:
                ask()
                few = ask()
        assert ask() == few <= 16


class TestFilter:
    def test_shows_the_people_of_a_segment_and_a_state(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        vips = Question(Match.ALL, (Condition(Field.TAGS, "any", ["vip"]),))
        segment = segments.create_segment(ours.id, "VIPs", vips)
        create_subscriber(ours, first_name="Anna", tags=["vip"])
        create_contact(ours, first_name="Ben", tags=["vip"])
        opt_out(create_contact(ours, first_name="Cleo", tags=["vip"]))
        create_contact(ours, first_name="Dora")
        create_contact(theirs, first_name="Theirs", tags=["vip"])

        def shown(state: str = "") -> list[str]:
            html = visitor.fetch(f"/contacts?segment={segment.id}{state}", headers=PARTIAL).get_data(as_text=True)
            return re.findall(r'<th scope="row"><a href="/contacts/\d+">([^<]*)</a>', html)

        assert shown() == ["Cleo", "Ben", "Anna"]
        assert shown("&state=opted_in") == ["Anna"]
        assert shown("&state=never_subscribed") == ["Ben"]
        assert shown("&state=pending") == []

    def test_looks_through_so_many_and_goes_on(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "WALKED", 4)
        monkeypatch.setattr(listing, "ON_A_PAGE", 2)
        friends = segments.create_segment(ours.id, "Friends")
        people = [create_contact(ours, first_name=f"N{number}") for number in range(11)]
        segments.add_members(ours.id, friends.id, [people[number].id for number in (0, 1, 8, 9, 10)])
        met, address = [], f"/contacts?segment={friends.id}"
        while address:
            html = visitor.fetch(address, headers=PARTIAL).get_data(as_text=True)
            met += re.findall(r'<th scope="row"><a href="/contacts/\d+">([^<]*)</a>', html)
            more = re.search(r'rel="next" href="([^"]*)"', html)
            address = more[1].replace("&amp;", "&") if more else ""
        assert met == ["N10", "N9", "N8", "N1", "N0"]

    @pytest.mark.parametrize("segment", ["x", "9" * 30, "-1", "7"])
    def test_of_no_segment_of_ours_is_not_there(self, visitor: Visitor, theirs: Shop, segment: str) -> None:
        segments.create_segment(theirs.id, "Theirs")
        assert visitor.fetch(f"/contacts?segment={segment}").status_code == 404
