"""Several texts of one campaign on the merchant's pages: written, tried, asked about, watched, decided, compared."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import text

from blossom.campaigns import queries, service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import AbTest, Winner
from blossom.links.service import record_click
from blossom.messaging.models import Dispatch
from blossom.messaging.service import prepare_dispatch
from blossom.platform.db import session
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from tests.admin.conftest import Visitor, member, statements, token
from tests.campaigns.test_views_composing import campaigns, edit, send, typed, words
from tests.factories.campaigns import create_campaign, make_ready

A = "20% off until Sunday: {{ 'https://ours.example/sale' | shortlink }} Reply STOP to opt out"
B = "Summer is here: {{ 'https://ours.example/summer' | shortlink }} Reply STOP to opt out"
BY_HAND = AbTest((B,), (20, 30), Winner.BY_HAND)
BY_CLICKS = AbTest((B,), (20, 30), Winner.CLICKS, timedelta(hours=2))
TWO = {"texts": "2", "body": A, "body-b": B, "share-a": "20", "share-b": "30", "winner": "by_hand"}


def drafted(shop: Shop, test: AbTest = BY_HAND, *, people: int = 10) -> Campaign:
    """A draft of two texts for ten people."""
    make_ready(shop, subscribers=people)
    campaign = create_campaign(shop, body=A)
    return service.update_campaign(shop.id, campaign.id, {"ab_test": test}, actor="test")


def on_its_way(shop: Shop, test: AbTest = BY_HAND) -> Campaign:
    """Its audience is fixed, and nothing has left."""
    campaign = service.enqueue_campaign(shop.id, drafted(shop, test).id, actor="test")
    prepare_dispatch(shop.id, campaign.dispatch_id or 0)
    return campaign


_DELIVERED = text("""
UPDATE batches SET state = 'done', delivered = size, recorded_at = now()
WHERE dispatch_id = :dispatch_id AND text_number IS NOT NULL
""")

_PEOPLE = text("""
SELECT m.id FROM messages m JOIN batches b ON b.dispatch_id = m.dispatch_id AND b.number = m.batch_number
WHERE m.dispatch_id = :dispatch_id AND b.text_number IS NOT DISTINCT FROM CAST(:number AS smallint) ORDER BY m.id
""")


def _people_of(dispatch_id: int, number: int | None) -> list[int]:
    """The messages of the people who get that text; None: of the rest."""
    return list(session.scalars(_PEOPLE, {"dispatch_id": dispatch_id, "number": number}))


def rows(html: str, name: str = "data-text") -> dict[str, str]:
    """Letter → what its row says."""
    return {letter: words(row) for letter, row in re.findall(rf'<tr[^>]* {name}="(\w+)">(.*?)</tr>', html, re.DOTALL)}


def bubbles(html: str) -> dict[str, str]:
    found = re.findall(r'data-letter="(\w)">.*?<p class="bubble" data-preview>(.*?)</p>', html, re.DOTALL)
    return {letter: unescape(re.sub(r"<[^>]*>", "", shown)) for letter, shown in found}


class TestWriting:
    def test_keeps_each_text_its_share_and_how_the_winner_is_found(self, visitor: Visitor) -> None:
        answer = send(visitor, "/campaigns/new", typed(**TWO))
        (campaign,) = campaigns()
        assert answer.status_code == 200
        assert (campaign.body, campaign.ab_test) == (A, BY_HAND.to_json())

    def test_shows_them_as_they_were_typed(self, visitor: Visitor) -> None:
        send(visitor, "/campaigns/new", typed(**{**TWO, "winner": "clicks", "after": "240"}))
        (campaign,) = campaigns()
        html = visitor.document(edit(campaign)).get_data(as_text=True)
        for shown in (
            'name="texts" value="2" checked',
            'name="share-a" type="number" min="1" max="50" step="1" inputmode="numeric" value="20"',
            'name="share-b" type="number" min="1" max="50" step="1" inputmode="numeric" value="30"',
            'name="winner" value="clicks" checked',
            '<option value="240" selected>4 hours</option>',
        ):
            assert shown in html
        assert "Summer is here" in html

    def test_shows_an_hour_that_only_the_api_can_choose(self, visitor: Visitor, ours: Shop) -> None:
        campaign = drafted(ours, AbTest((B,), (20, 30), Winner.CLICKS, timedelta(minutes=45)))
        html = visitor.document(edit(campaign)).get_data(as_text=True)
        assert '<option value="45" selected>45 minutes</option>' in html
        send(visitor, edit(campaign), typed(**{**TWO, "winner": "clicks", "after": "45", "version": "2"}))
        assert (campaign.ab_test or {})["after_minutes"] == 45

    def test_of_one_text_is_no_test_whatever_stands_in_the_other_fields(self, visitor: Visitor) -> None:
        send(visitor, "/campaigns/new", typed(**{**TWO, "texts": "1", "share-a": "none"}))
        assert [each.ab_test for each in campaigns()] == [None]

    def test_that_is_called_off_is_one_text_again(self, visitor: Visitor, ours: Shop) -> None:
        campaign = drafted(ours)
        send(visitor, edit(campaign), typed(version=str(campaign.version), body=A, texts="1"))
        assert (campaign.body, campaign.ab_test) == (A, None)

    def test_keeps_an_unfinished_text(self, visitor: Visitor) -> None:
        send(visitor, "/campaigns/new", typed(**{**TWO, "texts": "3", "body-b": "", "body-c": "Hi {{ fir"}))
        assert (campaigns()[0].ab_test or {})["texts"] == ["", "Hi {{ fir"]

    def test_the_same_again_is_no_change(self, visitor: Visitor, ours: Shop) -> None:
        campaign = drafted(ours)
        form = typed(**TWO, version="1", name=campaign.name)
        assert (send(visitor, edit(campaign), form).status_code, campaign.version) == (200, 2)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"share-b": "51"}, "a whole number from 1 to 50"),
            ({"share-b": "0"}, "a whole number from 1 to 50"),
            ({"share-b": ""}, "a whole number from 1 to 50"),
            ({"share-b": "12.5"}, "a whole number from 1 to 50"),
            ({"texts": "3", "share-a": "50", "share-b": "50"}, "100 percent together at most"),
        ],
    )
    def test_says_what_is_wrong_with_the_shares(
        self, visitor: Visitor, ours: Shop, fields: Mapping[str, str], said: str
    ) -> None:
        campaign = drafted(ours)
        form = typed(**{**TWO, **fields, "version": "2", "body-b": "Newer"})
        answer = send(visitor, edit(campaign), form)
        assert (answer.status_code, campaign.ab_test) == (422, BY_HAND.to_json())
        assert 'href="#shares"' in answer.get_data(as_text=True)
        assert said in words(answer)
        assert said in words(send(visitor, "/campaigns/preview", form))

    def test_shows_who_changed_it_meanwhile_all_texts(self, visitor: Visitor, ours: Shop) -> None:
        refused = send(visitor, edit(drafted(ours)), typed(**{**TWO, "version": "1", "body-b": "Mine"}))
        assert refused.status_code == 409
        assert "Summer is here" in words(refused)

    def test_a_copy_tests_the_same(self, visitor: Visitor, ours: Shop) -> None:
        campaign = drafted(ours)
        shown = visitor.fetch(f"/campaigns/{campaign.id}/row/duplicate", method="POST")
        assert campaigns()[-1].ab_test == BY_HAND.to_json()
        assert "A/B" in words(shown)


class TestThePreview:
    def live(self, visitor: Visitor, **fields: Any) -> str:
        form = typed(**{**TWO, **fields})
        send(visitor, "/campaigns/count", form)
        return send(visitor, "/campaigns/preview", form).get_data(as_text=True)

    def test_shows_each_text_with_its_size_and_its_faults(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        html = self.live(visitor, **{"body-b": "“Hi” {{ frist_name }}"})
        assert "20% off until Sunday" in bubbles(html)["A"]
        assert [words(each) for each in re.findall(r'id="size(?:-b)?">(.*?)</p>', html, re.DOTALL)] == [
            "1 segment · 104 characters · 56 left in it · standard characters, 160 to a segment",
            "Counted once the faults are mended.",
        ]
        (of_b,) = re.findall(r'id="findings-b">(.*?)</hx-partial>', html, re.DOTALL)
        assert 'data-code="unknown_variable"' in of_b

    def test_says_how_many_get_which(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=10)
        told = re.findall(r'data-split="(\w?)">(.*?)</li>', self.live(visitor))
        assert told == [("A", "Text A: 2 people"), ("B", "Text B: 3 people"), ("", "The rest: 5 people")]
        html = self.live(visitor, **{"share-a": "50", "share-b": "50"})
        assert "nobody waits for a winner" in words(html)
        assert 'data-split=""' not in html

    def test_costs_what_is_held_for_it(self, visitor: Visitor, ours: Shop) -> None:
        dear = B.replace("Summer", "“Summer”")
        campaign = drafted(ours, AbTest((dear,), (20, 30), Winner.BY_HAND))
        html = self.live(visitor, **{"body-b": dear})
        (cost,) = re.findall(r'data-figure="credits">(\d+)<', html)
        assert int(cost) == service.preview(ours, campaign).estimate.credits
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
        prepare_dispatch(ours.id, campaign.dispatch_id or 0)
        assert wallet.balance(ours.id).reserved == int(cost)
        assert "At most" in words(html)

    @pytest.mark.parametrize(
        ("fields", "warned"),
        [
            ({"winner": "clicks"}, False),
            ({"winner": "clicks", "body-b": "No link"}, True),
            ({"winner": "by_hand", "body-b": "No link"}, False),
        ],
    )
    def test_warns_where_there_is_nothing_to_click(
        self, visitor: Visitor, ours: Shop, fields: dict[str, str], warned: bool
    ) -> None:
        make_ready(ours)
        assert ("there is nothing to click" in words(self.live(visitor, **fields))) == warned

    def test_asks_as_little_for_four_texts_as_for_one(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        four = {**TWO, "texts": "4", "body-c": A, "body-d": B, "share-c": "10", "share-d": "10"}
        self.live(visitor)
        with statements() as one:
            send(visitor, "/campaigns/preview", typed(body=A))
        with statements() as many:
            send(visitor, "/campaigns/preview", typed(**four))
        assert len(many) <= len(one)


class TestReviewing:
    def test_leads_to_the_text_that_is_at_fault(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        answer = send(visitor, "/campaigns/new", typed(**{**TWO, "body-b": "Hi,\nso {{ frist_name }}", "do": "review"}))
        assert (answer.status_code, "HX-Trigger" in answer.headers) == (200, False)
        assert "Text B: There is no variable" in words(answer)
        assert 'href="#body-b" data-go data-line="2" data-column="7"' in answer.get_data(as_text=True)

    def test_asks_with_each_text_its_people_and_when_it_is_decided(self, visitor: Visitor, ours: Shop) -> None:
        html = visitor.fetch(f"/campaigns/{drafted(ours, BY_CLICKS).id}/confirm").get_data(as_text=True)
        told = rows(html, "data-tested")
        for letter, numbers in (("A", "20% People 2"), ("B", "30% People 3"), ("rest", "50% People 5")):
            assert f"Share {numbers} Credits" in told[letter]
        assert "Summer is here" in told["B"]
        assert "decided by clicks, 2 hours after the last text of the test has left" in words(html)

    def test_of_an_even_split_speaks_of_no_winner(self, visitor: Visitor, ours: Shop) -> None:
        html = visitor.fetch(f"/campaigns/{drafted(ours, AbTest((B,), (50, 50))).id}/confirm").get_data(as_text=True)
        assert set(rows(html, "data-tested")) == {"A", "B"}
        assert "Nobody waits for a winner." in words(html)

    def test_tries_the_text_that_is_chosen(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        form = typed(**TWO, do="test", phones="+306912345678")
        assert "On its way to 1 number" in words(send(visitor, "/campaigns/new", {**form, "try": "1"}))
        assert "Summer is here" in session.query(Dispatch).one().source
        assert "There is no text C to try." in words(send(visitor, "/campaigns/new", {**form, "try": "2"}))


class TestWatching:
    def test_shows_how_the_texts_do_and_who_waits(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        html = visitor.fetch(f"/campaigns/{campaign.id}").get_data(as_text=True)
        told = rows(html)
        assert told["A"].startswith("Text A tested on 20% Recipients 2 Delivered 0 Failed 0 Opened a link 0")
        assert told["B"].startswith("Text B tested on 30% Recipients 3 Delivered 0 Failed 0 Opened a link 0")
        assert "5 people wait for the winner until somebody chooses one of the texts." in words(html)
        assert "It is decided" not in words(html)

    def test_says_how_long_after_its_test_the_winner_is_decided(self, visitor: Visitor, ours: Shop) -> None:
        html = visitor.fetch(f"/campaigns/{on_its_way(ours, BY_CLICKS).id}").get_data(as_text=True)
        assert "It is decided 2 hours after the last text of the test has left." in words(html)

    def test_of_one_text_says_nothing_of_it(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = service.enqueue_campaign(ours.id, create_campaign(ours).id, actor="test")
        prepare_dispatch(ours.id, campaign.dispatch_id or 0)
        assert "The test of texts" not in words(visitor.fetch(f"/campaigns/{campaign.id}"))

    def test_asks_before_the_rest_gets_a_text(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        html = visitor.fetch(f"/campaigns/{campaign.id}").get_data(as_text=True)
        assert f'href="/campaigns/{campaign.id}/winner/b"' in html
        asked = visitor.fetch(f"/campaigns/{campaign.id}/winner/b")
        assert "Send text B to the rest?" in words(asked)
        assert "5 people wait for the winner, and get this text." in words(asked)
        assert "Summer is here" in words(asked)
        standing = queries.ab_test(ours.id, campaign)
        assert standing is not None
        assert standing.winner is None, "who only asks decides nothing"

    def test_the_rest_gets_the_text_that_was_chosen_once(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        path = f"/campaigns/{campaign.id}/winner"
        done = visitor.fetch(f"{path}/b", method="POST")
        assert "Text B was chosen by hand" in words(done)
        assert rows(done.get_data(as_text=True))["B"].startswith("Text B Winner tested on 30% Recipients 8")
        assert "Text B goes to the rest" in done.headers["HX-Trigger"]
        assert visitor.fetch(f"{path}/b", method="POST").status_code == 200, "a second click finds it done"
        assert visitor.fetch(f"{path}/a", method="POST").status_code == 409
        assert "/winner/" not in visitor.fetch(f"/campaigns/{campaign.id}").get_data(as_text=True)
        assert "There is no winner to choose any more" in words(visitor.fetch(f"{path}/a"))

    def test_who_may_not_send_sees_it_and_decides_nothing(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        member(ours, ("read_customers",), user_id=77)
        seen = visitor.fetch(f"/campaigns/{campaign.id}", token(sub="77"))
        assert "5 people wait for the winner" in words(seen)
        assert "/winner/" not in seen.get_data(as_text=True)
        for method in ("GET", "POST"):
            asked = visitor.fetch(f"/campaigns/{campaign.id}/winner/b", token(sub="77"), method=method)
            assert asked.status_code == 403

    @pytest.mark.parametrize("letter", ["c", "e", "bb"])
    def test_there_is_no_choosing_a_text_that_it_has_not(self, visitor: Visitor, ours: Shop, letter: str) -> None:
        path = f"/campaigns/{on_its_way(ours).id}/winner/{letter}"
        assert visitor.fetch(path, method="POST").status_code == (409 if letter == "c" else 404)

    def test_asks_little(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        visitor.fetch(f"/campaigns/{campaign.id}")
        with statements() as asked:
            visitor.fetch(f"/campaigns/{campaign.id}")
        assert len(asked) <= 13


class TestAfterwards:
    def test_the_results_compare_them(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        dispatch_id = campaign.dispatch_id or 0
        session.execute(_DELIVERED, {"dispatch_id": dispatch_id})
        of_b = _people_of(dispatch_id, 1)
        for message_id in of_b[:2]:
            record_click(ours.id, dispatch_id, message_id, 2)
        html = visitor.fetch(f"/campaigns/{campaign.id}/results").get_data(as_text=True)
        assert dict(re.findall(r'data-rate="(\w)">([^<]*)<', html)) == {"A": "0%", "B": "66.7%"}
        assert rows(html)["B"] == "Text B tested on 30% Recipients 3 Delivered 3 Failed 0 Opened a link 2 66.7%"
        (of_a, longest) = re.findall(r'<rect class="part-clicked" width="([\d.]+)"', html)[-2:]
        assert (float(of_a), float(longest)) == (0, 100)
        report = PdfReader(io.BytesIO(visitor.fetch(f"/campaigns/{campaign.id}/report.pdf").data))
        told = " ".join(" ".join(page.extract_text() for page in report.pages).split())
        assert "Text B 3 3 2 (66.7%)" in told

    def test_one_message_tells_its_text(self, visitor: Visitor, ours: Shop) -> None:
        campaign = on_its_way(ours)
        (message_id, *_) = _people_of(campaign.dispatch_id or 0, 1)
        shown = visitor.fetch(f"/campaigns/{campaign.id}/recipients/{message_id}")
        assert "Which text Text B" in words(shown)
        (waits, *_) = _people_of(campaign.dispatch_id or 0, None)
        assert "The winner, which is not known yet" in words(
            visitor.fetch(f"/campaigns/{campaign.id}/recipients/{waits}")
        )
        listed = words(visitor.fetch(f"/campaigns/{campaign.id}/recipients"))
        assert (listed.count("text A"), listed.count("text B")) == (2, 3)

    def test_the_list_names_it(self, visitor: Visitor, ours: Shop) -> None:
        drafted(ours)
        assert words(visitor.fetch("/campaigns")).count("A/B") == 1
