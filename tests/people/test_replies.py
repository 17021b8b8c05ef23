"""A merchant reads what people texted: in a list of all, and beside what the shop texted them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from blossom.messaging.rules.states import DispatchKind
from blossom.people.queries import texts as queries
from blossom.people.rules.replies import Heads
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.replies import queries as replies
from blossom.replies import service
from blossom.replies.models import InboundText
from blossom.replies.rules import Kept
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import add_messages, create_completed, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact
from tests.factories.messaging import create_batch, create_dispatch, create_message
from tests.factories.replies import create_reply
from tests.people.test_plans import explain
from tests.personas import Personas

PARTIAL = {"HX-Request-Type": "partial"}
PHONE, STRANGER = "+306912345678", "+306987654321"


def told(response: TestResponse) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", response.get_data(as_text=True)).split())


def bubbles(response: TestResponse) -> list[str]:
    assert response.status_code == 200
    return re.findall(r'<p class="saying" data-verbatim>([^<]*)</p>', response.get_data(as_text=True))


def _words(said: queries.Text | InboundText) -> str:
    if isinstance(said, queries.Text):
        assert said.campaign is not None
        return said.campaign[1]
    return str(said.text)


class TestList:
    def test_shows_the_newest_first_with_who_wrote_it(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        anna = create_contact(ours, first_name="Anna", last_name=None, phone=PHONE)
        create_reply(ours, "Are you <open>?", anna)
        create_reply(ours, "Who is this?", phone=STRANGER)
        create_reply(theirs, "Not ours")
        page = visitor.document("/replies")
        assert bubbles(page) == ["Who is this?", "Are you &lt;open&gt;?"]
        assert re.search(r"\+30 698 765 4321 New not among your contacts .* Anna New \+30 691 234 5678", told(page))
        assert f'<a href="/contacts/{anna.id}">Anna</a>' in page.get_data(as_text=True)

    def test_knows_who_became_a_contact_since(self, visitor: Visitor, ours: Shop) -> None:
        create_reply(ours, "Sign me up", phone=PHONE)
        create_contact(ours, first_name="Anna", phone=PHONE)
        assert "Anna" in told(visitor.fetch("/replies"))

    def test_leaves_out_what_blossom_deals_with_itself_unless_asked(self, visitor: Visitor, ours: Shop) -> None:
        create_reply(ours, "STOP", keyword="stop")
        create_reply(ours, "Read before", read_at=clock.now())
        create_reply(ours, "New")
        assert bubbles(visitor.fetch("/replies")) == ["New", "Read before"]
        assert bubbles(visitor.fetch("/replies?show=unread")) == ["New"]
        everything = visitor.fetch("/replies?show=all")
        assert bubbles(everything) == ["New", "Read before", "STOP"]
        assert "Ended all texts to them" in told(everything)

    @pytest.mark.parametrize("kept", list(Kept))
    def test_goes_on_a_page_at_a_time(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch, kept: Kept
    ) -> None:
        monkeypatch.setattr(queries, "ON_A_PAGE", 2)
        for number in range(5):
            create_reply(ours, f"T{number}")
        met, address = [], f"/replies?show={kept}"
        while address:
            response = visitor.fetch(address)
            met += bubbles(response)
            more = re.search(r'rel="next" href="([^"]*)"', response.get_data(as_text=True))
            address = more[1].replace("&amp;", "&") if more else ""
        assert met == ["T4", "T3", "T2", "T1", "T0"]

    def test_of_a_shop_that_nobody_texted_says_what_will_stand_there(self, visitor: Visitor, ours: Shop) -> None:
        assert "Nobody has texted you yet" in told(visitor.fetch("/replies"))
        assert "No text waits for you." in told(visitor.fetch("/replies?show=unread"))

    @pytest.mark.parametrize("query", ["?show=mine", "?before=x", "?before=-1", "?before=" + "9" * 30])
    def test_of_no_sense_is_not_there(self, visitor: Visitor, ours: Shop, query: str) -> None:
        assert visitor.fetch(f"/replies{query}").status_code == 404

    def test_asks_as_often_for_many_as_for_few(self, visitor: Visitor, ours: Shop) -> None:
        counts = []
        for _ in range(2):
            for _ in range(4):
                create_reply(ours, "Hello", create_contact(ours))
            visitor.fetch("/replies")
            with statements() as seen:
                visitor.fetch("/replies")
            counts.append(len(seen))
        assert counts[0] == counts[1] <= 6


class TestSearch:
    def test_finds_what_a_number_texted_whoever_it_is(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        create_reply(ours, "First", phone=PHONE)
        create_reply(ours, "STOP", phone=PHONE, keyword="stop")
        create_reply(ours, "Another's", phone=STRANGER)
        create_reply(theirs, "Theirs", phone=PHONE)
        found = visitor.fetch("/replies", method="POST", data={"query": "691 234 5678"})
        assert bubbles(found) == ["STOP", "First"]
        assert "The newest 2 texts from this number." in told(found)
        assert "number has never texted you" in told(
            visitor.fetch("/replies", method="POST", data={"query": "6900000000"})
        )

    @pytest.mark.parametrize("typed", ["", "anna@blue.example", "12"])
    def test_of_what_is_no_number_says_so(self, visitor: Visitor, ours: Shop, typed: str) -> None:
        answer = visitor.fetch("/replies", method="POST", data={"query": typed})
        assert answer.status_code == 422
        assert 'id="query-fault"' in answer.get_data(as_text=True)


class TestReading:
    def test_one_is_marked_and_taken_back(self, visitor: Visitor, ours: Shop) -> None:
        said = create_reply(ours, "Hello")
        answer = visitor.fetch(f"/replies/{said.id}/read", headers=PARTIAL, method="POST", data={"read": "yes"})
        assert "Mark as unread" in told(answer)
        assert (said.is_unread, replies.unread(ours.id)) == (False, 0)
        visitor.fetch(f"/replies/{said.id}/read", headers=PARTIAL, method="POST", data={"read": "no"})
        assert (said.is_unread, replies.unread(ours.id)) == (True, 1)

    def test_all_that_were_shown_are_marked_and_none_that_came_since(
        self, visitor: Visitor, ours: Shop, theirs: Shop
    ) -> None:
        shown = [create_reply(ours, "Hello") for _ in range(3)]
        later, others = create_reply(ours, "Later"), create_reply(theirs, "Theirs")
        answer = visitor.fetch("/replies/read", headers=PARTIAL, method="POST", data={"up_to": str(shown[-1].id)})
        assert "3 texts marked as read" in answer.headers["HX-Trigger"]
        session.expire_all()
        assert [each.is_unread for each in (*shown, later, others)] == [False, False, False, True, True]

    def test_thousands_are_marked_by_one_click(self, visitor: Visitor, ours: Shop) -> None:
        last = create_reply(ours, "Hello")
        copied = "shop_id, phone_sealed, phone_hash, text_sealed, received_at, handled_at"
        copies = f"INSERT INTO inbound_texts ({copied}, identity_hash) SELECT {copied}, sha256(CAST(n AS text)::bytea)"
        session.execute(text(f"{copies} FROM inbound_texts, generate_series(1, 2500) AS n"))
        session.flush()
        newest = last.id + 2500
        answer = visitor.fetch("/replies/read", headers=PARTIAL, method="POST", data={"up_to": str(newest)})
        assert '2,501 texts marked as read"' in answer.headers["HX-Trigger"]
        assert replies.unread(ours.id) == 0

    def test_so_many_are_marked_at_once_and_it_says_that_there_may_be_more(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "MOST", 2)
        last = [create_reply(ours, "Hello") for _ in range(3)][-1]
        answer = visitor.fetch("/replies/read", headers=PARTIAL, method="POST", data={"up_to": str(last.id)})
        assert "2 texts marked as read. There may be more: mark all once again." in answer.headers["HX-Trigger"]
        assert replies.unread(ours.id) == 1

    def test_a_conversation_is_marked_as_a_whole(self, visitor: Visitor, ours: Shop) -> None:
        anna = create_contact(ours)
        create_reply(ours, "One", anna)
        create_reply(ours, "Two", anna)
        create_reply(ours, "Another's")
        assert "Mark as read" in told(visitor.fetch(f"/contacts/{anna.id}"))
        answer = visitor.fetch(f"/contacts/{anna.id}/read", headers=PARTIAL, method="POST")
        assert bubbles(answer) == ["Two", "One"]
        assert "New" not in told(answer)
        assert replies.unread(ours.id) == 1

    def test_is_not_for_who_may_only_look(self, visitor: Visitor, ours: Shop) -> None:
        anna = create_contact(ours)
        said = create_reply(ours, "Hello", anna)
        member(ours, ("read_customers",), user_id=7)
        looking = token(sub="7")
        for address in (f"/replies/{said.id}/read", "/replies/read", f"/contacts/{anna.id}/read"):
            assert visitor.fetch(address, looking, method="POST", data={"up_to": str(said.id)}).status_code == 403
        for page in ("/replies", f"/contacts/{anna.id}"):
            answer = visitor.fetch(page, looking)
            assert "Hello" in told(answer)
            assert "ark as read" not in told(answer)
        assert said.is_unread


class TestConversation:
    def test_stands_with_ours_and_theirs_in_their_order(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        anna = create_subscriber(ours, phone=PHONE)
        with clock.frozen_at(clock.now() - timedelta(hours=2)):
            (message,) = add_messages(create_completed(ours, name="Sale"), delivered=1)
        assert anna.phone_hash is not None
        message.phone_hash, message.sent_at = anna.phone_hash, clock.now() - timedelta(hours=2)
        create_reply(ours, "HELP", anna, keyword="help", received_at=clock.now() - timedelta(hours=1))
        answer = create_dispatch(ours.id, kind=DispatchKind.REPLY, source="Ours: write to us@ours.example")
        create_message(create_batch(answer), phone_hash=anna.phone_hash, state="delivered", sent_at=clock.now())
        create_reply(ours, "Thank you", anna, received_at=clock.now() + timedelta(minutes=1))
        said = told(visitor.fetch(f"/contacts/{anna.id}", headers=PARTIAL))
        assert re.search(
            r"Eleni .* New Thank you You .* Ours: write to us@ours.example Delivered"
            r" Eleni .* HELP Asked for help You .* Campaign Sale Delivered",
            said,
        )

    def test_goes_on_in_both_where_the_page_before_ended(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        anna = create_subscriber(ours)
        assert anna.phone_hash is not None
        begin = clock.now() - timedelta(days=1)
        for hour in (0, 1, 2, 5, 8, 9):
            (message,) = add_messages(create_completed(ours, name=f"H{hour}"), delivered=1)
            message.phone_hash, message.sent_at = anna.phone_hash, begin + timedelta(hours=hour)
        for hour in (3, 4, 6, 7, 10):
            create_reply(ours, f"H{hour}", anna, received_at=begin + timedelta(hours=hour))
        session.flush()
        met: list[str] = []
        before: Heads | None = None
        while True:
            page = queries.conversation(ours.id, anna.phone_hash, before, shown=2)
            met += [_words(each) for each in page.said]
            if page.after is None:
                break
            before = page.after
        assert met == [f"H{hour}" for hour in range(10, -1, -1)]

    @pytest.mark.parametrize("mark", ["", "7", "a-b", "1-2-3", f"{'9' * 19}-1"])
    def test_from_nowhere_is_not_there(self, visitor: Visitor, ours: Shop, mark: str) -> None:
        assert visitor.fetch(f"/contacts/{create_contact(ours).id}/texts?before={mark}").status_code == 404


def test_home_says_that_texts_wait(visitor: Visitor, ours: Shop) -> None:
    assert 'data-alert="replies"' not in visitor.fetch("/").get_data(as_text=True)
    create_reply(ours, "Hello")
    html = visitor.fetch("/").get_data(as_text=True)
    assert 'data-alert="replies"' in html
    assert 'href="/replies?show=unread"' in html


def test_each_list_reads_a_page_and_no_more(personas: Personas) -> None:
    shop = personas.ours
    create_contact(shop, phone=PHONE)
    create_reply(shop, "Hello", phone=PHONE)
    session.execute(
        text("""
            INSERT INTO inbound_texts (shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, keyword,
                                       received_at, handled_at, read_at)
            SELECT shop_id, phone_sealed, CASE WHEN n % 4 = 0 THEN phone_hash ELSE sha256((n % 500)::text::bytea) END,
                text_sealed, sha256(n::text::bytea), CASE WHEN n % 5 > 0 THEN 'stop' END, received_at, handled_at,
                CASE WHEN n % 100 > 0 THEN received_at END
            FROM inbound_texts, generate_series(1, 20000) AS n WHERE shop_id = :shop
        """),
        {"shop": shop.id},
    )
    session.execute(text("ANALYZE inbound_texts"))
    phone_hash = crypto.for_shop(shop.id).lookup(PHONE)
    asked: dict[str, Callable[[], object]] = {
        **{kept.value: partial(queries.replies_kept, shop.id, kept) for kept in Kept},
        "by phone": lambda: queries.replies_of(shop.id, PHONE),
        "a conversation": lambda: queries.conversation(shop.id, phone_hash),
        "unread": lambda: replies.unread(shop.id),
    }
    for name, ask in asked.items():
        seen = explain(ask, of="FROM inbound_texts")
        assert seen.read_whole == [], name
        assert seen.most_rows <= max(queries.ON_A_PAGE + 1, replies.COUNTED), name
