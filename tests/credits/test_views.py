"""A merchant sees what there is, what is held for which campaign, what texts cost, and where credits went."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from blossom.credits import queries
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from blossom.wallet import service as wallet
from tests.admin.conftest import Visitor, statements
from tests.factories.campaigns import create_campaign
from tests.factories.messaging import create_dispatch
from tests.factories.wallet import create_reservation, create_wallet

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=45)
COST = {"text": "Hello, it is summer", "people": "1,000", "country": "GR"}


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def spend(shop: Shop, name: str, amount: int, *, entries: int = 1) -> int:
    """A campaign that took so many credits in so many entries; its id."""
    dispatch = create_dispatch(shop.id)
    campaign = create_campaign(shop, name=name)
    campaign.stored_state, campaign.dispatch_id = "sending", dispatch.id
    held = create_reservation(shop.id, 2 * amount)
    dispatch.reservation_id = held.id
    session.flush()
    for number in range(entries):
        reference = f"attempt:{dispatch.id}:{number}"
        wallet.capture(shop.id, held.id, amount // entries, reference, dispatch_id=dispatch.id)
    return campaign.id


def page(visitor: Visitor, query: str = "") -> str:
    response = visitor.fetch(f"/wallet{query}")
    assert response.status_code == 200
    return response.get_data(as_text=True)


def figures(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-figure="(\w+)">([^<]*)<', html))


def history(html: str) -> list[str]:
    (body,) = re.findall(r'<table class="statement">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]


def test_balance_what_is_held_and_for_which_campaign(visitor: Visitor, ours: Shop) -> None:
    create_wallet(ours.id, 1_000)
    campaign_id = spend(ours, "Summer <sale>", 100)
    html = page(visitor)
    assert figures(html) | {"opening": "0"} == {
        "available": "800", "reserved": "100", "balance": "900", "closing": "900", "opening": "0",
    }  # fmt: skip
    assert f'<a href="/campaigns/{campaign_id}">Summer &lt;sale&gt;</a>' in html


def test_a_campaign_s_many_entries_are_one_line_and_the_sums_agree(visitor: Visitor, ours: Shop) -> None:
    create_wallet(ours.id, 1_000)
    spend(ours, "Summer", 100, entries=10)
    wallet.refund(ours.id, 5, "receipts:1", dispatch_id=None)
    wallet.adjust(ours.id, -7, "why:1", reason="Counted twice")
    rows = history(page(visitor))
    assert rows[0].startswith("Balance at the end")
    assert rows[-1].startswith("Balance at the beginning")
    assert [row for row in rows if "Summer" in row and row.endswith("-100")]
    assert [row for row in rows if "Correction" in row and "Counted twice" in row and row.endswith("-7")]
    assert len(rows) == 2 + 4
    amounts = [int(row.split()[-1].replace(",", "").replace("+", "")) for row in rows]
    assert amounts[0] == amounts[-1] + sum(amounts[1:-1])


def test_each_month_begins_with_what_the_one_before_left(
    visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        then.setattr(clock, "now", lambda: LONG_AGO)
        create_wallet(ours.id, 1_000)
    wallet.adjust(ours.id, -100, "why:2", reason="Sold")
    this = page(visitor)
    assert (figures(this)["opening"], figures(this)["closing"]) == ("1,000", "900")
    assert 'rel="prev" href="/wallet?month=2026-10"' in this
    assert 'rel="next"' not in this
    before = page(visitor, "?month=2026-10")
    assert (figures(before)["opening"], figures(before)["closing"]) == ("0", "1,000")
    assert 'rel="prev"' not in before
    assert 'rel="next" href="/wallet?month=2026-11"' in before


@pytest.mark.parametrize("month", ["", "2026-12", "2027-01", "1999-01", "x", "2026-11'--", "%00"])
def test_a_month_that_is_none_or_still_to_come_is_not_there(visitor: Visitor, ours: Shop, month: str) -> None:
    assert visitor.fetch(f"/wallet?month={month}").status_code == 404


def test_a_shop_without_anything_is_told_what_will_stand_there(visitor: Visitor, ours: Shop) -> None:
    html = page(visitor)
    assert figures(html)["balance"] == "0"
    assert "will stand here" in html


def test_the_calculator_says_what_a_text_costs_and_whether_credits_suffice(visitor: Visitor, ours: Shop) -> None:
    create_wallet(ours.id, 6_000)
    each = session.scalar(text("SELECT credits_per_segment FROM prices WHERE country = 'GR'"))
    assert each == 5, "of the seeded list"
    answer = visitor.fetch("/wallet/cost", method="POST", data=COST, headers={"HX-Request-Type": "partial"})
    html = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert figures(html) == {"cost": "5,000"}
    assert "1,000 would be left" in html
    assert "<html" not in html
    dear = visitor.fetch("/wallet/cost", method="POST", data=COST | {"text": "Γειά σου"}).get_data(as_text=True)
    assert "only fit 70 to a segment" in dear
    much = visitor.fetch("/wallet/cost", method="POST", data=COST | {"people": "2000"}).get_data(as_text=True)
    assert "4,000 credits are missing" in much


def test_a_wrong_question_keeps_what_was_typed_and_says_what_is_wrong(visitor: Visitor, ours: Shop) -> None:
    given = COST | {"people": "many", "text": "<b>Hi</b>"}
    answer = visitor.fetch("/wallet/cost", method="POST", data=given)
    html = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'value="many"' in html
    assert "&lt;b&gt;Hi&lt;/b&gt;" in html
    assert "must be a whole number from 1 to 10,000,000" in html


def test_nothing_of_another_shop_is_told(visitor: Visitor, ours: Shop, theirs: Shop) -> None:
    create_wallet(theirs.id, 4_321)
    spend(theirs, "Their sale", 100)
    html = page(visitor)
    assert "4,321" not in html
    assert "Their sale" not in html


def test_a_long_month_comes_a_page_at_a_time_and_its_sums_agree(
    visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LINES_SHOWN", 3)
    create_wallet(ours.id, 1_000)
    for number in range(5):
        spend(ours, f"Campaign {number}", 10, entries=2)
    wallet.adjust(ours.id, -7, "why:3", reason="Counted twice")
    seen, address = [], ""
    for _ in range(10):
        html = page(visitor, address)
        seen.append(history(html))
        following = re.search(r'href="/wallet(\?month=2026-11&amp;before=\d+)"', html)
        assert ("First page" in html) is (address != "")
        if following is None:
            break
        address = following[1].replace("&amp;", "&")
    rows = [row for each in seen for row in each]
    assert [len(each) for each in seen] == [4, 3, 2]
    assert (rows[0], rows[-1]) == ("Balance at the end 943", "Balance at the beginning 0")
    assert [row.split()[-1] for row in rows[1:-1]] == ["-7", *["-10"] * 5, "+1,000"]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize("before", ["0", "-1", "x", "9" * 19])
def test_a_page_that_is_none_is_not_there(visitor: Visitor, ours: Shop, before: str) -> None:
    assert visitor.fetch(f"/wallet?before={before}").status_code == 404


def test_more_entries_take_no_more_questions(visitor: Visitor, ours: Shop) -> None:
    create_wallet(ours.id, 10_000)
    spend(ours, "One", 10)
    page(visitor)
    with statements() as few:
        page(visitor)
    for number in range(10):
        spend(ours, f"Another {number}", 10, entries=5)
    with statements() as many:
        page(visitor)
    assert len(many) == len(few) <= 16
