"""A member of the staff who may only look: each route that changes something refuses them, by page and by API."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, token
from tests.factories.campaigns import create_campaign, create_sending, make_ready

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

NOBODY_OF_THE_STAFF_S = re.compile(r"/(webhooks|proxy|auth|session|static)\b")

ONLY_LOOKING = {
    "/api/templates/preview",  # renders what is posted, and keeps nothing
    "/contacts",  # looks for a number or an address, which is not to stand in a URL
    "/templates/preview",  # the same, as a page
    "/segments/count",  # counts by what is posted
    "/replies",  # looks for a number, as "/contacts" does
    "/wallet/cost",  # calculates with what is posted
    "/campaigns/<int:campaign_id>/recipients",  # the same among those who get a campaign
}

THE_OPERATOR_S = {"/queue/given-up"}
"""For the staff of no shop but the operator's: tests/inbound/test_queue_page.py."""

COUNTS = (
    "SELECT (SELECT count(*) FROM campaigns) AS campaigns, (SELECT count(*) FROM dispatches) AS dispatches,"
    " (SELECT count(*) FROM consent_events) AS events, (SELECT count(*) FROM message_templates) AS templates,"
    " (SELECT count(*) FROM consent_settings) AS settings, (SELECT md5(string_agg(s::text, '')) FROM shops s) AS shops,"
    " (SELECT md5(string_agg(c::text, '' ORDER BY c.id)) FROM campaigns c) AS written"
)


def changing_routes(app: Flask) -> list[tuple[str, str]]:
    """Each route with which a shop's staff could change something; ids are those of the first."""
    found = set()
    for rule in app.url_map.iter_rules():
        if NOBODY_OF_THE_STAFF_S.match(rule.rule) or re.sub("^/api/v1", "/api", rule.rule) in ONLY_LOOKING:
            continue
        for method in (rule.methods or set()) & CHANGING:
            path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)  # the first of what it may be
            found.add((method, re.sub(r"<[^>]+>", "1", path)))
    return sorted(found)


@pytest.mark.parametrize("scopes", [(), ("read_customers", "read_orders"), ("write_products",)])
def test_who_may_only_look_changes_nothing_by_any_route(
    app: Flask, visitor: Visitor, ours: Shop, scopes: tuple[str, ...]
) -> None:
    make_ready(ours)
    create_campaign(ours)
    create_sending(ours)
    session.execute(text("UPDATE campaigns SET id = 1 WHERE id = (SELECT min(id) FROM campaigns)"))
    session.flush()
    member(ours, scopes, user_id=77)
    before = session.execute(text(COUNTS)).one()
    routes = changing_routes(app)
    assert len(routes) > 20, "the routes are found"
    let_in = {
        (method, path, response.status_code)
        for method, path in routes
        if (response := _ask(visitor, method, path, token(sub="77"))).status_code != 403
    }
    assert let_in == set()
    session.expire_all()
    assert session.execute(text(COUNTS)).one() == before


def test_who_may_act_is_refused_by_none_of_them_for_who_they_are(app: Flask, visitor: Visitor, ours: Shop) -> None:
    """Else the test above would hold for anybody."""
    for method, path in changing_routes(app):
        if path in THE_OPERATOR_S:
            continue
        assert _ask(visitor, method, path, token()).status_code != 403, (method, path)


def _ask(visitor: Visitor, method: str, path: str, by: str) -> TestResponse:
    return visitor.fetch(path, by, method=method, json={} if path.startswith("/api") else None)
