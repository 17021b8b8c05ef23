"""The home page tells how far Shopify's customers have come in, and lets a merchant begin again."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from blossom.audit.models import AuditEntry
from blossom.customers import queries
from blossom.customers.models import CustomerComparison, CustomerImport
from blossom.customers.rules import ImportState
from blossom.dashboard import rules
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shopify.errors import FAULTS
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, token
from tests.factories.contacts import create_contact

PARTIAL = {"HX-Request-Type": "partial"}
LIVE = 'hx-trigger="every 2s"'


def create_import(shop: Shop, state: str, **overrides: Any) -> CustomerImport:
    now = clock.now()
    is_open = state in ("asked", "exporting", "reading")
    values = {
        "operation": "gid://shopify/BulkOperation/1",
        "asked_at": now,
        "next_try_at": now if is_open else None,
        "finished_at": None if is_open else now,
        **overrides,
    }
    found = CustomerImport(shop_id=shop.id, state=state, **values)
    session.add(found)
    session.flush()
    return found


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def figures(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-import="(\w+)">([^<]*)<', html))


def part(visitor: Visitor) -> str:
    return visitor.fetch("/import", headers=PARTIAL).get_data(as_text=True)


class TestWhileItRuns:
    def test_says_how_many_of_how_many_and_asks_again_by_itself(self, visitor: Visitor, ours: Shop) -> None:
        create_import(ours, "reading", lines_total=200_000, lines_read=50_000, created=40_000, without_phone=10_000)
        html = visitor.document("/").get_data(as_text=True)
        assert figures(html) == {
            "read": "50,000", "total": "200,000", "created": "40,000", "updated": "0", "unchanged": "0",
            "without_phone": "10,000", "refused": "0",
        }  # fmt: skip
        assert 'aria-valuenow="25"' in html
        assert LIVE in html
        assert part(visitor).strip().startswith('<section class="card" id="import"')

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            (None, "Shopify will be asked for your customers in a moment."),
            ("asked", "Asking Shopify for your customers"),
            ("exporting", "Shopify is writing the list of your customers"),
            ("reading", "0 customers read so far."),
        ],
    )
    def test_says_what_it_waits_for(self, visitor: Visitor, ours: Shop, state: str | None, told: str) -> None:
        if state:
            create_import(ours, state)
        html = part(visitor)
        assert told in words(html)
        assert LIVE in html

    def test_says_what_is_tried_again(self, visitor: Visitor, ours: Shop) -> None:
        create_import(ours, "asked", fault="throttled", tries=2)
        assert FAULTS["throttled"].merchant_text in words(part(visitor))


class TestWhenItHasEnded:
    def test_says_when_and_what_came_of_it_and_asks_no_more(self, visitor: Visitor, ours: Shop) -> None:
        create_import(
            ours, "completed", lines_read=1_207, created=1_000, older=3, unchanged=4, without_phone=100, refused=100,
            refused_by_code={"phone_not_mobile": 70, "phone_doubled": 20, "phone_missing": 9, "phone_not_a_number": 1},
        )  # fmt: skip
        create_contact(ours)
        html = visitor.document("/").get_data(as_text=True)
        assert "All 1,207 customers were read on " in words(html)
        assert figures(html)["unchanged"] == "7"
        for why in ("70 have a number that takes no texts", "20 have the number of another", "10 have a number that"):
            assert why in words(html), why
        assert LIVE not in html
        assert "hx-swap-oob" not in html

    def test_the_last_answer_brings_the_number_of_contacts_along(self, visitor: Visitor, ours: Shop) -> None:
        create_contact(ours)
        running = create_import(ours, "reading")
        assert "figure-contacts" not in part(visitor)
        running.state, running.next_try_at, running.finished_at = ImportState.COMPLETED, None, clock.now()
        assert re.search(r'id="figure-contacts" hx-swap-oob="true" data-figure="contacts">1<', part(visitor))

    def test_says_that_shopify_shows_no_numbers(self, visitor: Visitor, ours: Shop) -> None:
        create_import(ours, "completed", lines_read=12, without_phone=12)
        html = part(visitor)
        assert "protected customer data" in words(html)
        assert "Import again" in html

    @pytest.mark.parametrize(
        ("comparison", "told"),
        [
            ({}, "first at "),
            (
                {"finished": True, "looked_at": 57, "found": 2},
                "57 customers had changed, 2 of them were not up to date",
            ),
            ({"finished": True, "looked_at": 1, "found": 1}, "1 customer had changed, 1 of them was not up to date"),
            ({"finished": True, "fault": "access_lost"}, FAULTS["access_lost"].merchant_text),
        ],
    )
    def test_says_how_the_last_night_went(
        self, visitor: Visitor, ours: Shop, comparison: dict[str, Any], told: str
    ) -> None:
        create_import(ours, "completed", lines_read=1, created=1)
        now = clock.now()
        finished_at = now if comparison.pop("finished", False) else None
        moments = {"in_step_until": now, "next_try_at": now + timedelta(hours=9), "finished_at": finished_at}
        session.add(CustomerComparison(shop_id=ours.id, **moments, **comparison))
        assert told in words(part(visitor))


class TestTryAgain:
    def test_says_why_it_was_given_up_and_begins_anew(self, visitor: Visitor, ours: Shop) -> None:
        create_import(ours, "failed", fault="shop_frozen", lines_read=30, created=30)
        html = part(visitor)
        assert "Settle its bill with Shopify first." in words(html)
        assert "The 30 customers that were read are kept." in words(html)
        assert "Try again" in html
        for _ in range(2):  # a double click
            response = visitor.fetch("/import", method="POST", headers=PARTIAL)
            assert response.status_code == 200
            assert LIVE in response.get_data(as_text=True)
        assert [found.state for found in session.query(CustomerImport).order_by("id")] == ["failed", "asked"]
        (entry,) = session.query(AuditEntry).filter_by(action="customers.import_asked")
        assert entry.actor.startswith("staff:")

    def test_is_not_for_who_may_only_look(self, visitor: Visitor, ours: Shop) -> None:
        create_import(ours, "failed", fault="shop_frozen")
        member(ours, scopes=("read_customers",), user_id=7)
        looking = token(sub="7")
        assert "Try again" not in visitor.fetch("/import", looking).get_data(as_text=True)
        assert visitor.fetch("/import", looking, method="POST").status_code == 403
        assert session.query(CustomerImport).count() == 1

    def test_of_another_shop_is_neither_seen_nor_begun(self, visitor: Visitor, theirs: Shop) -> None:
        create_import(theirs, "failed", fault="shop_frozen", lines_read=777)
        assert "777" not in part(visitor)
        visitor.fetch("/import", method="POST")
        assert session.query(CustomerImport).filter_by(shop_id=theirs.id).count() == 1


@pytest.mark.parametrize(("read", "told"), [(0, 0), (19, 10), (99, 90), (100, 100)])
def test_screen_readers_hear_every_tenth(ours: Shop, read: int, told: int) -> None:
    create_import(ours, "reading", lines_total=100, lines_read=read)
    progress = queries.latest_import(ours.id)
    assert progress is not None
    assert rules.announcement(progress) == f"Customers are being imported: {told} percent done."


@pytest.mark.parametrize("code", [*FAULTS, "ZeroDivisionError", None])
def test_what_was_given_up_is_not_said_to_go_on_by_itself(code: str | None) -> None:
    assert "by itself" not in rules.final_trouble(code)
