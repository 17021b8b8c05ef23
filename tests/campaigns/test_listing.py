"""The list of campaigns: found, filtered, sorted, turned page by page; and what is done to a row without leaving it."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import func, select, text

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import pages as lists
from blossom.campaigns.rules import listing as rules
from blossom.campaigns.rules.listing import Choice, Mark, Sort
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.db import session
from blossom.segments import service as segments
from blossom.segments.rules import Audience
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
from tests.people.test_plans import explain
from tests.personas import Personas

PARTIAL = {"HX-Request-Type": "partial"}


def page(visitor: Visitor, query: str = "", **options: Any) -> str:
    response = visitor.fetch(f"/campaigns{query}", headers=PARTIAL, **options)
    assert response.status_code == 200, query
    html: str = response.get_data(as_text=True)
    return html


def rows(html: str) -> list[str]:
    return re.findall(r'<tr id="campaign-(\d+)-row".*?</tr>', html, re.DOTALL)


def names(html: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'<th scope="row">\s*<a [^>]*>([^<]*)</a>', html)]


def words(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", html).split()))


def do(visitor: Visitor, campaign: Campaign, deed: str, *, method: str = "POST", **options: Any) -> Any:
    return visitor.fetch(f"/campaigns/{campaign.id}/row/{deed}", method=method, headers=PARTIAL, **options)


class TestTheList:
    def test_shows_state_audience_and_how_far_each_is(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        vip, staff = segments.create_segment(ours.id, "VIP <1>"), segments.create_segment(ours.id, "Staff")
        create_campaign(ours, name="Draft <b>", audience=Audience(segments=(vip.id,), exclude=(staff.id,)))
        add_messages(create_completed(ours, name="Done"), delivered=6, failed=2, unconfirmed=1)
        html = page(visitor)
        assert names(html) == ["Done", "Draft <b>"]
        assert "9 of 9 · 2 failed · 1 unconfirmed" in words(html)
        assert "75.0%" in words(html)
        assert "VIP <1>, without Staff" in words(html)
        assert "&lt;b&gt;" in visitor.document("/campaigns").get_data(as_text=True)

    def test_an_empty_one_teaches(self, visitor: Visitor) -> None:
        html = page(visitor)
        assert "Write your first campaign" in html
        assert 'href="/campaigns/new"' in html

    @pytest.mark.parametrize(
        ("typed", "found"),
        [
            ("εκπτωσεις", ["Καλοκαιρινές Εκπτώσεις"]), ("ΕΚΠΤΏΣΕΙΣ", ["Καλοκαιρινές Εκπτώσεις"]),
            ("summer", ["Summer 50% off", "Summér_sale"]), ("50%", ["Summer 50% off"]), ("_", ["Summér_sale"]),
            ("\\", []), ("  sale ", ["Summér_sale"]), ("winter", []),
        ],
    )  # fmt: skip
    def test_finds_by_name_whatever_the_case_and_the_accents(
        self, visitor: Visitor, ours: Shop, typed: str, found: list[str]
    ) -> None:
        for name in ("Summér_sale", "Summer 50% off", "Καλοκαιρινές Εκπτώσεις"):
            create_campaign(ours, name=name)
        response = visitor.fetch("/campaigns", headers=PARTIAL, query_string={"q": typed})
        html = response.get_data(as_text=True)
        assert names(html) == found
        assert ("No campaigns found" in html) == (not found)

    @pytest.mark.parametrize(("state", "found"), [
        ("draft", ["Draft"]), ("sending", ["Going"]), ("completed", ["Old", "Done"]), ("failed", []),
        ("", ["Old", "Going", "Done", "Draft"]),
    ])  # fmt: skip
    def test_is_filtered_by_state(self, visitor: Visitor, ours: Shop, state: str, found: list[str]) -> None:
        make_ready(ours)
        create_campaign(ours, name="Draft")
        create_completed(ours, name="Done")
        create_sending(ours, name="Going")
        create_completed(ours, name="Old").stored_state = "sent"
        html = page(visitor, f"?state={state}")
        assert names(html) == found
        (current,) = re.findall(r'<a href="([^"]*)" aria-current="page"', html)
        assert current == (f"/campaigns?state={state}" if state else "/campaigns")

    @pytest.mark.parametrize("sort", list(Sort))
    def test_shows_each_once_page_by_page_in_its_order(
        self, visitor: Visitor, ours: Shop, theirs: Shop, monkeypatch: pytest.MonkeyPatch, sort: Sort
    ) -> None:
        monkeypatch.setattr(lists, "ON_A_PAGE", 2)
        create_campaign(theirs, name="Theirs")
        now = clock.now()
        for number, name in enumerate(("b", "Ά", "same", "same", "c")):
            create_campaign(ours, name=name).updated_at = now + timedelta(minutes=number % 3)
        shown, address = [], f"?sort={sort}"
        while True:
            html = page(visitor, address)
            shown += names(html)
            following = re.findall(r'rel="next" href="/campaigns(\?[^"]*)"', unescape(html))
            if not following:
                break
            assert "First page" in html or len(shown) == 2
            (address,) = following
        assert (
            shown
            == {
                Sort.NEWEST: ["c", "same", "same", "Ά", "b"],
                Sort.OLDEST: ["b", "Ά", "same", "same", "c"],
                Sort.CHANGED: ["same", "c", "Ά", "same", "b"],
                Sort.NAME: ["b", "c", "same", "same", "Ά"],
            }[sort]
        )

    @pytest.mark.parametrize(
        "query",
        ["?state=gone", "?state=sent", "?sort=x", "?after=", "?after=x", "?after=WzFd", "?after=%00", "?after=é",
         f"?after={Mark(1, 'a')}", f"?sort=name&after={Mark(1)}", f"?sort=name&after={Mark(1, 'a' * 2_000)}",
         f"?sort=changed&after={Mark(1, 2**60)}", f"?after={Mark(-1)}", f"?sort=name&after={Mark(1, chr(0))}"],
    )  # fmt: skip
    def test_knows_no_odd_page(self, visitor: Visitor, query: str) -> None:
        assert visitor.fetch(f"/campaigns{query}").status_code == 404

    def test_who_may_only_look_sees_no_buttons(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        member(ours, scopes=("read_customers",), user_id=7)
        looking = token(sub="7")
        html = page(visitor, given=looking)
        assert rows(html) == [str(campaign.id)]
        assert "<button" not in html.partition("</form>")[2], "beside that of the search"
        assert "Actions" not in html
        assert "/campaigns/new" not in html
        for deed in ("duplicate", "delete", "pause", "resume", "cancel"):
            assert do(visitor, campaign, deed, given=looking).status_code == 403

    def test_asks_as_often_for_a_full_page_as_for_a_short_one(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        vip = segments.create_segment(ours.id, "VIP")

        def add() -> None:
            create_campaign(ours, audience=Audience(segments=(vip.id,)))
            add_messages(create_completed(ours), delivered=1)

        def count() -> int:
            with statements() as seen:
                page(visitor)
            return len(seen)

        add()
        count()
        little = count()
        for _ in range(6):
            add()
        assert count() == little <= 9


class TestARow:
    def test_while_it_is_sent_asks_for_itself(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_sending(ours)
        address = f"/campaigns/{campaign.id}/row?was=sending"
        assert f'hx-get="{address}" hx-trigger="every 4s"' in page(visitor)
        assert "HX-Reswap" not in visitor.fetch(address, headers=PARTIAL).headers
        end_dispatch(campaign, DispatchState.COMPLETED)
        service.settle(ours.id, campaign.dispatch_id or 0)
        response = visitor.fetch(address, headers=PARTIAL)
        assert response.headers["HX-Reswap"] == "outerHTML", "its buttons are others now"
        assert "every 4s" not in response.get_data(as_text=True)

    def test_is_copied_above_itself(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours, name="Sale")
        response = do(visitor, campaign, "duplicate")
        assert response.headers["HX-Reswap"] == "beforebegin"
        html = response.get_data(as_text=True)
        assert names(html) == ["Sale (copy)"]
        assert rows(html) != [str(campaign.id)]
        assert "data-focus" in html

    def test_is_paused_and_goes_on(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_sending(ours)
        for deed, state in (("pause", "Paused"), ("pause", "Paused"), ("resume", "Sending")):
            response = do(visitor, campaign, deed)
            assert response.status_code == 200
            assert f">{state}</span>" in response.get_data(as_text=True)
        assert campaign.state is CampaignState.SENDING

    def test_is_cancelled_after_a_question_with_its_numbers(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_sending(ours)
        add_messages(campaign, delivered=4)
        html = do(visitor, campaign, "cancel", method="GET").get_data(as_text=True)
        assert html.strip().startswith("<dialog")
        assert "4 texts were handed to Mitto, and can't be called back." in words(html)
        assert "Cancelled" in do(visitor, campaign, "cancel").get_data(as_text=True)
        assert campaign.state is CampaignState.CANCELLED

    def test_is_deleted_after_a_question(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours, name="Old <i>")
        address = f"/campaigns/{campaign.id}/row/delete"
        assert "Delete “Old &lt;i&gt;”?" in do(visitor, campaign, "delete", method="GET").get_data(as_text=True)
        html = do(visitor, campaign, "delete").get_data(as_text=True)
        assert "“Old &lt;i&gt;” was deleted." in html
        assert "data-focus" in html
        assert session.scalar(select(func.count()).select_from(Campaign)) == 0
        assert visitor.fetch(address, method="POST").status_code == 404

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_what_was_sent_can_not_be_deleted(self, visitor: Visitor, ours: Shop, method: str) -> None:
        make_ready(ours)
        campaign = create_completed(ours)
        assert do(visitor, campaign, "delete", method=method).status_code == 409
        assert "/row/delete" not in page(visitor)

    def test_without_javascript_leads_back_to_the_list(self, visitor: Visitor, ours: Shop) -> None:
        campaign = create_campaign(ours)
        path = f"/campaigns/{campaign.id}/row/duplicate"
        response = visitor.ask("POST", path, headers={"Authorization": f"Bearer {token()}"})
        assert (response.status_code, response.headers["Location"]) == (303, "/campaigns")

    @pytest.mark.parametrize("deed", ["delete", "cancel"])
    def test_a_question_stands_by_itself_too(self, visitor: Visitor, ours: Shop, deed: str) -> None:
        make_ready(ours)
        campaign = create_campaign(ours) if deed == "delete" else create_sending(ours)
        html = visitor.document(f"/campaigns/{campaign.id}/row/{deed}").get_data(as_text=True)
        assert rows(html) == [str(campaign.id)], "what the answer takes the place of"
        assert "<dialog" in html


CAMPAIGNS = 10_000


@pytest.fixture
def many(personas: Personas) -> Shop:
    """A shop with 10,000 campaigns, and another with as many."""
    for shop in (personas.theirs, personas.ours):
        campaign = create_campaign(shop)
        session.execute(
            text("""
                INSERT INTO campaigns (shop_id, name, body, audience, state, priority, created_at, updated_at,
                    finished_at, version)
                SELECT shop_id, 'Sale no. ' || n, body, audience,
                    CASE WHEN n % 1000 = 0 THEN 'draft' ELSE 'completed' END, priority, created_at,
                    created_at + n * interval '1 minute', CASE WHEN n % 1000 = 0 THEN NULL ELSE created_at END, 1
                FROM campaigns, generate_series(1, :number) AS n WHERE id = :id
            """),
            {"number": CAMPAIGNS, "id": campaign.id},
        )
    session.execute(text("ANALYZE campaigns"))
    return personas.ours


def test_each_page_of_10000_is_read_through_an_index(many: Shop) -> None:
    """What a filter or a sort narrows is read a page at a time; what is searched, the shop's own at most."""
    middle = lists.listing(many.id, Choice()).rows[0].campaign
    a_page = {
        "newest": Choice(),
        "further on": Choice(after=Mark(middle.id - CAMPAIGNS // 2)),
        "oldest": Choice(sort=Sort.OLDEST),
        "by name": Choice(sort=Sort.NAME),
        "by name, further on": Choice(sort=Sort.NAME, after=Mark(middle.id, "sale no. 5")),
        "changed": Choice(sort=Sort.CHANGED),
        "most of them": Choice(state=CampaignState.COMPLETED),
        "few of them": Choice(state=CampaignState.DRAFT),
        "few of them by name": Choice(state=CampaignState.DRAFT, sort=Sort.NAME),
        "most of them by name": Choice(state=CampaignState.COMPLETED, sort=Sort.NAME),
    }
    for name, choice in a_page.items():
        seen = explain(lambda choice=choice: lists.listing(many.id, choice), "FROM campaigns")
        assert seen.read_whole == [], name
        assert seen.most_rows <= lists.ON_A_PAGE + 10, name
    for name, choice in {"often": Choice("sale"), "seldom": Choice("no. 777"), "never": Choice("winter")}.items():
        seen = explain(lambda choice=choice: lists.listing(many.id, choice), "FROM campaigns")
        assert seen.read_whole == [], name
        assert seen.most_rows <= CAMPAIGNS + 1, name


@pytest.mark.parametrize("sort", list(Sort))
def test_a_mark_is_read_as_it_was_written(sort: Sort) -> None:
    values: dict[Sort, str | int] = {Sort.NAME: "ά“%&", Sort.CHANGED: 1_700_000_000_000_000}
    mark = Mark(7, values.get(sort))
    assert rules.read_mark(str(mark), sort) == mark


def test_theirs_are_neither_listed_nor_touched(visitor: Visitor, ours: Shop, theirs: Shop) -> None:
    campaign = create_campaign(theirs, name="Theirs")
    assert names(page(visitor)) == []
    assert visitor.fetch(f"/campaigns/{campaign.id}/row").status_code == 404
    for deed in ("duplicate", "pause", "resume", "cancel", "delete"):
        assert do(visitor, campaign, deed).status_code == 404
