"""A merchant of a large shop has a segment counted exactly: by a job, while the page waits, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import select, text

from blossom.people.queries.segments import COUNTED
from blossom.platform.db import session, transaction
from blossom.segments.models import Segment
from tests.factories.consent import create_subscriber
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

SHOP = "counted.myshopify.com"
PLAIN = "no-scripts.myshopify.com"
_MORE = text("""
    INSERT INTO contacts (shop_id, phone_sealed, phone_hash, zone, country, created_at, updated_at)
    SELECT shop_id, phone_sealed, substring(sha256(CAST(n AS text)::bytea) FOR 16), zone,
           CASE WHEN n % 3 = 0 THEN 'DE' ELSE 'GR' END, created_at, updated_at
    FROM contacts, generate_series(1, :people) AS n WHERE id = :id
""")


def test_a_large_shop_is_counted_by_a_job_and_the_page_shows_it_by_itself(town: Town, browser: Browser) -> None:
    town.open_shop(SHOP)
    town.install(browser, SHOP)[0].context.close()
    with town.inside(), transaction():
        contact = create_subscriber(town.shop(SHOP), country="GR")
        session.execute(_MORE, {"id": contact.id, "people": 3 * COUNTED})
    with town.inside(), transaction():
        session.execute(text("ANALYZE contacts"))

    tab, frame, seen = worlds.open_admin(browser, town.world, "/segments/new", SHOP)
    people = frame.locator("[data-count=people]")
    expect(frame.get_by_text("Fill in each rule")).to_be_visible()

    # What is typed while the page's first count is on its way is counted too.
    held: list[Route] = []
    tab.route("**/segments/count", lambda route: route.continue_() if held else held.append(route))
    with tab.expect_request("**/segments/count"):
        tab.reload()
    frame.get_by_label("With what").fill("DE")
    held[0].continue_()
    expect(people).to_have_text(re.compile("^about "))
    frame.get_by_role("button", name="Count them exactly").click()
    expect(frame.get_by_text("Counting them exactly…")).to_be_visible()
    expect(people).to_have_text(re.compile("^about "))

    # A look that fails changes nothing: the next one is made a second later, and the wait goes on.
    failed: list[Route] = []

    def fail_once(route: Route) -> None:
        if failed:
            route.fallback()
        else:
            failed.append(route)
            route.fulfill(status=503, body="busy")

    tab.route("**/segments/count", fail_once)
    until(lambda: tab.wait_for_timeout(20) or failed, "a look has failed")
    tab.wait_for_timeout(5_000)  # longer than it takes to ask anew for what could not be asked
    expect(frame.get_by_text("Counting them exactly…")).to_be_visible()
    expect(people).to_be_visible()
    town.work()
    expect(people).to_have_text(f"{COUNTED:,}")
    expect(frame.get_by_text("counted at")).to_be_visible()

    # Other rules while it counts: the page lets go of the count, and waits no more.
    frame.get_by_role("button", name="Count again").click()
    expect(frame.get_by_text("Counting them exactly…")).to_be_visible()
    refused: list[Route] = []

    def fail_first(route: Route) -> None:
        if refused or "exactly" in str(route.request.post_data):
            route.fallback()
        else:
            refused.append(route)
            route.fulfill(status=503, body="busy")

    tab.route("**/segments/count", fail_first)
    frame.get_by_label("With what").fill("GR")
    expect(frame.get_by_text("They could not be counted just now.")).to_be_visible()
    tab.wait_for_timeout(2_500)  # looks whether the exact count is there find no news, which makes the old one no truer
    expect(people).to_be_hidden()
    expect(frame.get_by_text("Counting them exactly…")).to_have_count(0)
    expect(people).to_have_text(re.compile("^about "))
    expect(people).to_be_visible()
    town.work()
    with tab.expect_request(lambda asked: asked.url.endswith("/segments/count")):
        frame.get_by_label("With what").fill("GR, DE")
    expect(people).to_have_text(re.compile("^about "))
    assert [complaint for complaint in seen.complaints if "503" not in complaint] == []
    tab.context.close()


def test_without_javascript_rules_come_and_go_and_enter_saves(town: Town, browser: Browser) -> None:
    """Outside the frame, with the token that the admin gave: what a browser that runs no script can do."""
    town.open_shop(PLAIN)
    town.install(browser, PLAIN)[0].context.close()
    tab, frame, _ = worlds.open_admin(browser, town.world, "/segments/new", PLAIN)
    expect(frame.get_by_role("button", name="Add a rule")).to_have_count(1)
    token = frame.locator("body").evaluate("() => shopify.idToken()")
    tab.context.close()

    context = browser.new_context(java_script_enabled=False, extra_http_headers={"Authorization": f"Bearer {token}"})
    page = context.new_page()
    add = page.locator("[type=submit]", has_text="Add a rule")  # what is for scripts is seen until the style is there
    page.goto(f"{town.world.url}/segments/new")
    expect(page.get_by_text("Counting…")).to_be_hidden()
    expect(page.get_by_role("button", name="Add a rule")).to_have_count(1)
    page.get_by_label("Name").fill("Greece and its friends")
    page.get_by_label("With what").fill("GR")
    add.click()
    expect(page.get_by_label("With what")).to_have_count(2)
    page.get_by_label("What is asked about").last.select_option("tags")
    page.get_by_role("button", name="Choose").last.click()
    page.get_by_label("How it is compared").last.select_option("all")
    page.get_by_label("With what").last.fill("vip")
    add.click()
    page.get_by_label("With what").last.fill("DE")
    page.locator("[type=submit][aria-label='Remove rule 3']").click()
    expect(page.get_by_label("With what")).to_have_count(2)
    page.get_by_label("With what").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Greece and its friends")
    expect(page.get_by_label("With what").last).to_have_value("vip")
    with town.inside():
        saved = session.scalars(select(Segment).where(Segment.name == "Greece and its friends")).one()
        assert saved.rules is not None
        assert [each["field"] for each in saved.rules["conditions"]] == ["country", "tags"]
    context.close()
