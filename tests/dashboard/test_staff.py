"""A merchant sees who of their staff may do what, and why."""

from __future__ import annotations

import html
import re
from datetime import timedelta

from blossom.platform import clock
from blossom.shops.models import Shop
from tests.admin.conftest import SCOPES, Visitor, member


def rows(visitor: Visitor) -> dict[str, str]:
    """What is said of each, by number."""
    found = re.findall(
        r"<tr id=\"staff-.*?</tr>", visitor.document("/settings/staff").get_data(as_text=True), re.DOTALL
    )
    told = [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in found]
    return {row.split()[0]: row.partition(" ")[2] for row in told}


def test_tells_of_each_what_shopify_told(visitor: Visitor, ours: Shop, theirs: Shop) -> None:
    member(ours, ("read_customers", "read_orders"), user_id=43)
    member(ours, SCOPES, user_id=44).scopes_read_at = clock.now() - timedelta(hours=37)
    member(theirs, user_id=99)
    told = rows(visitor)
    assert set(told) == {"42", "43", "44"}
    assert told["42"].startswith("You Write, send and change settings ")
    assert told["43"].startswith("Look only ")
    assert told["44"].startswith("Look only, until Shopify is asked at their next visit ")


def test_says_which_rights_decide(visitor: Visitor, ours: Shop) -> None:
    shown = visitor.document("/settings/staff").get_data(as_text=True)
    assert "<li>to edit customers</li>" in shown
    assert "to see customers" not in shown
    assert "<form" not in shown, "nothing is changed here"
