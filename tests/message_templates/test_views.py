"""A merchant keeps the texts that they send again: sees them listed, writes them beside what their reader gets, copies
and deletes them."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from blossom.audit.models import AuditEntry
from blossom.message_templates import queries
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules.catalogue import Trigger, variables
from blossom.message_templates.rules.wording import TRIGGER_WORDS, VARIABLE_WORDS
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.message_templates.saved import create_template

GOOD = {"name": "Weekend", "body": 'Hi {{ first_name | default: "there" }}. Reply STOP to opt out', "language": "en"}
DEAR = "“Σ’ αγαπώ” says the shop, and this is a text long enough to take more than one of the dear parts. Reply STOP"


def words(response: TestResponse) -> str:
    """The answer's text, tags taken out."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.get_data(as_text=True))).split())


def bubble(response: TestResponse) -> str:
    found = re.search(r'<p class="bubble[^>]*>(.*?)</p>', response.get_data(as_text=True), re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1]))


def preview(visitor: Visitor, **given: str) -> TestResponse:
    return visitor.fetch("/templates/preview", method="POST", data={**GOOD, "trigger": "campaign", **given})


def save(visitor: Visitor, template: MessageTemplate, **given: str) -> TestResponse:
    data = {**GOOD, "seen": template.updated_at.isoformat(), **given}
    return visitor.fetch(f"/templates/{template.id}", method="POST", data=data)


