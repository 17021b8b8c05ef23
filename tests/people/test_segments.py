"""A merchant asks for some of their contacts, sees whom that is, and keeps the question; and keeps lists."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from blossom.campaigns import service as campaigns
from blossom.messaging.service import prepare_dispatch
from blossom.people.queries import segments as counts
from blossom.people.rules import segments as words
from blossom.platform import clock
from blossom.platform.db import session
from blossom.segments import queries as stored
from blossom.segments import service as segments
from blossom.segments.models import Segment
from blossom.segments.rules import OPERATORS, Audience, Condition, Field, Match, Question
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import create_campaign, create_sending, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact

PARTIAL = {"HX-Request-Type": "partial"}
GREEKS = Question(Match.ALL, (Condition(Field.COUNTRY, "in", ["GR"]),))


def post(visitor: Visitor, address: str, *rules: tuple[str, str, str], **form: str) -> TestResponse:
    data: dict[str, Any] = {"name": "Greeks", "match": "all", **form}
    for number, (field, operator, value) in enumerate(rules):
        data |= {f"field-{number}": field, f"was-{number}": field, f"operator-{number}": operator}
        data[f"value-{number}"] = value
    return visitor.fetch(address, method="POST", data=data, headers=PARTIAL)


def told(response: TestResponse) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", response.get_data(as_text=True)).split())


def count(visitor: Visitor, *rules: tuple[str, str, str], **form: str) -> str:
    found = re.search(r'data-count="people">([^<]*)<', post(visitor, "/segments/count", *rules, **form).text)
    assert found is not None
    return found[1]


def saved(shop_id: int) -> Segment:
    return session.query(Segment).filter_by(shop_id=shop_id).one()


def test_each_question_that_is_known_has_words_and_no_other() -> None:
    assert list(words.FIELD_WORDS) == list(Field) == list(words.HINTS)
    assert set(words.OPERATOR_WORDS) == {(field, each) for field, known in OPERATORS.items() for each in known}


class TestBuilder:
    def test_begins_with_one_rule_and_its_operators(self, visitor: Visitor) -> None:
        html = visitor.document("/segments/new").get_data(as_text=True)
        assert len(re.findall(r'id="rule-\d+"', html)) == 1
        assert re.findall(r'<option value="(\w+)"', html.split('id="operator-0"')[1].split("</select>")[0]) == [
            "in", "not_in",
        ]  # fmt: skip

    def test_takes_rules_more_and_less_and_keeps_what_was_typed(self, visitor: Visitor) -> None:
        rule = ("country", "in", "Greece")
        more = post(visitor, "/segments/new", rule, do="add").text
        assert len(re.findall(r'id="rule-\d+"', more)) == 2
        assert 'value="Greece"' in more
        assert re.search(r'<select id="field-1"[^>]* data-focus', more)
        less = post(visitor, "/segments/new", rule, ("tags", "any", "vip"), do="remove-0").text
        assert re.findall(r'name="value-\d+" value="([^"]*)"', less) == ["vip"]
        assert session.query(Segment).count() == 0

    def test_of_another_field_has_its_own_comparisons_and_no_value(self, visitor: Visitor) -> None:
        answer = visitor.fetch(
            "/segments/new", method="POST", headers=PARTIAL,
            data={"field-0": "orders", "was-0": "country", "operator-0": "in", "value-0": "GR", "do": "field-0"},
        )  # fmt: skip
        html = answer.get_data(as_text=True)
        assert 'name="value-0" value=""' in html
        assert 'value="at_least" selected' in html

    def test_is_counted_anew_when_it_asks_something_else(self, visitor: Visitor) -> None:
        """htmx asks for what is new in a page; what it knows by the same name it leaves in peace."""
        both, one = (("country", "in", "GR"), ("tags", "any", "vip")), ("country", "in", "GR")
        keys = [
            re.findall(r'id="counting-(\w+)"', post(visitor, "/segments/new", *rules, do=do).text)
            for rules, do in ((both, "remove-1"), ((one,), ""), (both, ""), ((("country", "in", "DE"),), ""))
        ]
        assert [len(each) for each in keys] == [1, 1, 1, 1]
        assert keys[0] == keys[1], "the same rules"
        assert len({each[0] for each in keys}) == 3

    @pytest.mark.parametrize("deed", ["remove-²", "field-²", "remove-", "field-x", "add-²", "²"])
    def test_takes_no_button_but_its_own(self, visitor: Visitor, deed: str) -> None:
        answer = post(visitor, "/segments/new", ("country", "in", "GR"), do=deed)
        assert answer.status_code == 200
        assert 'value="GR"' in answer.text

    def test_never_has_more_rules_than_a_segment_may(self, visitor: Visitor) -> None:
        rules = [("orders", "at_least", "1")] * (words.MOST_RULES + 5)
        html = post(visitor, "/segments/new", *rules, do="add").text
        assert len(re.findall(r'id="rule-\d+"', html)) == words.MOST_RULES

    @pytest.mark.parametrize(
        ("rule", "kept"),
        [
            (("country", "in", "Greece, de, Cyprus"), ["GR", "DE", "CY"]),
            (("country", "not_in", "ελλαδα"), None),
            (("tags", "all", " vip ,b2b, vip"), ["vip", "b2b"]),
            (("total_spent", "at_least", "49,90"), 4990),
            (("total_spent", "at_most", "100"), 10000),
            (("orders", "at_least", "3"), 3),
            (("created", "after", "2026-11-01"), "2026-11-01T00:00:00+02:00"),
            (("consent_age", "at_most", "30"), 30),
        ],
    )
    def test_keeps_what_was_asked(self, visitor: Visitor, ours: Shop, rule: tuple[str, str, str], kept: Any) -> None:
        ours.timezone = "Europe/Athens"
        answer = post(visitor, "/segments/new", rule, do="save")
        if kept is None:  # Greek names are read by who reads Greek
            assert answer.status_code == 422
            return
        assert answer.status_code == 200, told(answer)
        segment = saved(ours.id)
        assert segment.rules == {
            "match": "all", "conditions": [{"field": rule[0], "operator": rule[1], "value": kept}],
        }  # fmt: skip
        assert answer.headers["HX-Push-Url"] == f"/segments/{segment.id}"
        shown = visitor.fetch(f"/segments/{segment.id}", headers=PARTIAL).get_data(as_text=True)
        again = re.search(r'name="value-0" value="([^"]*)"', shown)
        assert again is not None
        assert post(visitor, f"/segments/{segment.id}", (rule[0], rule[1], again[1]), do="save").status_code == 200
        assert saved(ours.id).rules["conditions"][0]["value"] == kept  # type: ignore[index]

    def test_reads_countries_by_their_greek_names_too(self, visitor: Visitor, ours: Shop) -> None:
        data = {"name": "x", "field-0": "country", "operator-0": "in", "value-0": "Ελλάδα, κυπροσ", "do": "save"}
        answer = visitor.fetch("/segments/new?locale=el", method="POST", headers=PARTIAL, data=data)
        assert answer.status_code == 200
        assert saved(ours.id).rules["conditions"][0]["value"] == ["GR", "CY"]  # type: ignore[index]

    @pytest.mark.parametrize(
        "rule",
        [
            ("country", "in", ""), ("country", "in", "Atlantis"), ("tags", "any", " , "), ("tags", "any", "x" * 300),
            ("total_spent", "at_least", "much"), ("total_spent", "at_least", "-1"), ("total_spent", "at_least", "NaN"),
            ("total_spent", "at_least", "1e99"), ("total_spent", "at_least", "9e999999"),
            ("total_spent", "at_least", "1e999990"), ("total_spent", "at_least", "49.901"),
            ("orders", "at_least", "1.5"), ("orders", "at_least", "9" * 12),
            ("created", "after", "yesterday"), ("created", "after", "0001-01-01x"), ("consent_age", "at_least", ""),
        ],
    )  # fmt: skip
    def test_says_at_the_rule_what_is_wrong_and_keeps_it(self, visitor: Visitor, rule: tuple[str, str, str]) -> None:
        answer = post(visitor, "/segments/new", ("orders", "at_least", "1"), rule, do="save")
        assert answer.status_code == 422
        html = answer.get_data(as_text=True)
        assert 'id="value-1-fault"' in html
        assert 'id="value-0-fault"' not in html
        assert session.query(Segment).count() == 0

    def test_needs_a_name_that_no_other_has(self, visitor: Visitor, ours: Shop) -> None:
        rule = ("orders", "at_least", "1")
        assert "Give it a name." in told(post(visitor, "/segments/new", rule, do="save", name=" "))
        segments.create_segment(ours.id, "Greeks", GREEKS)
        answer = post(visitor, "/segments/new", rule, do="save")
        assert (answer.status_code, "Another segment has this name." in told(answer)) == (422, True)


class TestCount:
    def test_says_who_it_is_and_who_of_them_may_be_texted(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        create_subscriber(ours, first_name="Anna", tags=["vip"])
        create_contact(ours, first_name="Ben", tags=["vip"])
        create_contact(ours, first_name="Cleo")
        create_subscriber(theirs, first_name="Theirs", tags=["vip"])
        answer = post(visitor, "/segments/count", ("tags", "any", "vip"))
        assert "2 in your contacts 1 of them is opted in to texts." in told(answer)
        assert re.findall(r'href="/contacts/\d+">([^<]*)<', answer.text) == ["Ben", "Anna"]

    def test_waits_for_rules_that_can_be_read(self, visitor: Visitor) -> None:
        assert "Fill in each rule" in told(post(visitor, "/segments/count", ("country", "in", "")))

    def test_of_many_people_is_estimated_from_some(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counts, "COUNTED", 100)
        contact = create_subscriber(ours)
        session.execute(
            text("""
                INSERT INTO contacts (shop_id, phone_sealed, phone_hash, zone, country, created_at, updated_at)
                SELECT shop_id, phone_sealed, substring(sha256(CAST(n AS text)::bytea) FOR 16), zone,
                    CASE WHEN n % 4 = 0 THEN 'DE' ELSE 'GR' END, created_at, updated_at
                FROM contacts, generate_series(1, 20000) AS n WHERE id = :id
            """),
            {"id": contact.id},
        )
        session.execute(text("ANALYZE contacts"))
        rule = ("country", "in", "DE")
        found = re.fullmatch(r"about ([\d,]+)", count(visitor, rule))
        assert found is not None
        assert abs(int(found[1].replace(",", "")) - 5000) <= 1_000

    def test_of_a_stored_segment_is_what_a_campaign_would_get(self, visitor: Visitor, ours: Shop) -> None:
        create_contact(ours, orders_count=3)
        create_contact(ours, orders_count=1)
        post(visitor, "/segments/new", ("orders", "at_least", "2"), do="save")
        assert count(visitor, ("orders", "at_least", "2")) == "1"
        assert stored.count(ours.id, Audience(segments=(saved(ours.id).id,))) == 1


class TestDeleting:
    def test_asks_first_and_then_does(self, visitor: Visitor, ours: Shop) -> None:
        made = segments.create_segment(ours.id, "Greeks", GREEKS)
        assert "Delete “Greeks”?" in told(visitor.fetch(f"/segments/{made.id}/delete", headers=PARTIAL))
        answer = visitor.fetch(f"/segments/{made.id}/delete", method="POST", headers=PARTIAL)
        assert answer.headers["HX-Push-Url"] == "/segments"
        assert session.query(Segment).count() == 0

    @pytest.mark.parametrize("part", ["segments", "exclude"])
    def test_of_one_that_a_draft_needs_is_refused_and_says_which(self, visitor: Visitor, ours: Shop, part: str) -> None:
        made = segments.create_segment(ours.id, "Greeks", GREEKS)
        audience = Audience(segments=(made.id,)) if part == "segments" else Audience(True, exclude=(made.id,))
        campaign = create_campaign(ours, name="Spring sale", audience=audience)
        asked = visitor.fetch(f"/segments/{made.id}/delete", headers=PARTIAL)
        assert "is still needed" in told(asked)
        assert f'href="/campaigns/{campaign.id}">Spring sale</a>' in asked.get_data(as_text=True)
        assert visitor.fetch(f"/segments/{made.id}/delete", method="POST", headers=PARTIAL).status_code == 409
        assert session.query(Segment).count() == 1

    @pytest.mark.parametrize("is_paused", [False, True])
    def test_of_one_whose_people_a_campaign_on_its_way_has_not_read_yet_is_refused(
        self, visitor: Visitor, ours: Shop, is_paused: bool
    ) -> None:
        make_ready(ours)
        made = segments.create_segment(ours.id, "Greeks", GREEKS)
        campaign = create_sending(ours, name="Spring sale", audience=Audience(segments=(made.id,)))
        if is_paused:
            campaigns.pause_campaign(ours.id, campaign.id, actor="test")
        answer = visitor.fetch(f"/segments/{made.id}/delete", method="POST", headers=PARTIAL)
        assert (answer.status_code, "Spring sale" in told(answer)) == (409, True)
        if is_paused:
            campaigns.resume_campaign(ours.id, campaign.id, actor="test")
        assert campaign.dispatch_id is not None
        assert prepare_dispatch(ours.id, campaign.dispatch_id), "and it can still be sent"
        visitor.fetch(f"/segments/{made.id}/delete", method="POST", headers=PARTIAL)
        assert session.query(Segment).count() == 0, "who gets it has been written down"

    def test_of_one_that_only_an_ended_campaign_used_is_done(self, visitor: Visitor, ours: Shop) -> None:
        made = segments.create_segment(ours.id, "Greeks", GREEKS)
        campaign = create_campaign(ours, audience=Audience(segments=(made.id,)))
        campaign.stored_state, campaign.finished_at = "completed", clock.now()
        visitor.fetch(f"/segments/{made.id}/delete", method="POST", headers=PARTIAL)
        assert session.query(Segment).count() == 0


class TestLists:
    def test_are_made_filled_and_emptied(self, visitor: Visitor, ours: Shop) -> None:
        ours.default_country = "GR"
        create_contact(ours, first_name="Anna", phone="+306912345678")
        answer = visitor.fetch("/segments/lists", method="POST", data={"name": "Friends"}, headers=PARTIAL)
        assert "Nobody is on this list." in told(answer)
        made = saved(ours.id)
        address = f"/segments/{made.id}/members"
        html = visitor.fetch(address, method="POST", data={"query": "691 234 5678"}, headers=PARTIAL).text
        assert re.findall(r'<a href="/contacts/\d+">(\w+)</a>', html) == ["Anna"]
        (contact_id,) = re.findall(r'<a href="/contacts/(\d+)">', html)
        gone = visitor.fetch(f"{address}/{contact_id}/remove", method="POST", headers=PARTIAL)
        assert "Nobody is on this list." in told(gone)

    @pytest.mark.parametrize("typed", ["", "Anna", "+306999999999", "nobody@blue.example"])
    def test_say_why_nobody_was_put_on_them(self, visitor: Visitor, ours: Shop, typed: str) -> None:
        made = segments.create_segment(ours.id, "Friends")
        answer = visitor.fetch(f"/segments/{made.id}/members", method="POST", data={"query": typed}, headers=PARTIAL)
        assert answer.status_code == 422
        assert 'id="query-fault"' in answer.get_data(as_text=True)

    def test_are_renamed_and_stay_lists(self, visitor: Visitor, ours: Shop) -> None:
        made = segments.create_segment(ours.id, "Friends")
        visitor.fetch(f"/segments/{made.id}", method="POST", data={"name": "Best friends"}, headers=PARTIAL)
        assert (saved(ours.id).name, saved(ours.id).kind) == ("Best friends", "static")
        taken = segments.create_segment(ours.id, "Taken")
        again = visitor.fetch(f"/segments/{made.id}", method="POST", data={"name": taken.name}, headers=PARTIAL)
        assert (again.status_code, 'id="name-fault"' in again.get_data(as_text=True)) == (422, True)

    def test_show_a_page_of_people_at_a_time(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counts, "ON_A_PAGE", 2)
        made = segments.create_segment(ours.id, "Friends")
        people = [create_contact(ours, first_name=f"N{number}") for number in range(5)]
        segments.add_members(ours.id, made.id, [each.id for each in people])
        met, address = [], f"/segments/{made.id}"
        while address:
            html = visitor.fetch(address, headers=PARTIAL).get_data(as_text=True)
            met += re.findall(r'<th scope="row"><a href="/contacts/\d+">(\w+)</a>', html)
            more = re.search(r'rel="next" href="([^"]*)"', html)
            address = more[1] if more else ""
        assert met == ["N4", "N3", "N2", "N1", "N0"]

    def test_of_a_contact_are_changed_on_its_page(self, visitor: Visitor, ours: Shop) -> None:
        made, contact = segments.create_segment(ours.id, "Friends"), create_contact(ours)
        assert "They are on no list." in told(visitor.fetch(f"/contacts/{contact.id}", headers=PARTIAL))
        address = f"/contacts/{contact.id}/lists"
        html = visitor.fetch(address, method="POST", data={"add": made.id}, headers=PARTIAL).text
        assert f'<a href="/segments/{made.id}">Friends</a>' in html
        assert stored.lists_of(ours.id, contact.id) == {made.id}
        visitor.fetch(address, method="POST", data={"remove": made.id}, headers=PARTIAL)
        assert stored.lists_of(ours.id, contact.id) == set()


class TestAll:
    def test_are_listed_with_what_they_ask(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        segments.create_segment(ours.id, "Greeks", GREEKS)
        friends = segments.create_segment(ours.id, "Friends")
        segments.add_members(ours.id, friends.id, [create_contact(ours).id])
        segments.create_segment(theirs.id, "Theirs", GREEKS)
        page = told(visitor.document("/segments"))
        assert "Country: is one of Greece" in page
        assert "A list of 1 person" in page
        assert "Theirs" not in page

    def test_ask_as_often_for_many_as_for_few(self, visitor: Visitor, ours: Shop) -> None:
        def ask() -> int:
            with statements() as seen:
                visitor.fetch("/segments")
            return len(seen)

        segments.create_segment(ours.id, "List 0")
        ask()
        few = ask()
        for number in range(1, 9):
            segments.create_segment(ours.id, f"List {number}")
            segments.create_segment(ours.id, f"Greeks {number}", GREEKS)
        assert ask() == few <= 8

    def test_who_may_only_look_sees_no_buttons_and_is_refused(self, visitor: Visitor, ours: Shop) -> None:
        made = segments.create_segment(ours.id, "Greeks", GREEKS)
        member(ours, ("read_customers",), user_id=7)
        looking = token(sub="7")
        for page in ("/segments", f"/segments/{made.id}"):
            html = visitor.fetch(page, looking, headers=PARTIAL).get_data(as_text=True)
            assert "<button" not in html.replace("Count them exactly", ""), page
        for method, path in (("GET", "/segments/new"), ("POST", "/segments/new"), ("POST", f"/segments/{made.id}"),
                             ("POST", "/segments/lists"), ("POST", f"/segments/{made.id}/delete")):  # fmt: skip
            assert visitor.fetch(path, looking, method=method, headers=PARTIAL).status_code == 403, path

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("POST", ""), ("GET", "/delete"), ("POST", "/delete"), ("POST", "/members"),
         ("POST", "/members/1/remove")],
    )  # fmt: skip
    def test_of_another_shop_are_not_there(self, visitor: Visitor, theirs: Shop, method: str, path: str) -> None:
        made = segments.create_segment(theirs.id, "Theirs", GREEKS)
        answer = visitor.fetch(f"/segments/{made.id}{path}", method=method, headers=PARTIAL)
        assert answer.status_code == 404

    def test_who_agreed_lately_is_found_by_days(self, visitor: Visitor, ours: Shop) -> None:
        with clock.frozen_at(clock.now() - timedelta(days=40)):
            create_subscriber(ours)
        create_subscriber(ours)
        assert count(visitor, ("consent_age", "at_most", "30")) == "1"
