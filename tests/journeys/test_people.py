"""A merchant watches the customers come in, reads why somebody may be texted, and opts them out: in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

import pytest
from playwright.sync_api import Browser, Route, expect
from pypdf import PdfReader

from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.customers.models import CustomerImport
from blossom.customers.rules import ImportState
from blossom.platform import clock, crypto
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops.models import Shop, StaffMember
from tests.conftest import Services
from tests.factories.consent import create_subscriber
from tests.factories.replies import create_reply
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.world import SHOP, World

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

PHONE = "+306912345678"


@pytest.fixture(scope="module")
def world(services: Services, template_database: str, browser: Browser) -> Iterator[World]:
    with worlds.start(services, template_database) as started:
        started.shopify.install(SHOP)
        tab, frame, _ = worlds.open_admin(browser, started)
        expect(frame.locator("#home")).to_be_visible()
        tab.context.close()
        with started.app.app_context(), transaction():
            ours().default_country = "GR"
            create_subscriber(ours(), first_name="Eleni", phone=PHONE)
        yield started


def ours() -> Shop:
    shop = shops.by_domain(SHOP)
    assert shop is not None
    return shop


def test_the_home_page_follows_an_import_to_its_end_and_then_asks_no_more(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        session.query(CustomerImport).delete()
        now = clock.now()
        values = {
            "operation": "gid://shopify/BulkOperation/1",
            "asked_at": now,
            "next_try_at": now,
            "in_hand_until": now,
        }
        session.add(CustomerImport(shop_id=ours().id, state="reading", lines_total=4, lines_read=1, **values))
    tab, frame, seen = worlds.open_admin(browser, world)
    expect(frame.get_by_role("progressbar", name="Customers read")).to_have_attribute("aria-valuenow", "25")
    expect(frame.locator("[data-figure=contacts]")).to_have_text("1")
    with world.app.app_context(), transaction():
        row = session.query(CustomerImport).one()
        row.state, row.next_try_at, row.finished_at, row.lines_read = ImportState.COMPLETED, None, clock.now(), 4
        create_subscriber(ours(), first_name="Late")
    expect(frame.get_by_text("All 4 customers were read")).to_be_visible()
    expect(frame.locator("[data-figure=contacts]")).to_have_text("2")
    expect(frame.locator("#import")).not_to_have_attribute("hx-trigger", "every 2s")
    assert seen.complaints == []
    tab.context.close()


def test_somebody_is_found_by_number_proven_and_opted_out(world: World, browser: Browser) -> None:
    tab, frame, seen = worlds.open_admin(browser, world, "/contacts")
    frame.get_by_label("Find somebody").fill("691 234 5678")
    frame.get_by_role("button", name="Search").click()
    expect(frame.get_by_text("1 contact has this number.")).to_be_visible()
    posted = [url for method, url, _ in seen.answers if method == "POST"]
    assert posted == [f"{world.url}/contacts"], "no number stands in an address"
    frame.get_by_role("link", name="Eleni").click()
    expect(frame.locator("[data-verdict=marketing]")).to_have_text("Allowed")

    frame.get_by_role("link", name="Proof of consent").click()
    with tab.expect_download() as download:
        frame.get_by_role("link", name="Download as PDF").click()
    assert download.value.suggested_filename.startswith("proof-of-consent-")
    assert "+30 691 234 5678" in PdfReader(BytesIO(download.value.path().read_bytes())).pages[0].extract_text()
    frame.get_by_role("link", name="Contact", exact=True).click()

    frame.get_by_role("link", name="Opt them out").click()
    expect(frame.get_by_role("heading", name="Opt Eleni out of all texts?")).to_be_focused()
    frame.get_by_role("link", name="Leave it").click()
    expect(frame.get_by_text("out of all texts?")).to_have_count(0)
    frame.get_by_role("link", name="Opt them out").click()
    held: list[Route] = []
    told = re.compile("/opt-out$")
    tab.route(told, lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    frame.get_by_role("button", name="Opt them out").dblclick()
    until(lambda: tab.wait_for_timeout(20) or held, "they are to be opted out")
    (once,) = held  # an answer between the two clicks would have the second one take the focus away
    once.continue_()
    expect(tab.get_by_text("Opted out", exact=True)).to_be_visible()
    expect(frame.locator("[data-verdict=marketing]")).to_have_text("Not allowed")
    expect(frame.get_by_role("heading", name="May they be texted?")).to_be_focused()
    with world.app.app_context(), transaction():
        phone_hash = hash_of_phone()
        assert consents.state_of(ours().id, phone_hash) is State.OPTED_OUT
        assert len(consents.events(ours().id, phone_hash)) == 2
    assert seen.complaints == []
    assert worlds.cookies(tab.context) == []
    tab.context.close()


def test_what_somebody_texted_is_read_from_home_on_and_beside_what_they_got(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        anna = create_subscriber(ours(), first_name="Anna", phone="+306912340001")
        create_reply(ours(), "Are you open on Sunday?", anna)
        create_reply(ours(), "Who is this?", phone="+306912340002")
    tab, frame, seen = worlds.open_admin(browser, world)
    frame.locator("[data-alert=replies]").get_by_role("link", name="Read them").click()
    expect(frame.get_by_text("Who is this?")).to_be_visible()
    expect(frame.get_by_text("not among your contacts")).to_be_visible()
    frame.locator(".reply", has_text="Who is this?").get_by_role("button").click()
    marked = frame.locator(".reply", has_text="Who is this?").get_by_role("button")
    expect(marked).to_have_text(re.compile("Mark as unread"))
    expect(marked).to_be_focused()
    frame.get_by_role("link", name="Anna").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text(re.compile("Anna"))
    frame.get_by_role("button", name="Mark as read").click()
    expect(tab.get_by_text("Marked as read")).to_be_visible()
    expect(frame.locator("[id$=-texts]").get_by_text("New", exact=True)).to_have_count(0)
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Replies").click()
    frame.get_by_label("Find what a phone number texted").fill("691 234 0002")
    frame.get_by_role("button", name="Search").click()
    expect(frame.get_by_text("1 text from this number.")).to_be_visible()
    posted = [url for method, url, _ in seen.answers if method == "POST"]
    assert all("691" not in url for url in posted), "no number stands in an address"
    assert seen.complaints == []
    tab.context.close()


def hash_of_phone() -> bytes:
    return crypto.for_shop(ours().id).lookup(PHONE)


def test_who_lost_the_right_meanwhile_is_told_so_and_loses_nothing_typed(world: World, browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, world, "/settings/consent")
    frame.get_by_label("Your privacy policy").fill("https://blue.example/privacy")
    frame.get_by_label("Double opt-in").check()
    with world.app.app_context(), transaction():
        for member in session.query(StaffMember):
            member.scopes = ["read_customers"]
    frame.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("Your Shopify account may not do this.")).to_be_visible()
    expect(frame.get_by_label("Your privacy policy")).to_have_value("https://blue.example/privacy")
    expect(tab.get_by_text("Unsaved changes")).to_be_visible()
    with world.app.app_context(), transaction():
        assert not consents.settings(ours().id).double_opt_in
        for member in session.query(StaffMember):
            member.scopes = ["read_customers", "write_customers"]
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Consent settings saved")).to_be_visible()
    expect(frame.get_by_text("may not do this")).to_have_count(0)
    with world.app.app_context(), transaction():
        assert consents.settings(ours().id).double_opt_in
    tab.context.close()


def test_a_filtered_list_is_a_place_to_come_back_to(world: World, browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, world, "/contacts?state=pending")
    expect(frame.get_by_role("heading", name="Nobody is waiting to confirm")).to_be_visible()
    frame.get_by_role("link", name="Never subscribed").click()
    expect(tab).to_have_url(re.compile(r"/contacts\?state=never_subscribed$"))
    tab.reload()
    expect(frame.get_by_role("link", name="Never subscribed")).to_have_attribute("aria-current", "page")
    world.make_tokens_stale(1)
    tab.reload()
    expect(frame.get_by_role("link", name="Never subscribed")).to_have_attribute("aria-current", "page")
    tab.context.close()