class TestTheList:
    def test_teaches_who_has_none(self, visitor: Visitor, ours: Shop) -> None:
        shown = words(visitor.document("/templates"))
        assert "Keep the texts that you send again" in shown
        assert "Search by name" not in shown

    def test_shows_each_with_what_it_takes_and_whether_it_can_go(self, visitor: Visitor, ours: Shop) -> None:
        create_template(ours.id, name="Long", body="x" * 150)  # one segment, but for the line that is added
        create_template(ours.id, name="Faulty", body="Hi {{ first_name }}. Reply STOP to opt out")
        shown = words(visitor.document("/templates"))
        assert re.search(r"Long .*? SMS segments 2 ", shown)
        assert re.search(r"Faulty Has a fault Hi ", shown)
        assert shown.index("Faulty") < shown.index("Long"), "the newest first"

    def test_is_the_shop_s_own(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        create_template(theirs.id, name="Theirs")
        assert "Theirs" not in words(visitor.document("/templates"))

    def test_finds_by_name_whatever_its_case(self, visitor: Visitor, ours: Shop) -> None:
        for name in ("ΚΑΛΟΚΑΊΡΙ 100%", "Winter"):
            create_template(ours.id, name=name)
        assert "ΚΑΛΟΚΑΊΡΙ" in words(visitor.fetch("/templates?q=καλοκαίρι"))
        assert "Winter" not in words(visitor.fetch("/templates?q=0%25"))
        assert "Nothing here has “_” in its name." in words(visitor.fetch("/templates?q=_"))

    def test_goes_on_page_by_page(self, visitor: Visitor, ours: Shop) -> None:
        made = [create_template(ours.id, name=f"Number {place:02}").id for place in range(21)]
        first = visitor.fetch("/templates?q=number")
        assert "Number 00" not in words(first)
        address = f"/templates?q=number&before={made[1]}"
        assert html.escape(address) in first.get_data(as_text=True)
        assert "Number 00" in words(visitor.fetch(address))
        assert visitor.fetch("/templates?before=x").status_code == 404

    def test_asks_as_often_for_many_as_for_few(self, visitor: Visitor, ours: Shop) -> None:
        def ask(path: str) -> int:
            with statements() as seen:
                assert visitor.fetch(path).status_code == 200
            return len(seen)

        one = create_template(ours.id, name="Number 0").id
        paths = ("/templates", f"/templates/{one}")
        for path in paths:
            ask(path)
        few = [ask(path) for path in paths]
        for place in range(1, 20):
            create_template(ours.id, name=f"Number {place}")
        session.flush()
        assert [ask(path) for path in paths] == few
        assert max(few) <= 6


class TestThePage:
    def test_shows_a_text_as_its_reader_gets_it(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        response = visitor.document(f"/templates/{made.id}")
        assert bubble(response) == "Hi Maria. Reply STOP to opt out"
        assert re.search(r"1 segment · 31 characters", words(response))

    def test_a_new_one_is_in_the_reader_s_language(self, visitor: Visitor, ours: Shop) -> None:
        given = visitor.document("/templates/new", {"locale": "el"}).get_data(as_text=True)
        assert '<option value="el" selected>' in given

    def test_offers_each_variable_of_its_occasion(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id, trigger=Trigger.ORDER, body="Order {{ order_number }}")
        given = visitor.document(f"/templates/{made.id}").get_data(as_text=True)
        inserts = [html.unescape(each) for each in re.findall(r'data-insert="([^"]+)"', given)]
        assert [re.findall(r"\w+", each)[0] for each in inserts] == list(variables(Trigger.ORDER))
        assert "for another occasion than campaigns: Order" in words(visitor.document(f"/templates/{made.id}"))
        assert f"/campaigns/new?template={made.id}" not in given

    def test_a_campaign_s_text_leads_to_its_campaign(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        assert f"/campaigns/new?template={made.id}" in visitor.document(f"/templates/{made.id}").get_data(as_text=True)

    def test_every_variable_and_occasion_has_words(self) -> None:
        assert set(TRIGGER_WORDS) == set(Trigger)
        assert {name for trigger in Trigger for name in variables(trigger)} == set(VARIABLE_WORDS)


class TestThePreview:
    def test_follows_the_text_and_saves_nothing(self, visitor: Visitor, ours: Shop) -> None:
        response = preview(visitor, body="Bye {{ last_name | default: 'you' }}, {{ shop_name }}")
        assert bubble(response) == "Bye Jones, Ours\nReply STOP to opt out"
        assert queries.count_templates(ours.id) == 0

    def test_takes_values_to_try(self, visitor: Visitor, ours: Shop) -> None:
        given = {"value-first_name": "Zoë", "value-last_name": "Ng", "value-sender": "Evil"}
        response = preview(
            visitor, body='{{ full_name | default: "x" }} {{ first_name | default: "x" }} {{ sender }}', **given
        )
        assert bubble(response).startswith("Zoë Ng Zoë Ours\n")

    def test_shows_what_somebody_without_a_name_gets(self, visitor: Visitor, ours: Shop) -> None:
        assert bubble(preview(visitor, person="nameless")) == "Hi there. Reply STOP to opt out"
        without = preview(visitor, body="Hi {{ first_name }}", person="nameless")
        assert "This person has no “first_name”" in bubble(without)

    def test_is_in_the_language_of_the_text(self, visitor: Visitor, ours: Shop) -> None:
        assert bubble(preview(visitor, body='{{ first_name | default: "x" }} STOP', language="el")).startswith("Μαρία")

    def test_tells_faults_at_their_place(self, visitor: Visitor, ours: Shop) -> None:
        given = preview(visitor, body="one\nHi {{ frist_name }}").get_data(as_text=True)
        assert 'data-line="2" data-column="7"' in given
        assert "can't be shown until the faults" in html.unescape(given)

    def test_offers_what_is_cheaper(self, visitor: Visitor, ours: Shop) -> None:
        given = preview(visitor, body=DEAR).get_data(as_text=True)
        assert 'data-cure-name="greek_capitals"' in given
        assert "1 segment less a text" in given

    def test_offers_what_is_cheaper_for_the_values_that_are_tried(self, visitor: Visitor, ours: Shop) -> None:
        body = "Hi {{ first_name | default: 'there' }}, 20% off everything until Sunday, in shop. Reply STOP to opt out"
        assert "data-cure" not in preview(visitor, body=body).get_data(as_text=True)
        given = preview(visitor, body=body, **{"value-first_name": "Μαρία"}).get_data(as_text=True)
        assert 'data-cure-name="greek_values"' in given
        assert "first_name | upper | default" in given
        assert "1 segment less a text" in given

    def test_mends_a_greek_value_with_one_click(self, visitor: Visitor, ours: Shop) -> None:
        body = "KAΛHMEPA {{ first_name | default: 'ΣE ΣENA' }}! AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH"
        given = html.unescape(preview(visitor, body=body, language="el").get_data(as_text=True))
        assert 'data-code="greek_value"' in given
        assert "Write {{ first_name | default: 'ΣE ΣENA' | upper }}" in given

    def test_speaks_of_each_occasion_s_variables(self, visitor: Visitor, ours: Shop) -> None:
        given = preview(visitor, trigger="order", body="{{ order_number }}", **{"value-order_number": "#7"})
        assert bubble(given) == "#7"
        assert bubble(preview(visitor, trigger="no such", body="{{ sender }} STOP me")).startswith("Ours")


class TestSaving:
    def test_keeps_a_new_one_and_goes_to_its_page(self, visitor: Visitor, ours: Shop) -> None:
        response = visitor.fetch("/templates/new", method="POST", data=GOOD)
        (made,) = queries.list_templates(ours.id)
        assert (response.status_code, response.headers["HX-Replace-Url"]) == (200, f"/templates/{made.id}")
        assert json.loads(response.headers["HX-Trigger"]) == {"toast": {"words": "Template saved"}}
        assert (made.name, made.body, made.trigger, made.language) == (
            "Weekend", GOOD["body"], "campaign", "en",
        )  # fmt: skip
        (entry,) = session.query(AuditEntry).filter_by(action="template.created")
        assert entry.actor.startswith("staff:")

    def test_changes_one(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id, trigger=Trigger.ORDER, language="el-GR")
        response = save(visitor, made, body="Order {{ order_number }}", language="el-GR", trigger="campaign")
        assert response.status_code == 200
        assert (made.name, made.body, made.trigger, made.language) == (
            "Weekend", "Order {{ order_number }}", "order", "el-GR",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"name": " "}, "name"), ({"name": "x" * 101}, "name"), ({"name": "a\ab"}, "name"),
            ({"name": "ΤΑΚΕΝ "}, "name"), ({"body": " "}, "body"), ({"body": "{{ frist }}"}, "body"),
            ({"body": "{% if %}"}, "body"), ({"body": "x" * 4001}, "body"), ({"body": "\0"}, "body"),
        ],
    )  # fmt: skip
    def test_tells_what_is_wrong_at_its_field_and_keeps_what_was_typed(
        self, visitor: Visitor, ours: Shop, given: dict[str, str], field: str
    ) -> None:
        create_template(ours.id, name="Τακεν")
        made = create_template(ours.id, name="Before", body="Before. Reply STOP")
        for response in (
            save(visitor, made, **given),
            visitor.fetch("/templates/new", method="POST", data=GOOD | given),
        ):
            shown = response.get_data(as_text=True)
            assert response.status_code == 422
            assert f'id="{field}-fault"' in shown
            assert shown.count("aria-invalid") == 1
            typed = GOOD["body"] if field == "name" else GOOD["name"]
            assert html.escape(typed) in shown.replace("&#34;", "&quot;")
        assert (made.name, made.body) == ("Before", "Before. Reply STOP")
        assert queries.count_templates(ours.id) == 2

    def test_overwrites_nobody_unseen(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        seen = made.updated_at
        with clock.frozen_at(seen + timedelta(seconds=5)):
            save(visitor, made, body="Somebody else's. Reply STOP")
        response = save(visitor, made, body="Mine. Reply STOP", seen=seen.isoformat())
        assert response.status_code == 409
        shown = words(response)
        assert "Somebody changed this template meanwhile" in shown
        assert "Somebody else's. Reply STOP" in shown
        assert made.body == "Somebody else's. Reply STOP"
        again = re.search(r'name="seen" value="([^"]+)"', response.get_data(as_text=True))
        assert again
        assert save(visitor, made, body="Mine. Reply STOP", seen=html.unescape(again[1])).status_code == 200
        assert made.body == "Mine. Reply STOP"

    def test_nor_their_name(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        seen = made.updated_at
        with clock.frozen_at(seen + timedelta(seconds=5)):
            save(visitor, made, name="Theirs <now>", body=made.body)
        response = save(visitor, made, name="Mine", body=made.body, seen=seen.isoformat())
        assert response.status_code == 409
        assert "Name: Theirs <now>" in words(response)

    def test_nor_their_language(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        seen = made.updated_at
        with clock.frozen_at(seen + timedelta(seconds=5)):
            save(visitor, made, name=made.name, body=made.body, language="el")
        response = save(visitor, made, name=made.name, body=made.body, language="en", seen=seen.isoformat())
        assert response.status_code == 409
        assert "Language of the text: Greek" in words(response)
        assert made.language == "el"


class TestDeeds:
    def test_a_copy_stands_in_the_list_and_has_the_focus(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        response = visitor.fetch(f"/templates/{made.id}/duplicate", method="POST")
        copy = queries.list_templates(ours.id)[0]
        assert (copy.name, copy.body) == ("Summer sale (2)", made.body)
        assert f'href="/templates/{copy.id}" data-focus' in response.get_data(as_text=True)
        assert json.loads(response.headers["HX-Trigger"])["toast"]["words"] == "Duplicated as “Summer sale (2)”"

    def test_deleting_is_asked_first(self, visitor: Visitor, ours: Shop) -> None:
        made = create_template(ours.id)
        question = visitor.fetch(f"/templates/{made.id}/delete")
        assert "Delete “Summer sale”? Campaigns made from it keep their text." in words(question)
        assert queries.count_templates(ours.id) == 1
        response = visitor.fetch(f"/templates/{made.id}/delete", method="POST")
        assert "Keep the texts that you send again" in words(response)
        assert queries.count_templates(ours.id) == 0


def test_who_may_only_look_is_offered_nothing_and_refused(visitor: Visitor, ours: Shop) -> None:
    made = create_template(ours.id)
    member(ours, ("read_customers",), user_id=43)
    given = token(sub="43")
    for page in ("/templates", f"/templates/{made.id}"):
        shown = visitor.fetch(page, given).get_data(as_text=True)
        for offer in (
            "/templates/new",
            "/delete",
            "/duplicate",
            'type="submit"><',
            ">Save<",
            "data-insert",
            "/campaigns/new",
        ):
            assert offer not in shown, (page, offer)
    deeds: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/templates/new", {}),
        ("POST", "/templates/new", {"data": GOOD}),
        ("POST", f"/templates/{made.id}", {"data": GOOD}),
        ("POST", f"/templates/{made.id}/duplicate", {}),
        ("GET", f"/templates/{made.id}/delete", {}),
        ("POST", f"/templates/{made.id}/delete", {}),
    ]
    for method, path, options in deeds:
        assert visitor.fetch(path, given, method=method, **options).status_code == 403, (method, path)
    assert queries.count_templates(ours.id) == 1
    assert bubble(visitor.fetch("/templates/preview", given, method="POST", data=GOOD)).startswith("Hi Maria")
